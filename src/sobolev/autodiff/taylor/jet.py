"""A truncated Taylor polynomial that stands in for a tensor while a function runs."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.registry import NoRuleError, call, find, find_method
from sobolev.autodiff.taylor.space import Space


class Jet:
    """The value of a tensor and its higher Taylor coefficients along the directions of a space.

    PyTorch hands every function that meets a jet to `__torch_function__`, which looks up its rule, so an
    unchanged model computes derivatives of everything it computes. A jet is no tensor: what has no rule fails
    with `NoRuleError` instead of losing the derivatives.

    Attributes:
        space: which coefficients there are.
        value: the ordinary result, any shape.
        higher: (coefficients, *value.shape), degree 1 first. Degrees that are missing at the end are zero. An
            axis 1 of length 1 stands for coefficients that are the same for every row.
        rows_first: the first axis of the value is known to be the batch.
        followed: with a tape, the value has come about by operations that note on it what they add to the second
            degree, and a gradient of it finds its way back through them.
        links: what shares memory with it in PyTorch, see `sobolev.autodiff.rules.memory.writing`.
        rows: in compiled code along one direction, the higher coefficients one by one where they were computed so:
            read like that, they are fused into what comes next instead of passing through memory.
        squared: of a norm or an absolute value the jet of its square: that is smooth at 0, as are all even functions.
    """

    __slots__ = ("__weakref__", "followed", "higher", "links", "rows", "rows_first", "space", "squared", "value")
    __array_ufunc__ = None  # numpy numbers leave arithmetic to the jet

    def __init__(self, space: Space, value: Tensor, higher: Tensor, rows_first: bool = False) -> None:
        if space.graph and not torch.is_grad_enabled():
            refuse_custom_function()
        if space.tape is not None:
            space.tape.check_path()
        self.space = space
        self.value = value
        self.higher = higher
        self.rows_first = self.followed = rows_first
        self.links: Any = None
        self.rows: list[Tensor] | None = None
        self.squared: Any = None

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(find(func), args, kwargs) if kwargs else find(func)(*args)

    @property
    def full(self) -> Tensor:
        """`higher` with every row present: (coefficients, *value.shape)."""
        return self.higher.expand(-1, *self.value.shape)

    def invalidate(self) -> None:
        """Make the jet unusable: memory that it shares with another one was written to."""
        del self.value, self.higher

    def __getattr__(self, name: str) -> Any:
        if name in ("value", "higher"):
            raise NoRuleError(
                "Taylor mode does not follow an in-place write through a view: it changes a tensor that is used "
                "again later. Write y = y + ... instead of y += ..."
            )
        raise AttributeError(f"a tensor has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"Jet(shape={tuple(self.value.shape)}, dtype={self.value.dtype}, space={self.space})"

    def __format__(self, form: str) -> str:
        return format(self.value.detach(), form)  # for messages that a model prints

    def __hash__(self) -> int:
        return id(self)


class CustomFunctionError(NoRuleError):
    """Taylor mode met a custom `torch.autograd.Function` whose gradients to weights it would lose.

    Attributes:
        function: the class.
    """

    def __init__(self, function: type) -> None:
        super().__init__(f"Taylor mode cannot train through the custom torch.autograd.Function {function.__name__}")
        self.function = function


def refuse_custom_function() -> None:
    """Raise inside a custom `torch.autograd.Function`: its backward would have to say what its weights get.

    Raises:
        CustomFunctionError: one of the callers is such a function. A plain `torch.no_grad()` is let through: the
            derivatives by the inputs go on, the gradients to the weights end there, as the user wants.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is torch.autograd.Function.apply.__func__.__code__:
            raise CustomFunctionError(frame.f_locals["cls"])
        frame = frame.f_back


def _method(name: str) -> Callable:
    def method(self: Jet, *args: Any, **kwargs: Any) -> Any:
        return call(find_method(name), (self, *args), kwargs) if kwargs else find_method(name)(self, *args)

    return method


def _reflected(function: Callable) -> Callable:
    def method(self: Jet, other: Any) -> Any:
        return find(function)(other, self)

    return method


def _attribute(getter: Callable) -> property:
    def get(self: Jet) -> Any:
        return find(getter)(self)

    return property(get)


_REFLECTED = {
    "__radd__": torch.add,
    "__rsub__": torch.sub,
    "__rmul__": torch.mul,
    "__rtruediv__": torch.div,
    "__rpow__": torch.pow,
    "__rmatmul__": torch.matmul,
}
_COMPARISONS = {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
_OWN = {
    *dir(Jet),
    "__del__",
    "__dict__",
    "__weakref__",
    "__setstate__",
    "__deepcopy__",
    "__reduce_ex__",
} - _COMPARISONS


def _give_tensor_attributes() -> None:
    """Every method and attribute of a tensor is one of a jet, and asks for its rule."""
    for name in dir(Tensor):
        member = getattr(Tensor, name)
        if name in _REFLECTED:
            setattr(Jet, name, _reflected(_REFLECTED[name]))
        elif name in _OWN:
            continue
        elif callable(member):
            setattr(Jet, name, _method(name))
        elif hasattr(member, "__get__"):
            setattr(Jet, name, _attribute(member.__get__))


_give_tensor_attributes()
