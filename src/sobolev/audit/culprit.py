"""The first operation whose gradient is not its derivative."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from sobolev.audit.agreement import mismatch, rms
from sobolev.audit.finite import as_rows, finite_differences
from sobolev.audit.probe import Probe
from sobolev.audit.trace import Step

_ROWS = 8


@dataclass(frozen=True)
class Culprit:
    """A step, and what is wrong with it: `detached`, `straight-through`, `once-differentiable`, ..."""

    step: Step
    kind: str


def find_culprit(probe: Probe, order: int, rows: Tensor) -> Culprit | None:
    """Compare every intermediate's derivative along the probe's direction with finite differences of it.

    None where no step stands out, and but for orders 1 and 2, where differences of values are too coarse.
    """
    if order not in (1, 2):
        return None
    keep = rows.nonzero().flatten()[:_ROWS]
    start, direction = probe.x[keep], probe.direction[keep]
    traces: dict[float, list[Tensor]] = {}

    def values(t: float) -> list[Tensor]:
        if t not in traces:
            steps = probe.trace((start + t * direction).requires_grad_())  # as below: f may ask for it
            traces[t] = [_row_sums(step.value).detach() for step in steps]
        return traces[t]

    x = start.clone().requires_grad_()
    steps = probe.trace(x)
    suspects = [index for index, step in enumerate(steps) if _of_rows(step, len(x))]
    # first what autograd recorded: what it did not may be the inside of a custom function with a right backward
    for index in sorted(suspects, key=lambda index: not steps[index].recorded):
        claimed = _directional(_row_sums(steps[index].value), x, direction, order)
        try:
            truth = finite_differences(lambda t, index=index: values(t)[index])[order - 1]
        except IndexError:  # the forward takes another course elsewhere
            return None
        size = max(values(0.0)[index].abs().amax().item(), 1e-300)
        if claimed is None:
            wrong = rms(truth.value.nan_to_num(0)) > 1e-9 * size
        else:
            wrong = mismatch(claimed, truth, order, size) is not None
        if wrong:
            return _classified(_maker(steps, index), claimed, truth.value, order)
    return None


def _of_rows(step: Step, rows: int) -> bool:
    return step.output.shape[:1] == (rows,) and not step.output.is_complex()


def _maker(steps: list[Step], index: int) -> Step:
    """The step itself, or what handed it a wrong input unseen: a custom function, a no_grad block."""
    step = steps[index]
    for tensor in step.inputs:
        if isinstance(tensor.grad_fn, BackwardCFunction):
            name = type(tensor.grad_fn).__name__.removesuffix("Backward")
            return replace(step, operation=name, recorded=True, where=f"{name} (autograd.Function), into {step.where}")
    unseen = [before for before in steps[:index] if not before.recorded]
    return next((before for before in unseen if any(before.output is tensor for tensor in step.inputs)), step)


def _classified(step: Step, claimed: Tensor | None, truth: Tensor, order: int) -> Culprit:
    if order > 1:
        return Culprit(step, "once-differentiable")
    slope = rms(truth.nan_to_num(0))
    if claimed is None or not step.recorded or rms(claimed) < 1e-9 * slope:
        return Culprit(step, "detached")
    return Culprit(step, "straight-through" if slope < 1e-9 * rms(claimed) else "autograd-disagrees")


def _row_sums(output: Tensor) -> Tensor:
    """One number per row, a fixed weighted sum: plain sums hide what a softmax or a norm does."""
    rows = output.reshape(len(output), -1) if output.dim() else output[None, None]
    return (rows * torch.linspace(0.5, 1.5, rows.shape[1], dtype=rows.dtype, device=rows.device)).sum(1)


def _directional(rows: Tensor, x: Tensor, direction: Tensor, order: int) -> Tensor | None:
    """The derivative of each row by autograd; None where there is no graph."""
    for _ in range(order):
        if not rows.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(rows.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
        rows = as_rows(gradient * direction).sum(1)
    return rows.detach()
