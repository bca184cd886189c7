"""Which Taylor coefficients a jet carries, and how those of two jets multiply."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from sobolev.autodiff.taylor.hessian_contributions import NotCollapsibleError
from sobolev.autodiff.taylor.tape import Tape

BilinearMap = Callable[[Tensor, Tensor], Tensor]
"""Linear in each of two tensors, and broadcasting over a common leading axis: multiplication, matmul, ..."""

Second = Literal["diagonal", "sum", "pairs"]


@dataclass
class Space:
    """The truncated Taylor polynomials that one pass through a function computes.

    A coefficient is a derivative divided by a factorial. Those of all degrees above 0 lie side by side on a
    leading axis, `sizes[k - 1]` of them for degree k. Two families are enough for the five operators:

    * one direction, any order: one coefficient per degree;
    * several directions, order 1 or 2. The second degree holds, for directions v_i and v_j, half of
      D²f[v_i, v_j]: for every i = j (`"diagonal"`), summed over i = j (`"sum"`: the forward Laplacian), or
      for every i <= j (`"pairs"`, in the order of `torch.triu_indices`).

    Attributes:
        order: the highest degree.
        directions: how many directions share the pass; more than one only up to order 2.
        second: what the second degree holds.
        tape: notes what enters the second degree, which is then left out.
        graph: the results are to carry a graph to the weights.
        sizes: how many coefficients there are of degree 1, 2, ..., order.
    """

    order: int
    directions: int = 1
    second: Second = "diagonal"
    tape: Tape | None = None
    graph: bool = False
    sizes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        d = self.directions
        seconds = {"diagonal": d, "sum": 1, "pairs": d * (d + 1) // 2}[self.second]
        self.sizes = (d, seconds, *[1] * self.order)[: self.order if self.tape is None else 1]

    def second_degree(self, multiply: BilinearMap, a: Tensor, b: Tensor) -> Tensor:
        """The products of two first degrees, as the second degree holds them."""
        if self.tape is not None:
            raise NotCollapsibleError
        if self.second == "sum":
            return multiply(a, b).sum(0, keepdim=True)
        if self.second == "pairs":
            each = range(self.directions)
            return torch.cat([multiply(a[i : i + 1], b[i:]) + multiply(a[i:], b[i : i + 1]) for i in each]) / 2
        return multiply(a, b)

    def squares(self, a: Tensor) -> Tensor:
        """The squares of first degrees, as the second degree holds them."""
        if self.second == "pairs":
            return stacked_products(*((a[i], a[i:]) for i in range(len(a))))
        return sum_of_squares(a)[None] if self.second == "sum" else self.second_degree(torch.mul, a, a)

    def transposed_second_degree(self, a: Tensor, gradient: Tensor) -> Tensor:
        """The gradient with respect to b of the elementwise `second_degree` of a and b, given its own gradient."""
        if self.second != "pairs":
            return a * gradient
        d = self.directions
        i, j = torch.triu_indices(d, d, device=a.device)
        half = gradient / 2
        return torch.zeros_like(a).index_add(0, j, a[i] * half).index_add(0, i, a[j] * half)

    def add_crossed(self, multiply: BilinearMap, a: Tensor, b: Tensor, total: Tensor) -> None:
        """Add to `total`, whose first coefficient is of degree 1, all products of two degrees above 0.

        Args:
            multiply: the product of single coefficients.
            a: the higher coefficients of one factor; degrees missing at the end are zero.
            b: those of the other.
            total: receives what belongs to degree 2 and above, up to `order`.
        """
        d = self.directions
        if self.order == 2:
            total[d:] += self.second_degree(multiply, a[:d], b[:d])
            return
        for i in range(min(len(a), self.order - 1)):
            length = min(len(b), self.order - 1 - i)
            total[i + 1 : i + 1 + length] += multiply(a[i : i + 1], b[:length])


def stacked_products(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The products a b, each (rows, *shape) times (coefficients, 1 or rows, *shape), one below the other."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return torch.cat([a * b for a, b in pairs])
    (first, _), *_ = pairs
    products = first.new_empty(sum(b.shape[0] for _, b in pairs), *first.shape)
    start = 0
    for a, b in pairs:
        torch.mul(a, b, out=products[start : start + b.shape[0]])
        start += b.shape[0]
    return products


def sum_of_squares(a: Tensor) -> Tensor:
    """Σ_i a_i² along the first axis."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return a.square().sum(0)
    first, *rows = a.unbind(0)
    total = first * first
    for row in rows:  # the product of all rows is not written to memory
        total.addcmul_(row, row)
    return total
