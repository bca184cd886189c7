"""A small smooth loss, minimised by quasi-Newton steps, or by Gauss-Newton ones where its information is known."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.optimizers import SelfScaledBFGS

_LEAST = 1e-2
"""A fall of the evidence's logarithm that says nothing."""
_EVALUATIONS = 20
"""In a line search: where more are needed, the loss is at its rounding, or bent by a bound of a parameter."""
_LONGEST = 2.0
"""Of the step of a parameter, all being logarithms."""
_DAMPING, _MOST_DAMPING, _FLAT = 0.1, 1e8, 1e-3
"""At the start, and where no step lowers the loss; in parts of each parameter's own information, and of the largest."""
_STEPS = 100
_NEGLIGIBLE, _SLOW = 0.1, 3
"""A fall of the evidence's logarithm by which nothing is chosen; so many of them in turn are the last."""


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


Numbers = Float64[Tensor, " parameters"]


def minimise_by_information(
    start: Numbers,
    low: Numbers,
    high: Numbers,
    loss: Callable[[Numbers], tuple[Tensor, Numbers, Float64[Tensor, "parameters parameters"]]],
) -> tuple[float, Numbers]:
    """The smallest loss found between bounds, and where.

    Gauss-Newton steps, damped (Marquardt, An algorithm for least-squares estimation of nonlinear parameters, 1963) as
    much as the last one promised more than it kept (Nielsen, Damping parameter in Marquardt's method, 1999);
    parameters that a bound holds back stay there.

    Args:
        start: where to begin.
        low: the bounds below.
        high: those above.
        loss: its value, gradient, and positive semidefinite information.
    """
    now = start.clamp(low, high)
    value, gradient, information = loss(now)
    damping, growth, slow = _DAMPING, 2.0, 0
    for _ in range(_STEPS):
        held = ((now <= low) & (gradient > 0)) | ((now >= high) & (gradient < 0))
        step = _step(gradient.masked_fill(held, 0), information, held, damping)
        there = (now + step * (_LONGEST / step.abs().max()).clamp_max(1.0)).clamp(low, high)
        step = there - now
        promised = float(-gradient @ step - 0.5 * step @ information @ step)
        found = loss(there)
        fall = float(value - found[0])
        if fall > 0:
            damping *= max(0.2, 1 - (2 * fall / promised - 1) ** 3) if promised > 0 else 1.0
            growth, slow = 2.0, slow + 1 if fall < _NEGLIGIBLE else 0
            now, (value, gradient, information) = there, found
        else:
            damping, growth, slow = damping * growth, growth * 2, slow + 1 if promised < _NEGLIGIBLE else 0
        if slow == _SLOW or damping > _MOST_DAMPING:
            break
    return float(value), now


def _step(gradient: Tensor, information: Tensor, held: Tensor, damping: float) -> Tensor:
    own = information.diagonal()
    scale = (own + _FLAT * own.max()).sqrt()
    scaled = (information / scale.outer(scale)).masked_fill(held[:, None] | held, 0)
    return torch.linalg.solve(scaled + damping * torch.eye(len(scale)).to(scaled), -gradient / scale) / scale
