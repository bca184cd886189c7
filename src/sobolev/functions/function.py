"""`Function`: a target with exact values and derivatives of every order."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from sobolev.errors import check_counts
from sobolev.functions.callable import CallableSource, load
from sobolev.functions.formula import FormulaSource

_CHUNK = 1 << 16
_IMPORT_PATH = re.compile(r"\s*[^\W\d]\w*(\.[^\W\d]\w*)+\s*")


class Function:
    """A function of named variables, known with all its derivatives.

    A formula is differentiated symbolically and computed in float64. It may use + - * / **, numbers, pi and E,
    comparisons in `where(x > 0, a, b)`, and sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh exp
    expm1 log log1p log2 log10 sqrt cbrt abs sign heaviside min max relu sigmoid softplus erf erfc Phi (the normal
    distribution) gamma lgamma digamma j0 j1 i0 i1 (Bessel). Several formulas, separated by commas, are several
    outputs. At a kink the derivative is the one of the branch that holds there (a >= b for min, max and abs);
    a jump has no delta. Nothing in the text is run as code.

    A callable of torch, or its import path `"package.module.function"`, is differentiated by reverse mode in
    float64. It maps (batch, inputs) to (batch, outputs) or (batch,).

    Args:
        expression: a formula, an import path, or a callable.
        variables: the inputs, in their order. By default the names in the formula, alphabetically (pi, E, e and
            the functions are no variables unless listed here); `("x",)` for a callable.

    Attributes:
        name: the formula or the path.
        inputs: the names of the variables.
        outputs: the names of the outputs: "y" for one, "y1", "y2", ... for several; the letter is the first of
            y, f, u, w, output that gives no input's name.

    Raises:
        ValueError: no formula, an unknown name, no such import; said with what to do.
        TypeError: neither text nor callable.

    Examples:
        >>> import sobolev, torch
        >>> f = sobolev.Function("sin(x)*exp(-y)")
        >>> f.inputs
        ('x', 'y')
        >>> f.jacobian(torch.tensor([[0.0, 0.0]]))
        (tensor([[0.]]), tensor([[[1., -0.]]]))
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __init__(self, expression: str | Callable[[Tensor], Tensor], variables: Sequence[str] | None = None) -> None:
        self._arguments = (expression, None if variables is None else tuple(variables))
        self._source = _source(*self._arguments)
        self.name = self._source.name
        self.inputs = self._source.inputs
        self.outputs = _output_names(self._source.outputs, self.inputs)

    def __call__(self, x: Tensor) -> Float[Tensor, "batch outputs"]:
        """The value (batch, outputs) at x (batch, inputs), in x's dtype and on its device."""
        return self.tensors(x, 0)[0]

    def tensors(self, x: Tensor, order: int) -> tuple[Float[Tensor, "batch outputs *inputs"], ...]:
        """The full derivative tensors of every order 0 to `order`.

        Args:
            x: the points (batch, inputs), floating point.
            order: the highest order.

        Returns:
            Tensors (batch, outputs), (batch, outputs, inputs), (batch, outputs, inputs, inputs), ...

        Raises:
            ValueError: x has another number of columns; a negative order.
            TypeError: x is not a floating-point tensor.
        """
        self._check(x, order)
        double = x.double() if x.device.type != "mps" else x.cpu().double()
        blocks = [self._source.tensors(block, order) for block in double.split(_CHUNK)]
        return tuple(torch.cat(column).to(x) for column in zip(*blocks, strict=True))

    def derivatives(
        self, x: Tensor, order: int = 2, direction: Tensor | None = None
    ) -> tuple[Float[Tensor, "batch outputs"], ...]:
        """Value and derivatives along a direction, every order up to `order`, each (batch, outputs).

        Args:
            x: the points (batch, inputs).
            order: the highest order.
            direction: (inputs) or (batch, inputs); may be left out only where there is one input.
        """
        if direction is None and len(self.inputs) != 1:
            raise ValueError(
                f"{self.name!r} has {len(self.inputs)} inputs ({', '.join(self.inputs)}): say along "
                "which direction to differentiate, or use .jacobian or .hessian"
            )
        tensors = self.tensors(x, order)
        along = torch.ones_like(x) if direction is None else torch.as_tensor(direction).to(x)
        if along.shape not in (x.shape, x.shape[1:]):
            raise ValueError(
                f"direction has shape {tuple(along.shape)}; it must be {tuple(x.shape[1:])} or {tuple(x.shape)}"
            )
        along = along.expand(x.shape)
        return tuple(_contract(tensor, along) for tensor in tensors)

    def jacobian(self, x: Tensor) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch outputs inputs"]]:
        """Value (batch, outputs) and Jacobian (batch, outputs, inputs)."""
        y, jacobian = self.tensors(x, 1)
        return y, jacobian

    def hessian(
        self, x: Tensor
    ) -> tuple[
        Float[Tensor, "batch outputs"],
        Float[Tensor, "batch outputs inputs"],
        Float[Tensor, "batch outputs inputs inputs"],
    ]:
        """Value, Jacobian and Hessian (batch, outputs, inputs, inputs)."""
        y, jacobian, hessian = self.tensors(x, 2)
        return y, jacobian, hessian

    @property
    def source(self) -> "_Source":
        """Where the values come from: a formula or a callable."""
        return self._source

    def _check(self, x: Tensor, order: int) -> None:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"x is {kind}; {self.name!r} needs a floating-point tensor (batch, {len(self.inputs)})")
        if x.dim() != 2 or x.shape[1] != len(self.inputs):
            raise ValueError(
                f"x has shape {tuple(x.shape)}; {self.name!r} needs (batch, {len(self.inputs)}), "
                f"one column for each of {', '.join(self.inputs)}"
            )
        check_counts(0, order=order)

    def __repr__(self) -> str:
        return f"Function({self.name!r}, {list(self.inputs)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Function, self._arguments


