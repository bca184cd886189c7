"""What every derivative engine offers: the five operators on one block of rows."""

from collections.abc import Callable
from typing import Literal, Protocol

from torch import Tensor

BatchedFunction = Callable[[Tensor], Tensor]
"""Maps (batch, *in) to (batch, *out); one sample never looks at another."""

Method = Literal["auto", "taylor", "reverse"]
ChunkSize = Literal["auto"] | int | None


class Engine(Protocol):
    """An engine differentiates one block of rows, under the guard of `sobolev.autodiff.guard`.

    `x` is (batch, *in), floating point, never an inference tensor. The results are differentiable with
    respect to the weights, to `x` and to `direction`, whichever require gradients.
    """

    def derivatives(self, f: BatchedFunction, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
        """Value and directional derivatives up to `order`, each (batch, *out).

        `direction` is (batch, *in), or (1, *in) where it is the same for all rows.
        """
        ...

    def jacobian(self, f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value (batch, *out) and Jacobian (batch, *out, *in)."""
        ...

    def hessian(self, f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Value, Jacobian and Hessian (batch, *out, *in, *in)."""
        ...

    def hessian_diagonal(self, f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Value, Jacobian and unmixed second derivatives (batch, *out, *in)."""
        ...

    def laplacian(self, f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Value, Jacobian and the trace of the Hessian (batch, *out)."""
        ...
