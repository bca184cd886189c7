"""Does the function bend the way its derivatives say?"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from sobolev.audit.finding import Finding
from sobolev.audit.finite import as_rows
from sobolev.audit.locate import first, name_of
from sobolev.audit.probe import Probe
from sobolev.audit.trace import Step

_ROUNDING = 1e-10
_HALVINGS = 20
_BESIDE = 0.1
"""Of the distance between points: how far beside them an output is looked at that is the same at all of them."""
_BESIDE_KINKS = 0.05
"""The share of points where differences may see a kink and take it for curvature."""
_ABOUT = 0.1
"""What differences may be off beside many kinks: a graph that leaves parts out is off by more."""
_CLIPPING = {
    "relu", "relu_", "relu6", "ReLU", "ReLU6", "clamp", "clamp_", "clip", "clamp_min", "clamp_max", "hardtanh",
    "Hardtanh", "hardsigmoid", "Hardsigmoid", "maximum", "minimum", "threshold", "Threshold",
}  # fmt: skip


def constant(probe: Probe) -> Iterator[Finding]:
    """An output that is the same at all points."""
    rows = as_rows(probe.y)
    beside = probe.entries(probe.x + _BESIDE * probe.direction)  # a boundary condition holds at its points alone
    dead = _dead(torch.cat([rows, beside[beside.isfinite().all(1)]]))
    if dead.any() and (probe.x != probe.x[:1]).any():
        part = "the output is" if dead.all() else f"{int(dead.sum())} of {dead.numel()} outputs are"
        yield Finding(
            "constant",
            "warning" if dead.all() else "note",
            name_of(_clipping_step(probe)),
            f"{part} the same ({rows[0, dead][0].item():.4g}) at all {len(rows)} points, so every derivative is 0 "
            "there. If this is not meant, the training has collapsed: look for dead units (a ReLU behind the last "
            "layer), standardise the inputs and train again",
        )


def clipped(probe: Probe) -> Iterator[Finding]:
    """An output that the last operation cuts off: always worth a word behind a ReLU, else where it does."""
    step = _clipping_step(probe)
    if step is None:
        return
    rows = as_rows(probe.y)
    at_bounds = (rows == rows.amin(0)).double().mean(), (rows == rows.amax(0)).double().mean()
    share = max(at_bounds).item()
    stuck = share * len(rows) > 1.5
    if stuck or step.operation.lower().startswith("relu"):
        seen = f": it is, at {share:.0%} of the points" if stuck else ""
        yield Finding(
            "clipped",
            "warning",
            name_of(step),
            f"the last operation cuts the output off at a bound{seen}. There every derivative is 0, and training "
            "gets no gradient: a network that starts there stays there. Let the last layer be linear (or softplus "
            "for an output that must be positive)",
        )


_KINKED = ("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "hardtanh", "threshold")
_MOST_PLACES = 4
"""That are named beside the first."""


def is_max_pooling(operation: str) -> bool:
    """`max_pool2d`, `MaxPool2d`, `adaptive_max_pool1d`, ...."""
    return "maxpool" in operation.lower().replace("_", "")


def piecewise(probe: Probe) -> Iterator[Finding]:
    """Derivatives that are 0 at every point, of a function that is not what these say."""
    probe = _alive(probe)
    low, middle, high = _midpoints(probe.x)
    if not is_flat(probe) or _bending(probe, low, middle, high) < _ROUNDING or not _breaks(probe, low, high):
        return
    step = first(probe, [low, middle, high], _bends)
    if is_level(probe):
        yield Finding(
            "piecewise-constant",
            "error",
            name_of(step),
            f"{_subject(step)} makes a staircase: the value changes from point to point, but in jumps, so that every "
            "derivative is 0. Take the rounding, the comparison or the integer out, or put something smooth in its "
            "place (a sigmoid for a step, a softmax for an argmax)",
        )
    else:
        yield _piecewise_linear(probe, step, _bending(probe, low, middle, high))


def _piecewise_linear(probe: Probe, step: Step | None, bend: float) -> Finding:
    others = [] if step is None else [s for s in probe.steps if s.where != step.where and _alike(s, step)]
    places = list(dict.fromkeys(other.where for other in others))
    operations = {s.operation for s in (*others, *([] if step is None else [step]))}
    return Finding(
        "piecewise-linear",
        "error" if probe.order >= 2 else "warning",
        name_of(step),
        f"{_subject(step)} is piecewise linear{_as_are(places)}: the second derivative is exactly 0 at every point, "
        f"although the function bends (by {bend:.0%} of its range between two points), and the first derivative is a "
        f"staircase. {_cure(operations)}",
    )


def _subject(step: Step | None) -> str:
    return "this operation" if step is not None else "the function"


def _alive(probe: Probe) -> Probe:
    """The probe; of a network whose end is dead, the part before: what lies there matters once it lives."""
    if not _dead(probe.y).all():
        return probe
    for index, step in reversed(list(enumerate(probe.steps))):
        if step.value.shape[:1] == probe.x.shape[:1] and not _dead(step.value).all():
            f = partial(_intermediate, probe, index)
            return Probe(f, probe.x, probe.order, probe.modules)
    return probe


def _intermediate(probe: Probe, index: int, x: Tensor) -> Tensor:
    return probe.trace(x)[index].value


def _dead(y: Tensor) -> Tensor:
    """Which outputs are the same in all rows."""
    rows = as_rows(y)
    return ((rows - rows[:1]).abs() <= 1e-14 * rows.abs().amax(0)).all(0)


def is_flat(probe: Probe) -> bool:
    """Whether the second derivative, by finite differences, is 0 but at a few points, which lie beside a kink."""
    return _vanishing(probe, 2) > 1 - _BESIDE_KINKS or is_level(probe) or _is_flat_between_kinks(probe)


def _is_flat_between_kinks(probe: Probe) -> bool:
    """Whether autograd says a second derivative of 0 and is right about the first, with kinks too close to see more.

    Max pooling of pixels that are all but equal, for example.
    """
    if probe.order < 2 or isinstance(probe.reverse, Exception) or probe.reverse[2].abs().amax() > 0:
        return False
    (first_one, _), (second, error) = probe.of_values
    if (second.abs() > 1e-5 * probe.size + error).double().mean() > _BESIDE_KINKS:
        return False
    off = (first_one - probe.reverse[1]).abs().median()
    return bool(off < _ABOUT * probe.reverse[1].abs().amax())


def is_level(probe: Probe) -> bool:
    """Whether the first derivative is 0 at every point."""
    return _vanishing(probe, 1) == 1 or _is_stuck(probe)


def _is_stuck(probe: Probe) -> bool:
    """Whether autograd says 0, rightly, but of steps finer than the distances of finite differences."""
    if isinstance(probe.reverse, Exception) or probe.reverse[1].abs().amax() > 0:
        return False
    return probe.is_level_nearby


def _vanishing(probe: Probe, order: int) -> float:
    """The share of the points, of those where finite differences know it, at which a derivative is 0."""
    value, error = probe.of_values[order - 1]
    known = error < 1e-3 * probe.size
    zero = (value.abs() < 1e-5 * probe.size + error) & known
    return zero.sum().item() / max(known.sum().item(), 1)


def _midpoints(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ends and middles of segments between points; all within the domain."""
    other = x.roll(max(len(x) // 2, 1), 0)
    return x, (x + other) / 2, other


def _bending(probe: Probe, low: Tensor, middle: Tensor, high: Tensor) -> float:
    values = [probe.values(x) for x in (low, middle, high)]
    bend = ((values[0] + values[2]) / 2 - values[1]).abs().nan_to_num(0).amax().item()
    return bend / probe.size


def _breaks(probe: Probe, low: Tensor, high: Tensor) -> bool:
    """Whether a kink or a jump is behind the largest bend: halved again and again, a smooth one straightens out."""
    values = [probe.values(x) for x in (low, (low + high) / 2, high)]
    row = int((values[0] + values[2] - 2 * values[1]).abs().nan_to_num(0).argmax())
    start, end = low[row], high[row]
    left, bends = 0.0, []
    for level in range(_HALVINGS):
        t = left + 0.5**level * torch.linspace(0, 1, 5, dtype=low.dtype, device=low.device)
        y = probe.values(start + t.reshape(-1, *[1] * start.dim()) * (end - start))
        halves = (y[:-2] + y[2:] - 2 * y[1:-1]).abs()
        bends.append(halves.amax().item() * 2**level)
        left += int(halves.argmax()) * 0.25 * 0.5**level
    return bends[-1] > 0.2 * bends[-5] > 0


def _bends(low: Tensor, middle: Tensor, high: Tensor) -> bool:
    if not low.shape == middle.shape == high.shape:
        return False
    gap = ((low + high) / 2 - middle).abs().amax() if low.numel() else torch.zeros(())
    return gap.item() > _ROUNDING * max(low.abs().amax().item() if low.numel() else 0.0, 1e-300)


def _alike(step: Step, found: Step) -> bool:
    """Whether a step is the same operation as the one that was found, or bends only where it kinks, as well."""
    return step.operation == found.operation or step.operation in _KINKED or is_max_pooling(step.operation)


def _as_are(places: list[str]) -> str:
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return f", as {'is' if len(places) == 1 else 'are'} {', '.join(places[:_MOST_PLACES])}{more}" if places else ""


def _cure(operations: set[str]) -> str:
    pools = any(map(is_max_pooling, operations))
    others = not pools or not all(map(is_max_pooling, operations))
    activation = "Use an activation that is twice differentiable: SiLU, tanh, GELU or softplus"
    pooling = "Put average pooling, or a stride of the convolution before it, in place of the largest of several values"
    return ". ".join([activation] * others + [pooling] * pools)


def _clipping_step(probe: Probe) -> Step | None:
    """The step that made the output, if it is one that clips."""
    for step in reversed(probe.steps):
        if step.value.shape == probe.y.shape and torch.equal(step.value, probe.y):
            if step.operation in _CLIPPING:
                return step
        else:
            return None
    return None