class _Source(Protocol):
    """Where values and derivatives come from, in float64."""

    name: str
    inputs: tuple[str, ...]
    outputs: int

    def tensors(self, x: Tensor, order: int) -> list[Tensor]: ...


def _source(expression: Any, variables: tuple[str, ...] | None) -> _Source:
    if variables == ():
        raise ValueError("the list of variables is empty; name at least one")
    if isinstance(expression, str) and not _IMPORT_PATH.fullmatch(expression):
        return FormulaSource(expression, variables)
    if isinstance(expression, str):
        return CallableSource(load(expression.strip()), expression.strip(), variables or ("x",))
    if callable(expression):
        name = getattr(expression, "__qualname__", type(expression).__name__)
        function: Callable[..., Any] = expression
        return CallableSource(function, name, variables or ("x",))
    raise TypeError(f"a function is a formula, an import path or a callable, not {type(expression).__name__}")


def _output_names(count: int, inputs: Sequence[str]) -> tuple[str, ...]:
    letters = itertools.chain(("y", "f", "u", "w"), (f"output{'_' * n}" for n in itertools.count()))
    names = ((letter, *(f"{letter}{i + 1}" for i in range(count))) for letter in letters)
    letter, *numbered = next(candidate for candidate in names if not set(candidate) & set(inputs))
    return (letter,) if count == 1 else tuple(numbered)


def _contract(
    tensor: Float[Tensor, "batch outputs *inputs"], direction: Float[Tensor, "batch size"]
) -> Float[Tensor, "batch outputs"]:
    """D^k f[v, ..., v] from the full tensor (batch, outputs, in, ..., in)."""
    while tensor.dim() > 2:
        v = direction.reshape(len(direction), *(1,) * (tensor.dim() - 2), -1)
        tensor = (tensor * v).sum(-1)
    return tensor
