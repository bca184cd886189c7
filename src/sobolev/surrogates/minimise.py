"""A small smooth loss, minimised by quasi-Newton steps."""

from collections.abc import Callable, Sequence

from torch import Tensor

from sobolev.optimizers import SelfScaledBFGS

_LEAST = 1e-2
"""A fall of the evidence's logarithm that says nothing."""
_EVALUATIONS = 20
"""In a line search: where more are needed, the loss is at its rounding, or bent by a bound of a parameter."""


def minimise(parameters: Sequence[Tensor], loss: Callable[[], Tensor], iterations: int) -> float:
    """Change the parameters so that the loss is small; returns it.

    Args:
        parameters: in float64.
        loss: of the parameters as they are.
        iterations: at most so many line searches.
    """
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = SelfScaledBFGS(parameters, iterations, _LEAST, _EVALUATIONS)
    optimizer.shared = False  # processes that do the same differ in last bits, and then in the number of steps

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.detach()

    optimizer.step(closure)
    for parameter in parameters:
        parameter.requires_grad_(False)
    return float(loss())
