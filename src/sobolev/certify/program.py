"""A forward as the list of plain operations that it is made of, recorded while it runs on a tensor.

Those who look at a network a second time, without enclosures, read it from here: whoever checks a certificate, and the
bounds of rounding.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from sobolev.certify.balls import Array


class Value(NamedTuple):
    """A result: the input is number 0, the result of the first step number 1."""

    number: int


class Step(NamedTuple):
    """One operation on earlier results and constants, which broadcast as in numpy."""

    operation: str
    """add, sub, mul, div, neg, pow, linear, sum, gather, or the name of a function of one number."""
    operands: tuple[Value | Array, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Program:
    """The operations of a forward of one sample, (1, inputs) to (1, ...).

    Attributes:
        steps: in their order.
        result: which of the results it returns.
        mixed: an operation whose result has another precision than the input, if there is one.
    """

    steps: tuple[Step, ...]
    result: Value
    mixed: str | None = None

    def to_list(self) -> list[dict[str, Any]]:
        """Plain types; a step that does nothing brings the result to the end."""
        steps = [*self.steps, Step("same", (self.result,), {})]
        return [{"operation": s.operation, "operands": [_plain(o) for o in s.operands], **s.options} for s in steps]


class UnknownOperationError(TypeError):
    """A forward calls something that is no plain operation."""


def recorded(network: Callable[[Any], Any], inputs: int, dtype: torch.dtype | None = None) -> Program:
    """The operations that a network calls.

    Args:
        network: maps (batch, inputs) to (batch, outputs).
        inputs: their number.
        dtype: the precision in which it runs; by default that of its weights.

    Raises:
        UnknownOperationError: one of them is not known here.
    """
    if isinstance(network, nn.Module) and dtype is not None:
        network = deepcopy(network).to(dtype)
    like = (
        next((p for p in network.parameters() if p.is_floating_point()), None)
        if isinstance(network, nn.Module)
        else None
    )
    x = torch.full((1, inputs), 0.5, dtype=dtype or (torch.float64 if like is None else like.dtype))
    x = x if like is None else x.to(like.device)
    recorder = _Recorder(x)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), recorder:
        y = network(x)
    result = recorder.find(y)
    if result is None:
        raise UnknownOperationError("the result does not depend on the input by operations known here")
    return Program(tuple(recorder.steps), result, recorder.mixed)


def steps_of(network: Callable[[Any], Any], inputs: int) -> list[dict[str, Any]] | None:
    """The operations in plain types; None where they cannot be recorded, or hold numbers that are none."""
    try:
        program = recorded(network, inputs)
    except Exception:  # the network was enclosed; whoever wants to check it is told
        return None
    constants = [o for step in program.steps for o in step.operands if not isinstance(o, Value)]
    return program.to_list() if all(np.isfinite(c).all() for c in constants) else None


class _Recorder(TorchFunctionMode):
    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.mixed: str | None = None
        self._dtype = x.dtype
        self._known: dict[int, tuple[Tensor, Value]] = {id(x): (x, Value(0))}

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        leaves = [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, Tensor)]
        if leaves and any(self.find(leaf) is not None for leaf in tree_flatten((args, kwargs))[0]):
            name = function.__name__.strip("_").removeprefix("special_")
            self._record(name, function, args, kwargs, leaves)
        return result

    def find(self, x: Any) -> Value | None:
        """The result that a tensor is."""
        known = self._known.get(id(x))
        return known[1] if known else None

    def step(self, operation: str, *operands: Any, **options: Any) -> Value:
        """Note an operation; constants are kept as exact arrays of float64."""
        self.steps.append(Step(operation, tuple(map(self._operand, operands)), options))
        return Value(len(self.steps))

    def _operand(self, x: Any) -> Value | Array:
        if isinstance(x, Value):
            return x
        if isinstance(x, Tensor):
            return self.find(x) or x.detach().cpu().double().numpy().copy()
        if isinstance(x, np.ndarray | float | int) and not isinstance(x, bool):
            return np.asarray(x, dtype=np.float64)
        raise UnknownOperationError(f"an operand is a {type(x).__name__}")

    def constant(self, x: Any) -> Array:
        """An operand that may not depend on the input."""
        found = self._operand(x)
        if isinstance(found, Value):
            raise UnknownOperationError("weights depend on the input")
        return found

    def _record(self, name: str, function: Callable, args: Any, kwargs: Any, leaves: list[Tensor]) -> None:
        if name in _SAME and self.find(args[0]) is None:
            return  # a constant, converted to what depends on the input
        if name in _SAME:
            found = [self.step("same", args[0])]
        elif name in _REARRANGING:
            found = self._rearranged(function, args, kwargs)
        elif name in _OPERATIONS:
            found = [_OPERATIONS[name](self, *args, **kwargs)]
        elif name in _FUNCTIONS and len(args) + len(kwargs) == 1:
            found = [self.step(_FUNCTIONS[name], *args, *kwargs.values())]
        else:
            raise UnknownOperationError(f"{name} is not recorded")
        for leaf, value in zip(leaves, found, strict=True):
            self._known[id(leaf)] = (leaf, value)
            if leaf.dtype != self._dtype:
                self.mixed = name

    def _rearranged(self, function: Callable, args: Any, kwargs: Any) -> list[Value]:
        """What merely moves numbers is run on their places."""
        moved = [
            leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor) and leaf.is_floating_point()
        ]
        starts = [0, *accumulate(t.numel() for t in moved)]
        places = {
            id(t): torch.arange(t.numel()).reshape(t.shape) + start for t, start in zip(moved, starts, strict=False)
        }
        args, kwargs = tree_map(lambda leaf: places.get(id(leaf), leaf), (args, kwargs))
        results = tree_flatten(function(*args, **kwargs))[0]
        return [self.step("gather", *moved, index=r.tolist(), shape=list(r.shape)) for r in results]


def _sum(r: _Recorder, x: Any, dim: Any = None, keepdim: bool = False) -> Value:
    axes = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    return r.step("sum", x, axes=sorted(axis % x.dim() for axis in axes), keepdim=keepdim)


def _mean(r: _Recorder, x: Any, dim: Any = None, keepdim: bool = False) -> Value:
    axes = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    terms = int(np.prod([x.shape[axis] for axis in axes]))
    return r.step("div", _sum(r, x, dim, keepdim), terms)


def _linear(r: _Recorder, input: Any, weight: Any, bias: Any = None) -> Value:  # noqa: A002
    weight = r.constant(weight)
    return r.step("linear", input, weight, np.zeros(len(weight)) if bias is None else r.constant(bias))


def _matmul(r: _Recorder, a: Any, b: Any) -> Value:
    weight = r.constant(b).T
    if weight.ndim != 2:
        raise UnknownOperationError("a product of matrices with more than two axes is not recorded")
    return r.step("linear", a, weight, np.zeros(len(weight)))


def _add(r: _Recorder, a: Any, b: Any, *, alpha: float = 1) -> Value:
    return r.step("add", a, b if alpha == 1 else r.step("mul", b, alpha))


def _sub(r: _Recorder, a: Any, b: Any, *, alpha: float = 1) -> Value:
    return r.step("sub", a, b if alpha == 1 else r.step("mul", b, alpha))


def _pow(r: _Recorder, a: Any, exponent: Any) -> Value:
    power = r.constant(exponent)
    if power.ndim:
        raise UnknownOperationError("a power with a tensor of exponents is not recorded")
    return r.step("pow", a, exponent=float(power))


def _softplus(r: _Recorder, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Value:
    return r.step("softplus", x, beta=float(beta), threshold=float(threshold))


def _gelu(r: _Recorder, x: Any, approximate: str = "none") -> Value:
    return r.step("gelu" if approximate == "none" else "gelu_tanh", x)


def _dropout(r: _Recorder, x: Any, *_: Any, training: bool = True, **__: Any) -> Value:
    if training:
        raise UnknownOperationError("dropout in training is not recorded")
    return r.step("same", x)


_OPERATIONS: dict[str, Callable[..., Value]] = {
    **dict.fromkeys(("add", "radd"), _add),
    **dict.fromkeys(("sub", "subtract"), _sub),
    "rsub": lambda r, a, b: r.step("sub", b, a),
    **dict.fromkeys(("mul", "multiply", "rmul"), lambda r, a, b: r.step("mul", a, b)),
    **dict.fromkeys(("div", "divide", "true_divide", "truediv"), lambda r, a, b: r.step("div", a, b)),
    **dict.fromkeys(("rdiv", "rtruediv"), lambda r, a, b: r.step("div", b, a)),
    "pow": _pow,
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm"), _matmul),
    "addmm": lambda r, bias, a, b: r.step("add", _matmul(r, a, b), bias),
    "sum": _sum,
    "mean": _mean,
    "softplus": _softplus,
    "gelu": _gelu,
    "silu": lambda r, x, inplace=False: r.step("silu", x),  # noqa: ARG005
    "dropout": _dropout,
    "zeros_like": lambda r, x, **_: r.step("mul", x, 0),
    "ones_like": lambda r, x, **_: r.step("add", r.step("mul", x, 0), 1),
}
_NAMED = (
    "tanh sigmoid sin cos tan exp log erf erfc ndtr atan asin acos sinh cosh expm1 log1p asinh acosh atanh sqrt rsqrt"
)
_FUNCTIONS = {name: name for name in (*_NAMED.split(), "reciprocal", "square", "neg")} | {
    "expit": "sigmoid",
    "negative": "neg",
    "arctan": "atan",
    "arcsin": "asin",
    "arccos": "acos",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
}
_SAME = {"clone", "contiguous", "double", "float", "to", "type_as", "pos", "positive"}
_MOVING = (
    "reshape view flatten unflatten unsqueeze squeeze getitem cat concat concatenate stack hstack vstack chunk split"
)
_MOVING_TOO = "unbind permute transpose expand repeat flip narrow select index_select movedim"
_REARRANGING = {*_MOVING.split(), *_MOVING_TOO.split()}


def _plain(operand: Value | Array) -> dict[str, Any]:
    return {"value": operand.number} if isinstance(operand, Value) else {"constant": operand.tolist()}
