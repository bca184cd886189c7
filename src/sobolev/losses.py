"""Losses in units that suit an optimiser, whatever units the data are in."""

from torch import Tensor


def scaled_squared_error(predicted: Tensor, target: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Mean of ((predicted - target) / scale)² over samples and outputs.

    Args:
        predicted: (batch, outputs), in the user's units.
        target: same shape and units.
        scale: standard deviation of each output, (outputs,). Without it a small unit starves Adam, whose epsilon is
            absolute, and a large one overflows float32.
    """
    return ((predicted - target) / scale).square().mean()
