"""How the learning rate changes over a training."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR


class CosineToZero(CosineAnnealingLR):
    """The learning rate falls along half a cosine to 0 over the whole training, however long it is.

    `sobolev.Regressor` sets the number of steps once the trainer knows it (Loshchilov & Hutter, SGDR, 2017, eq. 5).

    Args:
        optimizer: whose learning rate it sets.
        steps: number of optimiser steps until 0.
    """

    def __init__(self, optimizer: Optimizer, steps: int = 1) -> None:
        super().__init__(optimizer, T_max=steps)
