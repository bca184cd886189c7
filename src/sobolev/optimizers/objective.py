"""A closure as a function of one flat vector of parameters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed

from sobolev.optimizers.line_search import Trial


class Objective:
    """Evaluates a closure along directions from a point, which is where the parameters are.

    Args:
        parameters: real or complex; those without a gradient have the gradient 0.
        closure: returns the loss after `backward`.

    Attributes:
        first: what the closure returned first.
    """

    def __init__(self, parameters: list[Tensor], closure: Callable[[], Any]) -> None:
        self._views = [as_real(p) for p in parameters]
        self._parameters, self._closure = parameters, torch.enable_grad()(closure)
        self._point = torch.cat([view.reshape(-1).double() for view in self._views])
        self.first: Any = None

    def start(self) -> Trial:
        """The loss and the gradient at the point.

        Raises:
            ValueError: one of them is not finite, or a gradient is sparse.
        """
        self.first = self._closure()
        trial = self._trial(self.first, None)
        if not (trial.finite and trial.gradient.isfinite().all()):
            count = int((~trial.gradient.isfinite()).sum())
            raise ValueError(
                f"the loss is {trial.loss:g} and its gradient has {count} entries that are not finite, before the "
                "first step on this batch; look for infinite data or too large weights"
            )
        return trial

    def along(self, direction: Tensor, step: float) -> Trial:
        """The loss, its slope and its gradient at the point plus a multiple of the direction."""
        self._write(self._point + step * direction)
        return self._trial(self._closure(), direction, step)

    def move(self, direction: Tensor, step: float) -> None:
        """Make that the point."""
        self._point = self._point + step * direction
        self._write(self._point)

    def _write(self, point: Tensor) -> None:
        for view, part in zip(self._views, point.split([view.numel() for view in self._views]), strict=True):
            view.copy_(part.view_as(view))

    def _trial(self, loss: Any, direction: Tensor | None, step: float = 0.0) -> Trial:
        gradient = torch.cat([_flat(p) for p in self._parameters])
        slope = 0.0 if direction is None else float(gradient @ direction)
        return Trial(step, _over_all_processes(loss), slope, gradient)


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor as real and imaginary parts, (..., 2), in the same memory; a real one as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _flat(parameter: Tensor) -> Tensor:
    """The gradient as a vector, 0 where there is none."""
    gradient = parameter.grad
    if gradient is None:
        gradient = torch.zeros_like(parameter)
    if gradient.is_sparse:
        raise ValueError(
            f"the gradient of a parameter of shape {tuple(parameter.shape)} is sparse, which quasi-Newton methods "
            "cannot use: torch.nn.Embedding(..., sparse=False)"
        )
    return as_real(gradient).reshape(-1).double()


def _over_all_processes(loss: Any) -> float:
    """The mean of the losses of all processes, as their gradients are means: all must take the same step."""
    mean = torch.as_tensor(loss).detach().double()
    if not (distributed.is_available() and distributed.is_initialized()):
        return float(mean)
    distributed.all_reduce(mean)
    return float(mean) / distributed.get_world_size()
