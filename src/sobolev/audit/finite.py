"""Finite differences by Richardson extrapolation, each with an estimate of its own error."""

from collections.abc import Callable, Sequence
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
    along: Callable[[Sequence[float]], Tensor],
    largest: float = 0.2,
    ratio: float = 2.5,
    noise: float = 0.0,
    whole: float = 0.0,
) -> tuple[Estimate, Estimate]:
    """First and second derivative of t -> along(t) at 0.

    Central differences with shrinking steps are extrapolated to step 0 (Richardson); of the whole tableau
    each sample takes the entry that differs least from its neighbours (Ridders, Advances in Engineering
    Software 4, 1982).

    Args:
        along: values at several distances t, (distances, batch).
        largest: the first step; seven more follow.
        ratio: of one step to the next. By default they shrink to 3e-4: below, second differences drown in rounding.
        noise: what rounding makes of the values, relative to their size, where that is more than the last digit.
        whole: the size of what the values are rounded with, where that is more than their own: 1 - cos t near 0.
    """
    steps = [largest / ratio**j for j in range(_STEPS)]
    return _from_sides(along([0.0])[0], along([*steps, *(-h for h in steps)]), steps, ratio, noise, whole)


@plainly
def _from_sides(
    middle: Tensor, sides: Tensor, steps: list[float], ratio: float, noise: float, whole: float
) -> tuple[Estimate, Estimate]:
    plus, minus = sides.chunk(2)
    size = torch.cat([plus, minus, middle[None]]).abs().nan_to_num(0).amax(0)
    shaken = 4 * max(torch.finfo(middle.dtype).eps, noise) * size.clamp_min(whole)
    width = torch.tensor(steps, dtype=middle.dtype, device=middle.device)[:, None]
    first, second = (plus - minus) / (2 * width), (plus - 2 * middle + minus) / width**2
    kinked = _jump(second[-2:] * width[-2:] / 2, shaken / steps[-1], ratio)
    slopes = (first[-3:-1] - first[-2:]) / (width[-3:-1] - width[-3:-1] / ratio)
    bent = _jump(slopes, 10 * shaken / steps[-1] ** 2, ratio) + kinked / steps[-1]
    noises = torch.stack([shaken / width, 4 * shaken / width**2], 1)
    value, error = _extrapolated(torch.stack([first, second], 1), noises, ratio)
    return Estimate(value[0], error[0] + kinked), Estimate(value[1], error[1] + bent)


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


def _jump(differences: Tensor, noise: Tensor, ratio: float) -> Tensor:
    """What the sides differ by at the last two steps, where it does not shrink: a kink at the sample itself.

    Central differences would converge there, to the mean of both sides.
    """
    coarser, finest = differences.abs()
    stays = (finest > 1.15 / ratio * coarser) & (finest > 4 * noise)
    return torch.where(stays, 4 * finest, 0)


def _extrapolated(values: Tensor, noises: Tensor, ratio: float) -> Estimate:
    """Of what each step gives, (steps, ...): of the whole tableau, column by column, the entries nearest to others."""
    columns, spreads = [values], []
    for k in range(1, len(values)):
        factor, coarser, finer = ratio ** (2 * k), columns[-1][:-1], columns[-1][1:]
        columns.append((factor * finer - coarser) / (factor - 1))
        spreads.append(torch.maximum((columns[-1] - finer).abs(), (columns[-1] - coarser).abs()) + noises[k:])
    least, where = torch.cat(spreads).nan_to_num(torch.inf, torch.inf).min(0)
    best = torch.cat(columns[1:]).gather(0, where[None])[0].where(least.isfinite(), torch.nan)
    finest = columns[1][-1]  # coarse steps may agree and all be wrong
    return Estimate(best, least + (best - finest).abs().nan_to_num(torch.inf))
