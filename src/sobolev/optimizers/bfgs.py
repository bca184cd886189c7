"""BFGS whose inverse Hessian is scaled down at every step where it promises too much."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from sobolev.optimizers.line_search import EVALUATIONS
from sobolev.optimizers.objective import as_real
from sobolev.optimizers.quasi_newton import Memory, QuasiNewton

_MOST_PARAMETERS = 10_000


class SelfScaledBFGS(QuasiNewton):
    """Self-scaled BFGS: for a small network and one batch of all data, the loss falls to the rounding of float64.

    Before each BFGS update the inverse Hessian is divided by min(1, y·s / s·Bs), with s the step, y the change of
    the gradient and Bs what the change should have been (Al-Baali, Numerical experience with a class of self-scaling
    quasi-Newton algorithms, 1998; for networks: Urbán, Stefanou & Pons, Unveiling the optimization process of
    physics informed neural networks, 2025). The first one is y·s / y·y times the identity (Nocedal & Wright, Numerical
    Optimization, 2006, equation 6.20). Steps satisfy the strong Wolfe conditions.

    Needs `precision: 64-true`, a batch of all rows, and neither gradient accumulation nor clipping. It keeps n²
    numbers of 8 bytes for n parameters: 2 MB for 500, 200 MB for 5,000. Learning rates change nothing, so a scheduler
    is no harm.

    Args:
        params: parameters or groups of them; all are one vector here.
        iterations: how many line searches a call of `step` does, on one batch.
        least: a few iterations that together lower the loss by less than this are the last ones of a call.
        evaluations: of the loss, at most so many in a line search.

    Raises:
        ValueError: more than 10,000 parameters; fewer than one iteration.

    Examples:
        >>> import torch
        >>> x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        >>> optimizer = SelfScaledBFGS([x])
        >>> def loss():
        ...     optimizer.zero_grad()
        ...     off = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        ...     off.backward()
        ...     return off
        >>> for _ in range(60):
        ...     off = optimizer.step(loss)
        >>> bool((x - 1).abs().max() < 1e-6)
        True
    """

    def __init__(self, params: Any, iterations: int = 20, least: float = 0.0, evaluations: int = EVALUATIONS) -> None:
        super().__init__(params, iterations, least, evaluations)
        count = sum(view.numel() for group in self.param_groups for view in map(as_real, group["params"]))
        if count > _MOST_PARAMETERS:
            raise ValueError(
                f"SelfScaledBFGS would need {8e-9 * count**2:.1f} GB for the inverse Hessian of {count} parameters; "
                f"its limit is {_MOST_PARAMETERS}. Take a smaller network, or sobolev.optimizers.LBFGS"
            )

    @override
    def direction(self, memory: Memory, gradient: Tensor) -> Tensor:
        return memory["inverse"] @ -gradient

    @override
    def learn(self, memory: Memory, step: Tensor, change: Tensor, predicted: float) -> None:
        curvature = float(step @ change)
        scale = min(1.0, curvature / predicted)
        if not memory:
            memory["inverse"] = torch.eye(len(step), dtype=step.dtype, device=step.device)
            scale = float(change @ change) / curvature
        inverse = memory["inverse"].div_(scale)
        pushed = inverse @ change
        # H - (Hy sᵀ + s yᵀH) / y·s + (1 + y·Hy / y·s) s sᵀ / y·s, as one product of two columns with two rows
        half = step * ((1 + float(change @ pushed) / curvature) / 2) - pushed
        inverse.addmm_(torch.stack([step, half], 1), torch.stack([half, step]), alpha=1 / curvature)
