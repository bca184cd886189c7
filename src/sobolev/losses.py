"""Losses in units that suit an optimiser, whatever units the data are in."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss


def scaled_squared_error(
    predicted: Float[Tensor, "batch outputs"],
    target: Float[Tensor, "batch outputs"],
    scale: Float[Tensor, "..."] | float = 1.0,
) -> Float[Tensor, ""]:
    """Mean of ((predicted - target) / scale)² over samples and outputs.

    Args:
        predicted: (batch, outputs), in the user's units.
        target: same shape and units.
        scale: standard deviation of each output, (outputs,). Without it a small unit starves Adam, whose epsilon is
            absolute, and a large one overflows float32.
    """
    return mse_loss(predicted / scale, target / scale)
