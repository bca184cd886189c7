"""Does a derivative agree with finite differences, to within what these can tell?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sobolev.audit.finite import Estimate, finite_differences
from sobolev.audit.twin import plainly

_SHARPNESS = {0: 1e-9, 1: 1e-7, 2: 1e-6}
"""Relative differences by order that matter: torch's own functions are no better (softplus ends in a straight line,
polygamma knows nine digits); beyond order 2, 1e-5."""
_MARGIN = 5
_NEGLIGIBLE = 1e-9
"""Of the function's range: derivatives below it, per distance between points, count as zero."""
_OTHER_STEPS = (0.13, 1e-4, 4e-8)
"""The first steps with which a mismatch is looked at again; each goes down to a 250th of it."""


@dataclass(frozen=True)
class Mismatch:
    """Where a derivative is off.

    Attributes:
        rows: which samples, (batch,) boolean.
        relative: root mean square of the difference over that of the truth, over all samples that are known.
        gap: the difference of every sample, (batch,).
        largest: the largest of them, relative to the truth as `relative` is.
    """

    rows: Tensor
    relative: float
    gap: Tensor
    largest: float


@plainly
def mismatch(
    claimed: Tensor, truth: Estimate, order: int, size: float, *, noise: float = 0.0, by_row: bool = False
) -> Mismatch | None:
    """The samples where `claimed` differs from `truth` by more than the error of the latter, if any.

    Differences count relative to the size of the derivative over all samples, or `by_row` to each one's own.
    `noise` is what rounding makes of `claimed`, relative to that size.
    """
    known = truth.error.isfinite()
    gap = (claimed - truth.value).abs().nan_to_num(torch.inf, torch.inf)
    clear = known & (truth.error < truth.value.abs())
    typical = max(rms(truth.value[clear]), _NEGLIGIBLE * size)
    scale = truth.value.abs().nan_to_num(0).clamp_min(_NEGLIGIBLE * size) if by_row else typical
    sharp = max(_SHARPNESS.get(order, 1e-5), torch.finfo(claimed.dtype).eps ** 0.5)
    rows = known & (gap > _MARGIN * (truth.error + noise * typical) + sharp * scale)
    if not rows.any():
        return None
    compared = rows if by_row else known
    whole = max(rms(truth.value[compared]), _NEGLIGIBLE * size)
    return Mismatch(rows, rms(gap[compared]) / whole, gap, gap[rows].amax().item() / whole)


def confirmed(
    found: Mismatch,
    claimed: Tensor,
    along: Callable[[Sequence[float]], Tensor],
    order: int,
    size: float,
    *,
    noises: Sequence[float] = (0.0, 0.0),
    by_row: bool = False,
) -> Mismatch | None:
    """What is left of it with other steps: an extrapolation may by chance look better than it is.

    Finer steps acquit the samples where they are sharp enough to tell, and agree: the function varies faster than
    the coarse ones can see. `noises` is what rounding makes of what is differenced, and of `claimed`.
    """
    rows, whole = found.rows, size if order <= 2 else 0.0
    for largest in _OTHER_STEPS:
        estimate = finite_differences(along, largest=largest, ratio=2.2, noise=noises[0], whole=whole)[
            0 if order != 2 else 1
        ]
        again = mismatch(claimed, estimate, order, size, noise=noises[1], by_row=by_row)
        off = torch.zeros_like(rows) if again is None else again.rows
        sharp = estimate.error < 0.1 * found.gap
        rows = rows & (off | ~sharp)
        if not rows.any():
            return None
    return replace(found, rows=rows)


@plainly
def rms(values: Tensor) -> float:
    """Root mean square; 0 of nothing."""
    return values.square().mean().sqrt().item() if values.numel() else 0.0
