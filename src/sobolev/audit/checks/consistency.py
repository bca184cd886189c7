"""Is f a function at all, of each sample alone?"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sobolev.audit.describe import brief
from sobolev.audit.finding import Finding
from sobolev.audit.finite import as_rows
from sobolev.audit.locate import first, name_of
from sobolev.audit.probe import Probe
from sobolev.audit.twin import plainly

_ALONE = 6
"""So many samples are evaluated alone."""
_MAGNIFIED = 30
"""Other batches may change so many times what rounding typically does."""
_SLIGHT = 1e-5
"""Smaller changes are those of a solver that looks at the whole batch: five digits of a derivative are right."""


def stochastic(probe: Probe) -> Iterator[Finding]:
    """Two calls must agree."""
    change = relative_change(probe.y, probe(probe.x).detach())
    if change > rounding(probe.y):
        step = first(probe, [probe.x, probe.x], differ)
        yield Finding(
            "stochastic",
            "error",
            name_of(step),
            f"two calls with the same x differ by {change:.1e} (relative): its derivatives change from call to "
            "call. Switch the randomness or the running state off: call .eval(), fix the noise",
        )


def grad_mode(probe: Probe) -> Iterator[Finding]:
    """The value must not depend on whether anybody asks for gradients."""
    y = probe.y
    for how, mode, x in (
        ("under torch.no_grad()", torch.no_grad, probe.x),
        ("where x requires gradients", torch.enable_grad, probe.x.clone().requires_grad_()),
    ):
        try:
            with mode():
                change = relative_change(y, probe(x).detach())
        except Exception:  # f differentiates inside, and cannot without a graph: then it has no second value
            continue
        if change > tolerance(y):
            yield Finding(
                "grad-mode",
                "error",
                "f",
                f"f returns other values {how} (relative change {change:.1e}): what is differentiated is not what is "
                "evaluated. Let the forward not ask for torch.is_grad_enabled() or requires_grad",
            )
            return


def stateful(early: Tensor, late: Tensor) -> Iterator[Finding]:
    """What f returns must not change when f has seen another batch before.

    Args:
        early: f at some points, when no other batch had been seen.
        late: the same, when one had.
    """
    change = relative_change(early, late)
    if change > tolerance(late):
        yield Finding(
            "stateful",
            "error",
            "f",
            f"the output at the same x changes by {change:.1e} (relative) when f has seen another batch first: it "
            "keeps something of the batches that it sees, a mean, an extreme or a result. Compute it from the training "
            "data, once, and store it as a buffer (sobolev.Standardized does)",
        )


def cross_sample(probe: Probe) -> Iterator[Finding]:
    """A sample must not depend on the others in its batch, nor on its place there."""
    if len(probe.x) < 2:
        return
    slight, jitter = None, 0.0
    for how, batch, rows in _regroupings(probe.x):
        try:
            y = probe(batch).detach()
        except Exception as error:
            yield _fails_regrouped(how, len(batch) if len(batch) != len(probe.x) else 0, error)
            return
        if y.shape != (len(batch), *probe.y.shape[1:]):
            yield _other_shape(probe, batch, y)
            return
        change = relative_change(probe.y[rows], y, probe.y)
        if change > tolerance(probe.y) and change > _MAGNIFIED * probe.noise:
            symptom = f"a sample's output changes by {change:.1e} (relative) {how}"
            if change < _SLIGHT:
                slight, jitter = slight or _slightly_cross_sample(symptom), max(jitter, change)
                continue
            step = first(probe, [probe.x, batch], lambda a, b, rows=rows: _depends(a, b, rows, len(probe.x)))
            yield _cross_sample(symptom, name_of(step))
            return
    if slight is not None:
        probe.jitter = jitter
        yield slight


@plainly
def relative_change(a: Tensor, b: Tensor, whole: Tensor | None = None) -> float:
    """Largest difference, relative to the largest entry; infinite for other shapes, 0 where both are not finite.

    Args:
        a: a tensor.
        b: the same, it should be.
        whole: what a is a part of; its largest entry counts.
    """
    if a.shape != b.shape:
        return float("inf")
    if torch.equal(a, b):
        return 0.0
    gap = torch.where(a.isfinite() | b.isfinite(), (a - b).abs().nan_to_num(torch.inf, torch.inf), 0)
    scale = a if whole is None else whole
    finite = scale[scale.isfinite()].abs()
    size = finite.amax().item() if finite.numel() else 1.0
    return gap.amax().item() / max(size, 1e-300) if gap.numel() else 0.0


def differ(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are not the same."""
    return relative_change(a, b) > 0


def tolerance(y: Tensor) -> float:
    """What rounding alone may change, relative to the largest entry."""
    return 1e-9 if y.dtype == torch.float64 else 300 * torch.finfo(y.dtype).eps


def _other_shape(probe: Probe, batch: Tensor, y: Tensor) -> Finding:
    return Finding(
        "output-shape",
        "error",
        "f",
        f"f returns shape {tuple(probe.y.shape)} for {len(probe.x)} samples, but {tuple(y.shape)} for {len(batch)}: "
        "the first axis must be the samples, also of a single one. squeeze(-1) keeps it, squeeze() does not",
    )


def rounding(y: Tensor) -> float:
    """What the order of a sum may change from call to call (CUDA's scatter and index_add), relative."""
    return 1e-13 if y.dtype == torch.float64 else 10 * torch.finfo(y.dtype).eps


def _cross_sample(symptom: str, where: str) -> Finding:
    return Finding(
        "cross-sample",
        "error",
        where,
        f"{symptom}: samples of a batch depend on each other, so derivatives by x mix samples. Normalise, attend "
        "and branch within each sample (BatchNorm: call .eval())",
    )


def _slightly_cross_sample(symptom: str) -> Finding:
    message = (
        f"{symptom}: something is chosen for the whole batch (the steps of a solver, where an iteration stops), and "
        "derivatives hold to about as many digits. A tighter tolerance, or fixed steps, give more"
    )
    return Finding("cross-sample", "warning", "f", message)


def _fails_regrouped(how: str, rows: int, error: Exception) -> Finding:
    """Of `rows` samples, or 0: of as many as before."""
    symptom = f"f cannot be evaluated {how}: {brief(error)}"
    if not rows:
        return _cross_sample(symptom, "f")
    message = (
        f"{symptom}. It takes batches of some sizes only, {rows} rows not, and derivatives are computed in blocks of "
        "any size: let the forward take its sizes from x.shape, and trace or export it with a dynamic first axis"
    )
    return Finding("cross-sample", "error", "f", message)


def _regroupings(x: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Other batches, and which row of x stands first, second, ... in each."""
    order = torch.arange(len(x), device=x.device)
    yield "when the batch is in another order", x.flip(0), order.flip(0)
    half = order[: len(x) // 2]
    yield "in half the batch", x[half], half
    extremes = [as_rows(x).sum(1).argmin().item(), as_rows(x).sum(1).argmax().item()]
    evenly = torch.linspace(0, len(x) - 1, min(_ALONE, len(x)), dtype=torch.float64).long().tolist()
    for row in dict.fromkeys([*extremes, *evenly]):
        yield "when it is alone", x[row : row + 1], order[row : row + 1]


def _depends(together: Tensor, regrouped: Tensor, rows: Tensor, batch: int) -> bool:
    if together.dim() and together.shape[0] == batch and regrouped.shape[:1] == rows.shape:
        return relative_change(together[rows], regrouped) > tolerance(together)
    return together.shape == regrouped.shape and relative_change(together, regrouped) > tolerance(together)
