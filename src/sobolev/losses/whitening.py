"""Joint weights for the entries of noisy gradients."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

GradientWeights = Literal["separate", "joint"]

_LEAST_EIGENVALUE = 0.1
"""Of the sum of all: bounds how much heavier one direction of the gradient can be than another, to 11 times."""


def gradient_whitening(
    labels: Sequence[Float[Tensor, "samples outputs ..."]], scale: Float[Tensor, "outputs inputs"]
) -> Float[Tensor, "entries entries"]:
    """A matrix W by which the errors e of a sample's gradient, in units of their scales, weigh |W e|², not |e|².

    W² is the inverse of the labels' matrix of second moments, bounded, and of a size such that the labels themselves
    weigh as much as before. For simulated labels this is what generalised least squares asks for (Aitken, 1936): the
    noise of a pathwise differential points where the gradients do, so what leads elsewhere is known much better. The
    network with the least expected loss is the same, the noise in the one found smaller; where gradients point
    everywhere alike, nothing changes.

    Args:
        labels: those of order 1 first, (samples, outputs, inputs).
        scale: of their entries.

    Raises:
        ValueError: a gradient is missing or not whole.
    """
    if not labels or not labels[0].isfinite().all():
        raise ValueError(
            "gradient_weights='joint' needs a label for every entry of the gradient at every training sample; some are "
            "missing: use 'separate'"
        )
    rows = (labels[0].double() / scale.double()).flatten(1)
    squares, axes = torch.linalg.eigh(rows.T @ rows / len(rows))
    inverse = 1 / (squares + _LEAST_EIGENVALUE * squares.sum())
    return axes * (inverse * squares.sum() / (inverse * squares).sum()).sqrt() @ axes.T
