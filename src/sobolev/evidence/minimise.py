"""A small smooth loss, minimised by quasi-Newton steps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sobolev.optimizers import SelfScaledBFGS

_STEP = 10
"""Iterations between two looks at the progress."""


def minimise(parameters: Sequence[Tensor], loss: Callable[[], Tensor], iterations: int, least: float = 1e-2) -> float:
    """Change the parameters so that the loss is small; returns it.

    Args:
        parameters: in float64.
        loss: of the parameters as they are.
        iterations: at most so many line searches.
        least: a fall of the loss by less than this in ten of them is the end.
    """
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = SelfScaledBFGS(parameters, _STEP)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.detach()

    value = float("inf")
    for _ in range(0, iterations, _STEP):
        before = float(optimizer.step(closure))
        if value - before < least:
            break
        value = before
    with torch.no_grad():
        value = float(loss())
    for parameter in parameters:
        parameter.requires_grad_(False)
    return value
