"""Finite differences by Richardson extrapolation, each with an estimate of its own error."""

from collections.abc import Callable

import torch
from torch import Tensor

_LARGEST, _RATIO, _STEPS = 0.2, 2.5, 8
"""Steps in units of the direction; they shrink to 3e-4, where second differences lose digits to rounding."""


def finite_differences(along: Callable[[float], Tensor]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """First and second derivative of t -> along(t) at 0, each with a bound that its error rarely exceeds.

    Central differences with shrinking steps are extrapolated to step 0 (Richardson); of the whole tableau
    each sample takes the entry that differs least from its neighbours (Ridders 1982).
    """
    middle = along(0.0)
    steps = [_LARGEST / _RATIO**j for j in range(_STEPS)]
    sides = [(along(h), along(-h)) for h in steps]
    size = torch.stack([torch.maximum(p.abs(), m.abs()) for p, m in sides] + [middle.abs()]).nan_to_num(0).amax(0)
    noise = 4 * torch.finfo(middle.dtype).eps * size
    first = [((p - m) / (2 * h), noise / h) for (p, m), h in zip(sides, steps, strict=True)]
    second = [((p - 2 * middle + m) / h**2, 4 * noise / h**2) for (p, m), h in zip(sides, steps, strict=True)]
    return _extrapolated(first), _extrapolated(second)


def _extrapolated(column: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    best = torch.full_like(column[0][0], torch.nan)
    least = torch.full_like(best, torch.inf)
    above: list[Tensor] = []
    for value, noise in column:
        row = [value]
        for k, coarser in enumerate(above, 1):
            factor = _RATIO ** (2 * k)
            row.append((factor * row[-1] - coarser) / (factor - 1))
            spread = torch.maximum((row[-1] - row[-2]).abs(), (row[-1] - coarser).abs()) + noise
            better = spread < least  # False where anything is not finite
            best, least = torch.where(better, row[-1], best), torch.where(better, spread, least)
        above = row
    return best, least
