"""Finite differences by Richardson extrapolation, each with an estimate of its own error."""

from collections.abc import Callable
from math import comb
from typing import NamedTuple

import torch
from torch import Tensor

from sobolev.audit.twin import plainly

_STEPS = 8


class Estimate(NamedTuple):
    """A derivative of every sample, and what its error rarely exceeds; both (batch,)."""

    value: Tensor
    error: Tensor

    def sharper(self, other: "Estimate") -> "Estimate":
        """Of every sample the estimate with the smaller error."""
        value = torch.where(self.error <= other.error, self.value, other.value)
        return Estimate(value, torch.minimum(self.error, other.error))


def finite_differences(
    along: Callable[[float], Tensor], largest: float = 0.2, ratio: float = 2.5, noise: float = 0.0
) -> tuple[Estimate, Estimate]:
    """First and second derivative of t -> along(t) at 0.

    Central differences with shrinking steps are extrapolated to step 0 (Richardson); of the whole tableau
    each sample takes the entry that differs least from its neighbours (Ridders, Advances in Engineering
    Software 4, 1982).

    Args:
        along: values (batch,) at distance t.
        largest: the first step; seven more follow.
        ratio: of one step to the next. By default they shrink to 3e-4: below, second differences drown in rounding.
        noise: what rounding makes of the values, relative to their size, where that is more than the last digit.
    """
    middle = along(0.0)
    steps = [largest / ratio**j for j in range(_STEPS)]
    sides = [(along(h), along(-h)) for h in steps]
    return _from_sides(middle, sides, steps, ratio, noise)


@plainly
def _from_sides(
    middle: Tensor, sides: list[tuple[Tensor, Tensor]], steps: list[float], ratio: float, noise: float
) -> tuple[Estimate, Estimate]:
    size = torch.stack([torch.maximum(p.abs(), m.abs()) for p, m in sides] + [middle.abs()]).nan_to_num(0).amax(0)
    shaken = 4 * max(torch.finfo(middle.dtype).eps, noise) * size
    first = [Estimate((p - m) / (2 * h), shaken / h) for (p, m), h in zip(sides, steps, strict=True)]
    second = [Estimate((p - 2 * middle + m) / h**2, 4 * shaken / h**2) for (p, m), h in zip(sides, steps, strict=True)]
    kinked = _jump([s.value * h / 2 for s, h in zip(second, steps, strict=True)], shaken / steps[-1], ratio)
    slopes = [(a.value - b.value) / (h - h / ratio) for a, b, h in zip(first, first[1:], steps, strict=False)]
    bent = _jump(slopes, 10 * shaken / steps[-1] ** 2, ratio) + kinked / steps[-1]
    slope, bend = _extrapolated(first, ratio), _extrapolated(second, ratio)
    return Estimate(slope.value, slope.error + kinked), Estimate(bend.value, bend.error + bent)


def rounding(values: Tensor) -> Tensor:
    """What rounding makes of values (places, batch) at places so close that all else is a low polynomial: (batch,).

    Their differences of order 2k are binomial(4k, 2k) times the variance of what is random in them (Moré & Wild,
    Estimating computational noise, SIAM Journal on Scientific Computing 33, 2011); those of a function that varies
    from place to place shrink with k.
    """
    fourth, sixth = (values.diff(n=n, dim=0).square().mean(0).div(comb(2 * n, n)).sqrt() for n in (4, 6))
    return sixth.where(sixth > 0.2 * fourth, 0)


@plainly
def as_rows(x: Tensor) -> Tensor:
    """(batch, ...) as (batch, entries), also where there is nothing behind the batch axis."""
    return x.reshape(len(x), -1)


def relative_rounding(values: Tensor) -> float:
    """The median of `rounding` over the samples, relative to the largest value."""
    size = values.abs().nan_to_num(0, 0).amax().item()
    return rounding(values).nan_to_num(0, 0).median().item() / size if size else 0.0


def _jump(differences: list[Tensor], noise: Tensor, ratio: float) -> Tensor:
    """What the sides differ by, where it does not shrink with the step: a kink at the sample itself.

    Central differences would converge there, to the mean of both sides.
    """
    coarser, finest = differences[-2].abs(), differences[-1].abs()
    stays = (finest > 1.15 / ratio * coarser) & (finest > 4 * noise)
    return torch.where(stays, 4 * finest, 0)


def _extrapolated(column: list[Estimate], ratio: float) -> Estimate:
    best = torch.full_like(column[0].value, torch.nan)
    least = torch.full_like(best, torch.inf)
    above: list[Tensor] = []  # the row of the tableau above
    for value, noise in column:
        row = [value]
        for k, coarser in enumerate(above, 1):
            factor = ratio ** (2 * k)
            row.append((factor * row[-1] - coarser) / (factor - 1))
            spread = torch.maximum((row[-1] - row[-2]).abs(), (row[-1] - coarser).abs()) + noise
            better = spread < least  # False where anything is not finite
            best, least = torch.where(better, row[-1], best), torch.where(better, spread, least)
        above = row
    finest = above[1]  # coarse steps may agree and all be wrong
    return Estimate(best, least + (best - finest).abs().nan_to_num(torch.inf))
