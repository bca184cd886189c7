"""How large the solution of a problem is, and how large the residuals of its equations and conditions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.equations.components import Component

_DRAWS = 20


class Statement(NamedTuple):
    """An equation or a condition at its points, as a function of the derivatives in it."""

    where: str
    """Begins messages."""
    components: list[Component]
    """A condition may hold one more than once, at different places."""
    evaluate: Callable[[Sequence[Tensor]], Tensor]
    """From the values (..., rows) of the components to what must be 0, (..., rows)."""
    rows: int


def unknown_sizes(
    statements: Sequence[Statement], unknowns: int, deviation: Float64[Tensor, " inputs"]
) -> Float64[Tensor, " unknowns"]:
    """The size of each unknown at which one of its terms makes up for what a statement holds without unknowns.

    `u(0) = 3` suggests 3, `d2u_dx2 = 6` with inputs of standard deviation s suggests 6 s². Of several terms of one
    statement the strongest counts, then the largest suggestion of all statements; an unknown without any takes that of
    the others, and 1 if there is none.

    Args:
        statements: the equations and conditions.
        unknowns: how many unknowns there are.
        deviation: of the inputs.
    """
    sizes = torch.zeros(unknowns, dtype=torch.float64)
    for statement in statements:
        for unknown, size in _suggested(statement, deviation).items():
            sizes[unknown] = torch.maximum(sizes[unknown], size)
    others = sizes.max() if sizes.max() > 0 else torch.ones_like(sizes.max())
    return torch.where(sizes > 0, sizes, others)


def _suggested(statement: Statement, deviation: Float64[Tensor, " inputs"]) -> dict[int, Float64[Tensor, ""]]:
    """The size of each unknown of one statement."""
    nothing = [torch.zeros(statement.rows, dtype=torch.float64) for _ in statement.components]
    without, found = statement.evaluate(nothing), {}
    for i, c in enumerate(statement.components):
        alone = [value + unit(c, deviation) * (i == j) for j, value in enumerate(nothing)]
        factor = statement.evaluate(alone) - without
        given = without.isfinite() & factor.isfinite()
        if (
            factor[given] != 0
        ).any():  # means before the ratio: a factor, a normal's part say, may be nearly 0 somewhere
            size = (without[given].square().mean() / factor[given].square().mean()).sqrt()
            found[c.unknown] = torch.minimum(found.get(c.unknown, size), size)
    return found


def residual_size(
    statement: Statement, sizes: Float64[Tensor, " unknowns"], deviation: Float64[Tensor, " inputs"]
) -> float:
    """The median of what a statement leaves of functions of these sizes whose derivatives are drawn at random.

    Raises:
        ValueError: it is not finite at some of its points, whatever is drawn.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.randn(_DRAWS, statement.rows, dtype=torch.float64, generator=generator)
        * (float(sizes[c.unknown]) * unit(c, deviation))
        for c in statement.components
    ]
    size = statement.evaluate(drawn).abs()
    bad = int((~size.isfinite()).all(0).sum())
    if bad:
        raise ValueError(
            f"{statement.where} is not finite at {bad} of {statement.rows} points; change it or the domain"
        )
    size = size[size.isfinite() & (size > 0)]  # a factor of 0 leaves a point out
    return float(size.median()) if len(size) else 1.0


def unit(c: Component, deviation: Float64[Tensor, " inputs"]) -> float:
    """The size of a derivative of a function of size 1 that varies over the domain."""
    return float((deviation ** -torch.tensor(c.orders, dtype=torch.float64)).prod())
