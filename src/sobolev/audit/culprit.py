"""The first operation whose gradient is not its derivative."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from sobolev.audit.agreement import mismatch, rms
from sobolev.audit.finite import as_rows, finite_differences
from sobolev.audit.probe import Probe
from sobolev.audit.trace import ESCAPES, Step

_ROWS = 8
_FUNCTION = "(autograd.Function)"


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
        try:
            claimed = _directional(_row_sums(_with_graph(steps[index])), x, direction, order)
        except RuntimeError:  # f differentiates inside, and has freed the graph of this step
            continue
        try:
            truth = finite_differences(lambda ts, i=index: torch.stack([values(t)[i] for t in ts]))[order - 1]
        except IndexError:  # the forward takes another course elsewhere
            return None
        size = max(values(0.0)[index].abs().amax().item(), 1e-300)
        if claimed is None:
            wrong = rms(truth.value.nan_to_num(0)) > 1e-9 * size
        else:
            wrong = mismatch(claimed, truth, order, size) is not None
        if wrong:
            return _culprit(steps, index, claimed, truth.value, order)
    return None


def _of_rows(step: Step, rows: int) -> bool:
    return step.output.shape[:1] == (rows,) and not step.output.is_complex()


def _with_graph(step: Step) -> Tensor:
    """What a custom function's forward returned got its graph afterwards, unlike the copy made within."""
    return step.output if _is_custom(step.output) and torch.equal(step.output, step.value) else step.value


def _is_custom(tensor: Tensor) -> bool:
    return isinstance(tensor.grad_fn, BackwardCFunction)


def _culprit(steps: list[Step], index: int, claimed: Tensor | None, truth: Tensor, order: int) -> Culprit:
    """The step itself, or what handed it a wrong input unseen: a custom function, a no_grad block."""
    step = steps[index]
    if _is_custom(step.output):
        return Culprit(_named(step, step.output, "of"), _kind(claimed, truth, order, custom=True))
    custom = next(filter(_is_custom, step.inputs), None)
    if custom is not None:
        return Culprit(_named(step, custom, "into"), _kind(claimed, truth, order, custom=claimed is not None))
    unseen = [before for before in steps[:index] if not before.recorded]
    maker = next((before for before in unseen if any(before.output is tensor for tensor in step.inputs)), step)
    kind = _kind(claimed if maker.recorded else None, truth, order)
    escape = next((before for before in steps[:index] if before.operation in ESCAPES), None)
    if kind == "autograd-disagrees" and escape is not None:  # of single samples, whose steps are not looked at
        return Culprit(escape, "detached")
    return Culprit(maker, kind)


def is_custom(step: Step) -> bool:
    """Whether a step that was found is a `torch.autograd.Function` of somebody's own."""
    return _FUNCTION in step.where


def _named(step: Step, output: Tensor, how: str) -> Step:
    name = type(output.grad_fn).__name__.removesuffix("Backward")
    return replace(step, operation=name, recorded=True, where=f"{name} {_FUNCTION}, {how} {step.where}")


def _kind(claimed: Tensor | None, truth: Tensor, order: int, *, custom: bool = False) -> str:
    if order > 1:
        return "once-differentiable"
    slope = rms(truth.nan_to_num(0))
    if claimed is None or (not custom and rms(claimed) < 1e-9 * slope):
        return "detached"
    return "straight-through" if slope < 1e-9 * rms(claimed) else "autograd-disagrees"


def _row_sums(output: Tensor) -> Tensor:
    """One number per row, a fixed weighted sum: plain sums hide what a softmax or a norm does."""
    rows = output.reshape(len(output), -1) if output.dim() and output.numel() else output.reshape(1, -1)
    return (rows * torch.linspace(0.5, 1.5, rows.shape[1], dtype=rows.dtype, device=rows.device)).sum(1)


def _directional(rows: Tensor, x: Tensor, direction: Tensor, order: int) -> Tensor | None:
    """The derivative of each row by autograd; None where there is no graph."""
    for _ in range(order):
        if not rows.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(rows.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
        rows = as_rows(gradient * direction).sum(1)
    return rows.detach()
