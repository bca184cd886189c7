"""A closure as a function of one flat vector of parameters."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

from sobolev.optimizers.line_search import Trial


class Objective:
    """Evaluates a closure along directions from a point, which is where the parameters are.

    A loss and its gradient at several points are needed, so all of it must come from the closure: what other batches
    left in the gradients is unknown elsewhere, and clipped gradients are slopes of no function.

    Args:
        parameters: real or complex; those without a gradient have the gradient 0.
        closure: returns the loss after `backward`, or None for a batch that is to be passed over.
        shared: the loss is the mean over all processes, which take the same steps.

    Attributes:
        first: what the closure returned first.
    """

    def __init__(self, parameters: list[Tensor], closure: Callable[[], Any], shared: bool = True) -> None:
        self._views = [as_real(p) for p in parameters]
        self._parameters, self._closure, self._shared = parameters, torch.enable_grad()(closure), shared
        self._point = torch.cat([view.reshape(-1).double() for view in self._views])
        self.first: Any = None

    def start(self) -> Trial | None:
        """The loss and the gradient at the point; None where the closure passes over its batch.

        Raises:
            ValueError: one of them is not finite, or a gradient is sparse, accumulated or changed after `backward`.
        """
        left = [p.grad for p in self._parameters]
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad = parameter.grad * math.nan  # shows whether the closure clears it
        self.first = self._evaluated()
        if self.first is None:
            for parameter, gradient in zip(self._parameters, left, strict=True):
                parameter.grad = gradient
            return None
        trial = self._trial(self.first, None)
        if not (trial.finite and trial.gradient.isfinite().all()):
            self._refuse(trial)
        return trial

    def along(self, direction: Tensor, step: float) -> Trial:
        """The loss, its slope and its gradient at the point plus a multiple of the direction."""
        self._write(self._point + step * direction)
        self._clear()
        return self._trial(self._evaluated(), direction, step)

    def move(self, direction: Tensor, step: float) -> None:
        """Make that the point."""
        self._point = self._point + step * direction
        self._write(self._point)

    def _write(self, point: Tensor) -> None:
        for view, part in zip(self._views, point.split([view.numel() for view in self._views]), strict=True):
            view.copy_(part.view_as(view))

    def _clear(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def _evaluated(self) -> Any:
        """What the closure returns, with gradients as `backward` left them."""
        with _unchanged(self._parameters):
            return self._closure()

    def _refuse(self, trial: Trial) -> None:
        """Raise why there is no finite gradient at the start."""
        self._clear()
        if math.isfinite(trial.loss) and self._trial(self._evaluated(), None).gradient.isfinite().all():
            raise ValueError(
                "quasi-Newton optimisers cannot accumulate gradients: of other batches they know no loss. Leave out "
                "accumulate_grad_batches and take a batch of all rows; a closure of your own calls zero_grad()"
            )
        count = int((~trial.gradient.isfinite()).sum())
        raise ValueError(
            f"the loss is {trial.loss:g} and its gradient has {count} entries that are not finite, before the "
            "first step on this batch; look for infinite data or too large weights"
        )

    def _trial(self, loss: Any, direction: Tensor | None, step: float = 0.0) -> Trial:
        gradient = torch.cat([_flat(p) for p in self._parameters])
        slope = 0.0 if direction is None else float(gradient @ direction)
        return Trial(step, _mean_over_processes(loss, self._shared), slope, gradient)


@contextmanager
def _unchanged(parameters: list[Tensor]) -> Iterator[None]:
    """Refuse gradients that are changed between `backward` and the end, by clipping for example.

    Several processes are left alone, as their gradients are averaged behind `backward`.
    """
    if distributed.is_available() and distributed.is_initialized():
        yield
        return
    versions: dict[Tensor, int] = {}

    def note(parameter: Tensor) -> None:
        versions[parameter] = parameter.grad._version  # pyright: ignore[reportOptionalMemberAccess]

    handles = [p.register_post_accumulate_grad_hook(note) for p in parameters if p.requires_grad]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if any(p.grad is not None and p.grad._version != version for p, version in versions.items()):
        raise ValueError(
            "quasi-Newton optimisers need the gradient of the loss itself, but it is changed after backward: leave out "
            "clipping (gradient_clip_val); the line search bounds the steps"
        )


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


def _mean_over_processes(loss: Any, shared: bool) -> float:
    """The mean of the losses of all processes, as their gradients are means: all must take the same step."""
    if loss is None:  # passed over at a trial point, after it was there at the start
        loss = math.nan
    mean = torch.as_tensor(loss).detach().double()
    if not (shared and distributed.is_available() and distributed.is_initialized()):
        return float(mean)
    distributed.all_reduce(mean)
    return float(mean) / distributed.get_world_size()
