"""A small smooth loss, minimised by quasi-Newton steps, or by Newton's where its Hessian is about known."""

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
_LEAST_DAMPING, _DAMPING, _MOST_DAMPING, _FLAT = 1e-3, 0.1, 1e8, 1e-3
"""At least, at the start, and where no step lowers the loss; in parts of each parameter's curvature and the largest."""
_STEPS = 100
_NEAR = 1.0
"""A fall from which on the minimum is near."""
_NEGLIGIBLE, _SLOW = 0.05, 3
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
Square = Float64[Tensor, "parameters parameters"]


def minimise_by_newton(
    start: Numbers,
    low: Numbers,
    high: Numbers,
    loss: Callable[[Numbers], tuple[Tensor, Numbers, Square, Square]],
) -> tuple[float, Numbers]:
    """The smallest loss found between bounds, and where.

    Gauss-Newton steps, near the minimum Newton's, damped (Marquardt, An algorithm for least-squares estimation of
    nonlinear parameters, 1963) as much as the last one promised more than it kept (Nielsen, Damping parameter in
    Marquardt's method, 1999); parameters that a bound holds back stay there.

    Args:
        start: where to begin.
        low: the bounds below.
        high: those above.
        loss: its value, its gradient, and of its Hessian the part of Gauss and Newton and the rest.
    """
    now = start.clamp(low, high)
    value, gradient, information, rest = loss(now)
    damping, growth, slow, near = _DAMPING, 2.0, 0, False
    for _ in range(_STEPS):
        hessian = information + rest if near else information
        held = ((now <= low) & (gradient > 0)) | ((now >= high) & (gradient < 0))
        step = _step(gradient, hessian, held, damping)
        there = (now + step * (_LONGEST / step.abs().max()).clamp_max(1.0)).clamp(low, high)
        step = there - now
        promised = float(-gradient @ step - 0.5 * step @ hessian @ step)
        found = loss(there)
        fall = float(value - found[0])
        if fall > 0:
            damping *= max(0.2, 1 - (2 * fall / promised - 1) ** 3) if promised > 0 else 1.0
            damping, growth, slow, near = max(damping, _LEAST_DAMPING), 2.0, slow + 1, fall < _NEAR
            now, (value, gradient, information, rest) = there, found
        else:
            damping, growth, slow = damping * growth, growth * 2, slow + 1
        if max(fall, promised) > _NEGLIGIBLE:
            slow = 0
        if slow == _SLOW or damping > _MOST_DAMPING:
            break
    return float(value), now


def _step(gradient: Tensor, hessian: Tensor, held: Tensor, damping: float) -> Tensor:
    own = hessian.diagonal().abs()
    scale = (own + _FLAT * own.max()).sqrt()
    # negative curvatures are turned round (Dauphin et al., Identifying and attacking the saddle point problem, 2014)
    values, vectors = torch.linalg.eigh((hessian / scale.outer(scale)).masked_fill(held[:, None] | held, 0))
    inner = vectors.T @ (-gradient / scale).masked_fill(held, 0)
    return vectors @ (inner / (values.abs() + damping)) / scale
