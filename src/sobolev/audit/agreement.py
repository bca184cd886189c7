"""Does a derivative agree with finite differences, to within what these can tell?"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.audit.finite import Estimate, finite_differences

_SHARPNESS = {1: 1e-5, 2: 1e-4}
"""Relative differences by order that are no longer rounding or truncation; beyond order 2, 1e-3."""
_MARGIN = 5
_NEGLIGIBLE = 1e-9
"""Of the function's range: derivatives below it, per distance between points, count as zero."""


@dataclass(frozen=True)
class Mismatch:
    """Where a derivative is off.

    Attributes:
        rows: which samples, (batch,) boolean.
        relative: root mean square of the difference over that of the truth, over all samples that are known.
    """

    rows: Tensor
    relative: float


def mismatch(claimed: Tensor, truth: Estimate, order: int, size: float) -> Mismatch | None:
    """The samples where `claimed` differs from `truth` by more than the error of the latter, if any."""
    known = truth.error.isfinite()
    gap = (claimed - truth.value).abs().nan_to_num(torch.inf, torch.inf)
    scale = max(rms(truth.value[known & (truth.error < truth.value.abs())]), _NEGLIGIBLE * size)
    sharp = max(_SHARPNESS.get(order, 1e-3), torch.finfo(claimed.dtype).eps ** 0.5)
    rows = known & (gap > _MARGIN * truth.error + sharp * scale)
    if not rows.any():
        return None
    return Mismatch(rows, rms(gap[known]) / scale)


def confirmed(found: Mismatch, claimed: Tensor, along: Callable[[float], Tensor], order: int, size: float) -> bool:
    """Whether other steps show it too: an extrapolation may by chance look better than it is."""
    estimate = finite_differences(along, largest=0.13, ratio=2.2)[0 if order != 2 else 1]
    again = mismatch(claimed, estimate, order, size)
    return again is not None and bool((again.rows & found.rows).any())


def rms(values: Tensor) -> float:
    """Root mean square; 0 of nothing."""
    return values.square().mean().sqrt().item() if values.numel() else 0.0
