"""L-BFGS for any loss, however small."""

from typing import Any

from torch import Tensor
from typing_extensions import override

from sobolev.errors import check_counts
from sobolev.optimizers.quasi_newton import Memory, QuasiNewton


class LBFGS(QuasiNewton):
    """L-BFGS that does not stall where the loss is small, for networks too large for `SelfScaledBFGS`.

    `torch.optim.LBFGS` drops every pair of step s and change of gradient y with y·s <= 1e-10, and stops at other
    absolute thresholds, so a loss of 1e-8 is the end. Here all thresholds are relative. Two-loop recursion: Nocedal &
    Wright, Numerical Optimization (2006), algorithm 7.4; steps satisfy the strong Wolfe conditions.

    Needs `precision: 64-true`, a batch of all rows, and neither gradient accumulation nor clipping. It keeps 16 bytes
    for each parameter and remembered step. Learning rates change nothing, so a scheduler is no harm.

    Args:
        params: parameters or groups of them; all are one vector here.
        iterations: how many line searches a call of `step` does, on one batch.
        history: how many steps are remembered.

    Raises:
        ValueError: fewer than one iteration; no history.

    Examples:
        >>> import torch
        >>> x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        >>> optimizer = LBFGS([x])
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

    def __init__(self, params: Any, iterations: int = 20, history: int = 100) -> None:
        super().__init__(params, iterations)
        check_counts(1, history=history)
        self.history = history

    @override
    def direction(self, memory: Memory, gradient: Tensor) -> Tensor:
        pairs = list(zip(memory["steps"], memory["changes"], memory["curvatures"], strict=True))
        rest, parts = -gradient, []
        for step, change, curvature in reversed(pairs):
            parts.append((step @ rest) / curvature)
            rest = rest - parts[-1] * change
        _, change, curvature = pairs[-1]
        rest = rest * (curvature / (change @ change))
        for step, change, curvature in pairs:
            rest = rest + (parts.pop() - (change @ rest) / curvature) * step
        return rest

    @override
    def learn(self, memory: Memory, step: Tensor, change: Tensor, predicted: float) -> None:
        for name, item in (("steps", step), ("changes", change), ("curvatures", step @ change)):
            memory[name] = [*memory.get(name, []), item][-self.history :]
