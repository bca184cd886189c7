"""What the quasi-Newton optimisers share: all parameters as one vector, and the loop around the line search."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from sobolev.errors import check_counts
from sobolev.optimizers.line_search import EVALUATIONS, Trial, strong_wolfe
from sobolev.optimizers.objective import Objective

Memory = dict[str, Any]
"""What is known of the curvature: tensors and numbers, nothing at the start."""

_MEMORY = "curvature"
"""The key of the state. It is no parameter: torch casts the state of a parameter to the parameter's precision."""


_FEW = 10
"""Iterations of which some slow ones say nothing yet."""
_LEAST_CURVATURE = 1e-12
"""Cosine of the angle between step and change of gradient below which the curvature is rounding; never absolute."""


class QuasiNewton(Optimizer):
    """Minimises the loss of a closure along directions that know its curvature, in float64.

    Every pair of a step and a change of gradient comes from one batch, so the next call may bring another one.

    Args:
        params: parameters or groups of them; all are one vector here.
        iterations: how many line searches a call of `step` does.
        least: a few iterations that together lower the loss by less than this are the last ones of a call.
        evaluations: of the loss, at most so many in a line search.

    Attributes:
        shared: whether the loss is a part of that of all processes, which take the same steps.

    Raises:
        ValueError: fewer than one iteration.
    """

    shared = True

    def __init__(self, params: Any, iterations: int, least: float = 0.0, evaluations: int = EVALUATIONS) -> None:
        check_counts(1, iterations=iterations, evaluations=evaluations)
        super().__init__(params, {"lr": 1.0})  # schedulers want one; the line search alone chooses the step
        self.iterations, self.least, self.evaluations = iterations, least, evaluations

    @abstractmethod
    def direction(self, memory: Memory, gradient: Tensor) -> Tensor:
        """Minus the inverse Hessian times the gradient, (parameters,)."""

    @abstractmethod
    def learn(self, memory: Memory, step: Tensor, change: Tensor, predicted: float) -> None:
        """Take up the curvature along a step.

        Args:
            memory: to be changed.
            step: of the parameters, (parameters,).
            change: of the gradient by the step, (parameters,); its product with the step is positive.
            predicted: what that product would have been if the memory were right.
        """

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what another run has learnt, in the precision in which it was learnt, on the parameters' device."""
        super().load_state_dict(state_dict)
        self.state[_MEMORY] = _copied(self.state[_MEMORY], self.param_groups[0]["params"][0].device)  # pyright: ignore[reportArgumentType]

    @override
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do some iterations, fewer where the loss cannot be lowered further.

        Args:
            closure: clears the gradients, computes the loss, calls `backward`, and returns the loss; None: no step.

        Returns:
            What the closure returned first.

        Raises:
            ValueError: no closure; sparse, accumulated or clipped gradients; a loss or a gradient that is not finite at
                the start.
        """
        if closure is None:
            raise ValueError(f"{type(self).__name__}.step needs a closure; a precision that scales gradients has none")
        objective = Objective([p for group in self.param_groups for p in group["params"]], closure, self.shared)
        now, memory = objective.start(), self.state[_MEMORY]  # pyright: ignore[reportArgumentType]
        if now is None:
            return None
        if memory.get("converged_at") == now.loss:
            return objective.first
        memory.pop("converged_at", None)
        losses = [now.loss]
        for _ in range(self.iterations):
            found = self._iterate(memory, objective, now)
            if found is None:
                memory["converged_at"] = now.loss
                break
            now = found
            losses.append(now.loss)
            if len(losses) > _FEW and losses[-1 - _FEW] - now.loss < self.least:
                break
        return objective.first

    def _iterate(self, memory: Memory, objective: Objective, now: Trial) -> Trial | None:
        """One line search, along the gradient where what is known of the curvature leads nowhere."""
        found = self._search(memory, objective, now)
        if found is None and memory:
            memory.clear()
            found = self._search(memory, objective, now)
        return found

    def _search(self, memory: Memory, objective: Objective, now: Trial) -> Trial | None:
        length = now.gradient.abs().sum()
        direction = self.direction(memory, now.gradient) if memory else -now.gradient / length
        start = now._replace(step=0.0, slope=float(direction @ now.gradient))
        if not start.slope < 0:
            return None
        found = strong_wolfe(lambda step: objective.along(direction, step), start, 1.0, self.evaluations)
        objective.move(direction, 0.0 if found is None else found.step)
        if found is None:
            return None
        step, change = found.step * direction, found.gradient - now.gradient
        if step @ change > _LEAST_CURVATURE * step.norm() * change.norm():
            self.learn(memory, step, change, -(found.step**2) * start.slope)
        return found


SEARCHING = (QuasiNewton, torch.optim.LBFGS)
"""Optimisers that evaluate the loss of one batch several times a step, along a line."""


def _copied(value: Any, device: torch.device) -> Any:
    """A copy, since the optimiser writes over its tensors; numbers as they are."""
    if isinstance(value, dict):
        return {name: _copied(item, device) for name, item in value.items()}
    if isinstance(value, list):
        return [_copied(item, device) for item in value]
    return value.to(device, copy=True) if isinstance(value, Tensor) else value
