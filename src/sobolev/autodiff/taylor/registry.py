"""Which rule differentiates which function.

A rule is called in place of its function, with the same arguments, some of which are jets, and returns jets. It
is made of plain differentiable torch operations. Nearly every rule is one of three kinds, each one line with a
helper of `sobolev.autodiff.taylor.propagation`:

* *linear* in one argument (sum, reshape, roll, ...): `linear(jet, map)` applies the map to every coefficient;
* *bilinear* (mul, matmul, ...): `bilinear(multiply, a, b)`, the truncated product;
* *elementwise*: `compose(jet, coefficients)`, given f, f', f''/2!, ... at the value, or `elementwise(...)`.

Anything else is written in terms of these, by calling torch functions on the jets themselves.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional

RULES: dict[Callable, Callable] = {}
METHODS: dict[str, Callable] = {}
"""The rules of a tensor's methods by name: torch.compile cannot look up those that are written in Python."""

_METHOD_NAMES: dict[Any, list[str]] = {}
for _name in dir(Tensor):
    if callable(_member := getattr(Tensor, _name)):
        _METHOD_NAMES.setdefault(_member, []).append(_name)

_SYNONYMS = {"axis": "dim", "keepdims": "keepdim", "train": "training"}

_OPERANDS = (
    "condition", "self", "input", "tensors", "LU_data", "LU_pivots", "LU", "pivots", "A", "x1", "input1", "tensor",
    "mat", "mat1", "batch1", "tensor1", "vec", "vec1", "hx", "real", "imag", "abs", "other", "B", "x2", "input2",
    "mat2", "batch2", "tensor2", "vec2", "n",
)  # fmt: skip
"""What PyTorch calls the operands of its functions, in the order in which any of them takes them."""
_NAMES = frozenset(_OPERANDS)


_overload_rules: list[Callable[[OpOverload], Callable]] = []


class NoRuleError(NotImplementedError):
    """Taylor mode met a function for which no rule is registered."""


def rule(*functions: Callable | str) -> Callable[[Callable], Callable]:
    """Register the decorated rule for some functions.

    Args:
        functions: torch functions, methods or attribute getters as `__torch_function__` reports them; a name
            stands for the function of `torch`, of `torch.nn.functional`, the method and the operator of that name.

    Returns:
        The decorator, which hands the rule back unchanged.

    Examples:
        >>> import sobolev, torch
        >>> @sobolev.autodiff.rule(torch.special.entr)
        ... def entropy(x):
        ...     return -x * torch.log(x)
    """

    def register(implementation: Callable) -> Callable:
        for function in functions:
            named = _named(function) if isinstance(function, str) else [function]
            RULES.update(dict.fromkeys(named, implementation))
            names = (name for item in named for name in _METHOD_NAMES.get(item, ()))
            METHODS.update(dict.fromkeys(names, implementation))
        return implementation

    return register


def keyword_rule(function: Callable) -> Callable[[Callable], Callable]:
    """Register the decorated rule for a function of many arguments: it gets all of them by name, defaults filled in."""
    parameters = inspect.signature(function).parameters
    names = tuple(parameters)
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}

    def register(implementation: Callable) -> Callable:
        rule(function)(
            lambda *args, **kwargs: implementation(**defaults | dict(zip(names, args, strict=False)) | kwargs)
        )
        return implementation

    return register


def find(function: Callable) -> Callable:
    """The rule of a function.

    Raises:
        NoRuleError: there is none.
    """
    try:
        return RULES[function]
    except KeyError:
        if isinstance(function, OpOverload):
            return _overload_rules[0](function)
        if torch.compiler.is_compiling():  # __rdiv__, which is written in Python, and operator.truediv
            name = _title(function)
            if name in METHODS or f"__{name}__" in METHODS:
                return METHODS[name if name in METHODS else f"__{name}__"]
        raise NoRuleError(f"Taylor mode has no rule for {_title(function)}") from None


def resolve_overloads(find_rule: Callable[[OpOverload], Callable]) -> None:
    """Say who knows the rules of overloads, `torch.ops.aten.linear.default`, that exported programs are made of."""
    _overload_rules[:] = [find_rule]


def find_method(name: str) -> Callable:
    """The rule of a tensor's method.

    Raises:
        NoRuleError: there is none.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise NoRuleError(f"Taylor mode has no rule for {name}") from None


def call(implementation: Callable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply a rule, whichever of PyTorch's names its arguments were given by; operands may have others in the rule."""
    kwargs = {_SYNONYMS.get(name, name): value for name, value in kwargs.items() if name != "out" or value is not None}
    if "out" in kwargs:
        raise NoRuleError("Taylor mode cannot write derivatives into an ordinary tensor (out=...)")
    if any(name in _NAMES for name in kwargs):
        args = (*args, *[kwargs.pop(name) for name in _OPERANDS if name in kwargs])
    return implementation(*args, **kwargs)


def _named(name: str) -> list[Any]:
    homes = ((torch, name), (functional, name), (Tensor, name), (Tensor, f"__{name}__"))
    found = [getattr(home, name) for home, name in homes if hasattr(home, name)]
    if not found:
        raise ValueError(f"neither torch nor torch.nn.functional nor torch.Tensor has {name!r}")
    return found


def _title(function: Any) -> str:
    if getattr(function, "__name__", "") == "__get__":  # the getter of an attribute such as Tensor.T
        function = function.__self__
    return getattr(function, "__name__", None) or str(function)
