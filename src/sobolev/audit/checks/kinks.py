"""Is the function as smooth within the domain as its derivatives pretend?"""

from collections.abc import Iterator

import torch
from torch import Tensor

from sobolev.audit.checks.shape import is_flat
from sobolev.audit.describe import shown
from sobolev.audit.finding import Finding
from sobolev.audit.finite import as_rows
from sobolev.audit.probe import Probe
from sobolev.audit.trace import Step

_NODES, _CANDIDATES, _ZOOMS, _PARTS = 129, 4, 4, 8
_STANDS_OUT = 1.2
"""A cell is looked at when it changes by so many times what its neighbours do."""
_PERSISTS = 0.3
"""A jump that keeps this part of its size while its cell shrinks by 8⁴ is one; a smooth change shrinks as well."""
_SMALLEST = 1e-6
_WHAT = (
    ("discontinuity", "the function jumps", "its derivatives know nothing of the jump"),
    ("kink", "the first derivative jumps", "the second derivative knows nothing of the jump"),
    (
        "kink",
        "the second derivative jumps",
        "it has no value there, and higher derivatives know nothing of the jump",
    ),
)


def kinks(probe: Probe) -> Iterator[Finding]:
    """Walk along a line through the points, and look closer wherever the value or a derivative seems to jump."""
    t = torch.linspace(0, 1, _NODES, dtype=probe.x.dtype, device=probe.x.device)
    start, end = _line(probe)
    levels = _on_line(probe, t)
    if levels is None or torch.equal(start, end) or is_flat(probe):
        return
    for order, values in enumerate(levels):
        found = _jump(probe, t, values, order)
        if found is not None:
            place, jump = found
            kind, what, consequence = _WHAT[order]
            x = start + place * (end - start)
            yield Finding(
                kind,
                "warning",
                _maker(probe, x, order),
                f"{what} at x = {shown(x)}, by {jump:.1e} of its largest value: {consequence}. Use smooth "
                "operations (softplus, SiLU, a smooth maximum), or keep clear of such places",
            )
            return


def _line(probe: Probe) -> tuple[Tensor, Tensor]:
    """Start and end, (*in) each: the two extreme points along the widest input."""
    rows = as_rows(probe.x)
    leading = rows[:, rows.std(0, correction=0).argmax()]
    return probe.x[leading.argmin()], probe.x[leading.argmax()]


def _on_line(probe: Probe, t: Tensor, order: int | None = None) -> list[Tensor] | None:
    """The value and its derivatives along the line at each t in [0, 1]."""
    start, end = _line(probe)
    x = start + t.reshape(-1, *[1] * start.dim()) * (end - start)
    found = probe.reversed_at(x, (end - start).expand_as(x), min(probe.order, 2) if order is None else order)
    return None if isinstance(found, Exception) else found


def _jump(probe: Probe, t: Tensor, values: Tensor, order: int) -> tuple[float, float] | None:
    """Where a derivative jumps on the line, and by how much relative to its largest value there."""
    cells = _suspicious(values)
    if not len(cells):
        return None
    left, width, first = t[cells], 1.0 / (_NODES - 1), values.diff().abs()[cells]
    last = first
    for _ in range(_ZOOMS):
        width /= _PARTS
        inner = left[:, None] + width * torch.arange(_PARTS + 1, dtype=t.dtype, device=t.device)
        finer = _on_line(probe, inner.flatten(), order)
        if finer is None:
            return None
        last, part = finer[order].reshape(inner.shape).diff(dim=1).abs().nan_to_num(0, 0).max(1)
        left = left + part * width
    scale = values.abs().nan_to_num(0, 0).amax()
    real = (last > _PERSISTS * first) & (last > _SMALLEST * scale)
    best = int(last.where(real, 0).argmax())
    return ((left[best] + width / 2).item(), (last[best] / scale).item()) if real.any() else None


def _suspicious(values: Tensor) -> Tensor:
    """The cells over which values change more than over both their neighbours."""
    changes = values.diff().abs().nan_to_num(0, 0)
    padded = torch.cat([changes[1:2], changes, changes[-2:-1]])
    score = changes - _STANDS_OUT * torch.maximum(padded[:-2], padded[2:])
    cells = score.topk(_CANDIDATES).indices
    return cells[score[cells] > 1e-12 * values.abs().nan_to_num(0, 0).amax()]


def _maker(probe: Probe, x: Tensor, order: int) -> str:
    """The first step whose (order + 1)-th difference stands out at x against both sides."""
    start, end = _line(probe)
    count = order + 2
    offsets = torch.arange(count, dtype=x.dtype, device=x.device) - (count - 1) / 2
    places = torch.cat([offsets + shift for shift in (-8, 0, 8)]) * (1e-3 if order == 2 else 1e-4)
    rows = x + places.reshape(-1, *[1] * x.dim()) * (end - start)
    return next((step.where for step in probe.trace(rows) if _stands_out(step, count, order + 1)), "f")


def _stands_out(step: Step, count: int, order: int) -> bool:
    output = step.output.detach()
    if output.shape[:1] != (3 * count,) or output.is_complex():
        return False
    below, here, above = output.reshape(3, count, -1).diff(n=order, dim=1).abs().amax(1)
    noise = 1e-13 * output.abs().amax().item()
    return bool((here > 10 * torch.maximum(below, above) + noise).any())
