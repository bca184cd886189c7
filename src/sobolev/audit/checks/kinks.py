"""Is the function as smooth within the domain as its derivatives pretend?"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.audit.checks.shape import is_flat, is_max_pooling
from sobolev.audit.describe import shown
from sobolev.audit.finding import Finding
from sobolev.audit.finite import as_rows
from sobolev.audit.locate import attempt, name_of
from sobolev.audit.probe import Derivatives, Probe
from sobolev.audit.trace import Step
from sobolev.audit.twin import plainly
from sobolev.audit.verdict import verdict

_NODES, _FEWEST_NODES, _LINES = 129, 33, 8
_CANDIDATES, _ZOOMS, _MOST_ZOOMS, _PARTS = 6, 4, 9, 8
_STANDS_OUT = 1.2
"""A cell is looked at when it changes by so many times what its neighbours do."""
_PERSISTS, _RECENT = 0.3, 3
"""A jump keeps this part of its size while its cell shrinks by 8³; a smooth change shrinks as well."""
_CROWDED = 0.004
"""Of many jumps in a cell this part is left then, until one is alone."""
_SMALLEST = 1e-6
_ROUGH = 30
"""Jumps of so many times what rounding does are none."""
_BESIDE = (1e-5, 1e-9)
"""So far from a point, of the distance between points, its own value is looked for."""
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
    """Look beside the points, then along lines through them, and closer where something seems to jump."""
    if (alone := _jump_at_a_point(probe)) is not None:
        yield alone
        return
    lines = _lines(probe)
    if not lines or is_flat(probe):
        return
    walk = _Walk(probe, torch.stack([a for a, _ in lines]), torch.stack([b for _, b in lines]))
    nodes = max(_NODES // len(lines), _FEWEST_NODES)
    t = torch.linspace(0, 1, nodes, dtype=probe.x.dtype, device=probe.x.device).expand(len(lines), nodes)
    levels = walk.derivatives(torch.arange(len(lines), device=t.device), t)
    if levels and not levels[0].isfinite().all():
        yield _hole(walk, t, ~levels[0].isfinite())
    for order in range(len(levels)):
        found = _jump(walk, t, levels, order)
        if found is not None:
            yield _finding(probe, walk, found, order)
            return


def _jump_at_a_point(probe: Probe) -> Finding | None:
    """A value that differs from those beside it, however near: zeros taken for padding, say."""
    value, least = probe.values_here, max(_SMALLEST, _ROUGH * probe.noise) * probe.size
    beside = probe.values_along([sign * t for t in _BESIDE for sign in (1, -1)])
    far, near = (beside - value).abs().chunk(2)
    jumps = ((near > _PERSISTS * far) & (near > least)).any(0)
    if not jumps.any():
        return None
    row = int(jumps.nonzero()[0])
    size = near[:, row].nan_to_num(0, 0).amax().item() / max(value.abs().nan_to_num(0).amax().item(), probe.size)
    return _found(0, "f", shown(probe.x[row]), size, f", one of {int(jumps.sum())} such points")


@dataclass(frozen=True)
class _Walk:
    """Straight lines through the domain, from `start` to `end`, (lines, *in); places on them are t in [0, 1]."""

    probe: Probe
    start: Tensor
    end: Tensor

    def at(self, line: Tensor, t: Tensor) -> Tensor:
        """Points (many, *in), for lines (rows,) and places (rows, many per row)."""
        line = line.repeat_interleave(t.shape[1])
        return self.start[line] + t.reshape(-1, *[1] * (self.start.dim() - 1)) * (self.end - self.start)[line]

    def derivatives(self, line: Tensor, t: Tensor) -> Derivatives:
        """The value and its derivatives along each line, each shaped like t; none where there are no derivatives."""
        direction = (self.end - self.start)[line.repeat_interleave(t.shape[1])]
        order = min(self.probe.order, 2)
        found = self.probe.differentiated(verdict(self.probe)[0], self.at(line, t), direction, order)
        if isinstance(found, Exception):
            return []
        known = found[0].isfinite()  # a branch that is NaN has derivatives of its own
        return [level.where(known, torch.nan).reshape(t.shape) for level in found]


@dataclass(frozen=True)
class _Jump:
    line: Tensor
    place: float
    size: float


def _finding(probe: Probe, walk: _Walk, jump: _Jump, order: int) -> Finding:
    x = walk.at(jump.line[None], torch.full((1, 1), jump.place, dtype=walk.start.dtype, device=walk.start.device))[0]
    return _found(order, _maker(probe, walk, jump, order), shown(x), jump.size)


def _found(order: int, where: str, x: str, size: float, more: str = "") -> Finding:
    kind, what, consequence = _WHAT[order]
    smooth = "Use smooth operations (softplus, SiLU, a smooth maximum)"
    if is_max_pooling(where):
        smooth = "Put average pooling, or a stride of the convolution before it, in its place"
    message = (
        f"{what} at x = {x}{more}, by {size:.1e} of its largest value: {consequence}. {smooth}, or keep clear of such "
        "places"
    )
    return Finding(kind, "warning", where, message)


def _hole(walk: _Walk, t: Tensor, bad: Tensor) -> Finding:
    line, place = bad.nonzero()[0].tolist()
    x = walk.at(torch.tensor([line], device=t.device), t[line : line + 1, place : place + 1])[0]
    return Finding(
        "non-finite",
        "note",
        "f",
        f"f is NaN or infinite at places between the points, at x = {shown(x)} for one: the domain has a hole there",
    )


def _lines(probe: Probe) -> list[tuple[Tensor, Tensor]]:
    """From the lowest to the highest point in every input, or in a few of many; each pair of points once."""
    rows = as_rows(probe.x)
    widest = int(rows.std(0, correction=0).nan_to_num(0).argmax())
    step = max(rows.shape[1] // _LINES, 1)
    inputs = [widest, *range(0, rows.shape[1], step)][: _LINES + 1]
    ends = {tuple(sorted((int(rows[:, i].argmin()), int(rows[:, i].argmax())))) for i in inputs}
    lines = [(probe.x[a], probe.x[b]) for a, b in sorted(ends)]
    return [(a, b) for a, b in lines if not torch.equal(a, b)]


def _jump(walk: _Walk, t: Tensor, levels: Derivatives, order: int) -> _Jump | None:
    """Where a derivative jumps on a line, and by how much relative to its largest value."""
    scale = levels[order].abs().nan_to_num(0, 0).amax()
    changes = _changes(levels, order, t[0, 1] - t[0, 0])
    lines, cells = _suspicious(changes, scale, smooth=order + 1 < len(levels))
    if not len(cells):
        return None
    left, width, found = t[lines, cells], (t[0, 1] - t[0, 0]).item(), changes[lines, cells][None]
    for zoom in range(1, _MOST_ZOOMS + 1):
        width /= _PARTS
        inner = left[:, None] + width * torch.arange(_PARTS + 1, dtype=t.dtype, device=t.device)
        finer = walk.derivatives(lines, inner)
        if not finer:
            return None
        last, part = _changes(finer, order, width).max(1)
        left, found = left + part.to(left) * width, torch.cat([found, last[None]])
        share = _PERSISTS if zoom == _MOST_ZOOMS or order + 1 == len(levels) else _CROWDED
        real = last > share * found[max(zoom - _RECENT, 0)]
        if zoom >= _ZOOMS:
            real &= last > max(_SMALLEST, _ROUGH * walk.probe.noises(verdict(walk.probe)[0])[order]) * scale
        lines, left, found = lines[real], left[real], found[:, real]
        if not len(lines):
            return None
    best = int(found[-1].argmax())
    return _Jump(lines[best], (left[best] + width / 2).item(), (found[-1, best] / scale).item())


@plainly
def _changes(levels: Derivatives, order: int, width: Tensor | float) -> Tensor:
    """By how much a derivative changes over each cell, beyond what the next derivative explains."""
    changes = levels[order].diff(dim=1)
    if order + 1 < len(levels):
        slope = levels[order + 1]
        changes = changes - width * (slope[:, 1:] + slope[:, :-1]) / 2
    if order + 2 < len(levels):
        changes = changes + width**2 * levels[order + 2].diff(dim=1) / 12
    return changes.abs().nan_to_num(0, 0)


@plainly
def _suspicious(changes: Tensor, scale: Tensor, *, smooth: bool) -> tuple[Tensor, Tensor]:
    """Lines and cells: those that change most, or, before a slope is known, more than both their neighbours."""
    padded = torch.cat([changes[:, 1:2], changes, changes[:, -2:-1]], 1)
    neighbours = torch.maximum(padded[:, :-2], padded[:, 2:])
    score = changes if smooth else changes - _STANDS_OUT * neighbours
    best = score.flatten().topk(min(_CANDIDATES, score.numel())).indices
    best = best[score.flatten()[best] > 1e-12 * scale]
    return best // changes.shape[1], best % changes.shape[1]


def _maker(probe: Probe, walk: _Walk, jump: _Jump, order: int) -> str:
    """The first step whose (order + 1)-th difference stands out at the jump against both sides."""
    count = order + 2
    offsets = torch.arange(count, dtype=walk.start.dtype, device=walk.start.device) - (count - 1) / 2
    places = torch.cat([offsets + shift for shift in (-8, 0, 8)]) * (1e-3 if order == 2 else 1e-4)
    rows = walk.at(jump.line[None], jump.place + places[None])
    steps = (step for step in probe.trace(rows) if _stands_out(step, count, order + 1))
    return name_of(attempt(lambda: next(steps, None)))


def _stands_out(step: Step, count: int, order: int) -> bool:
    output = step.value.detach()
    if output.shape[:1] != (3 * count,) or output.is_complex():
        return False
    below, here, above = output.reshape(3, count, -1).diff(n=order, dim=1).abs().amax(1)
    noise = 1e-13 * output.abs().amax().item()
    return bool((here > 10 * torch.maximum(below, above) + noise).any())
