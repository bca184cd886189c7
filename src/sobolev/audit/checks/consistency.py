"""Is f a function at all, of each sample alone?"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sobolev.audit.describe import brief
from sobolev.audit.finding import Finding
from sobolev.audit.finite import as_rows
from sobolev.audit.locate import first, name_of
from sobolev.audit.probe import Probe

_ALONE = 6
"""So many samples are evaluated alone."""


def stochastic(probe: Probe) -> Iterator[Finding]:
    """Two calls must agree."""
    change = relative_change(probe.y, probe(probe.x).detach())
    if change > 0:
        step = first(probe, [probe.x, probe.x], differ)
        yield Finding(
            "stochastic",
            "error",
            name_of(step),
            f"two calls with the same x differ by {change:.1e} (relative): its derivatives change from call to "
            "call. Switch the randomness or the running state off: call .eval(), fix the noise",
        )


def cross_sample(probe: Probe) -> Iterator[Finding]:
    """A sample must not depend on the others in its batch, nor on its place there."""
    if len(probe.x) < 2:
        return
    for how, batch, rows in _regroupings(probe.x):
        try:
            change = relative_change(probe.y[rows], probe(batch).detach()[: len(rows)])
        except Exception as error:
            yield _cross_sample(f"f cannot be evaluated {how}: {brief(error)}", "f")
            return
        if change > tolerance(probe.y):
            step = first(probe, [probe.x, batch], lambda a, b, rows=rows: _depends(a, b, rows, len(probe.x)))
            yield _cross_sample(f"a sample's output changes by {change:.1e} (relative) {how}", name_of(step))
            return


def relative_change(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest entry; infinite for other shapes, 0 where both are not finite."""
    if a.shape != b.shape:
        return float("inf")
    gap = torch.where(a.isfinite() | b.isfinite(), (a - b).abs().nan_to_num(torch.inf, torch.inf), 0)
    finite = a[a.isfinite()].abs()
    size = finite.amax().item() if finite.numel() else 1.0
    return gap.amax().item() / max(size, 1e-300) if gap.numel() else 0.0


def differ(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are not the same."""
    return relative_change(a, b) > 0


def tolerance(y: Tensor) -> float:
    """What rounding alone may change, relative to the largest entry."""
    return 1e-9 if y.dtype == torch.float64 else 300 * torch.finfo(y.dtype).eps


def _cross_sample(symptom: str, where: str) -> Finding:
    return Finding(
        "cross-sample",
        "error",
        where,
        f"{symptom}: samples of a batch depend on each other, so derivatives by x mix samples. Normalise, attend "
        "and branch within each sample (BatchNorm: call .eval())",
    )


def _regroupings(x: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Other batches, and which row of x stands first, second, ... in each."""
    order = torch.arange(len(x), device=x.device)
    yield "when the batch is in another order", x.flip(0), order.flip(0)
    half = order[: len(x) // 2]
    yield "in half the batch", x[half], half
    extremes = [as_rows(x).sum(1).argmin().item(), as_rows(x).sum(1).argmax().item()]
    evenly = torch.linspace(0, len(x) - 1, min(_ALONE, len(x))).long().tolist()
    for row in dict.fromkeys([*extremes, *evenly]):
        yield "when it is alone", x[row : row + 1], order[row : row + 1]


def _depends(together: Tensor, regrouped: Tensor, rows: Tensor, batch: int) -> bool:
    if together.dim() and together.shape[0] == batch and regrouped.shape[:1] == rows.shape:
        return relative_change(together[rows], regrouped) > tolerance(together)
    return together.shape == regrouped.shape and relative_change(together, regrouped) > tolerance(together)
