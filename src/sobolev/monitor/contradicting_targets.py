"""Targets and labels in a batch that contradict what they are compared with: order of inputs, sign, units, or all."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from sobolev.functions import Function
from sobolev.monitor.inputs import Evaluation
from sobolev.monitor.targets import Target

_FEWEST, _MOST = 8, 1024
"""Rows without which nothing is said, and that are looked at."""
_MOST_INPUTS = 5
"""The orders of more inputs are not tried."""
_SURE = 5
"""So many standard errors are no chance."""
_SLIGHT = 0.1
"""What a factor may be off by, or a mean, of the scatter."""
_CLOSE = 0.2
"""Something follows a line where the rest is less than this of its own size."""


class _Line(NamedTuple):
    """The targets as slope times the reference plus a constant, and the root mean square of targets - reference."""

    slope: float
    constant: float
    rest: float
    gap: float
    agrees: bool


def in_order_of(reference: Function, names: Sequence[str] | None) -> Function:
    """The reference with the inputs of the data, in their order, where only its formula says what they are.

    Args:
        reference: of the inputs.
        names: what the data call their inputs, None if nobody has said.

    Raises:
        ValueError: some of its inputs are called as the data call theirs, and some as nothing there is.
    """
    formula, variables = reference.__reduce__()[1]
    if variables is not None or not isinstance(formula, str) or not names:
        return reference
    unknown = [name for name in reference.inputs if name not in names]
    if 0 < len(unknown) < len(reference.inputs):
        raise ValueError(
            f"DerivativeMonitor: the reference {formula!r} has {', '.join(unknown)}, but the inputs of the data are "
            f"{', '.join(names)}: write it in these, or say what it takes in their place: "
            f"reference=sobolev.Function({formula!r}, {list(reference.inputs)})"
        )
    if unknown:
        return reference
    try:
        return Function(formula, names)
    except ValueError:  # a name that no formula may use
        return reference


def names_of(data: object, evaluation: Evaluation, x: Tensor) -> tuple[str, ...] | None:
    """What the data call the entries of x, (batch, inputs): the data module, or a batch with an entry for each."""
    inputs = x.shape[1:].numel()
    names = tuple(getattr(data, "input_names", ()))
    if len(names) == inputs:
        return names
    names = tuple(path.rpartition(".")[2] for path in evaluation.inputs or ())
    return names if len(names) == inputs and not any(name.isdigit() or not name for name in names) else None


def contradiction(reference: Function, x: Tensor, targets: Tensor) -> str | None:
    """What the targets of a batch say against a reference, in one sentence; None where they agree, noise or not.

    Args:
        reference: of the inputs.
        x: the inputs, (batch, inputs).
        targets: (batch, outputs); NaN where there is none.
    """
    x, targets = x[:_MOST].double().cpu(), targets[:_MOST].double().cpu()
    if x.dim() != 2 or targets.numel() != len(x) * len(reference.outputs):
        return None
    targets = targets.reshape(len(x), -1)
    pairs = zip(reference(x).T, targets.T, strict=True)
    here = [line for line in (_line(*pair) for pair in pairs) if line is not None]
    scatter = targets[targets.isfinite()].std().item() if here else 0.0
    worst = max(here, key=lambda line: (not line.agrees, line.gap), default=None)
    if worst is None or worst.gap < _SLIGHT * scatter:
        return None
    order = _order_that_fits(reference, x, targets, worst.gap)
    if worst.agrees and order is None:
        return None
    start = f"the targets of the batch contradict the reference {reference.name!r}"
    if order is not None:
        return (
            f"{start}, which takes its inputs in the order ({', '.join(reference.inputs)}): in the order "
            f"({', '.join(order)}) they agree. Say so: reference=sobolev.Function({reference.name!r}, {list(order)})"
        )
    if worst.rest < _CLOSE * scatter:
        constant = f" {worst.constant:+.3g}" if abs(worst.constant) > 1e-3 * scatter else ""
        return (
            f"{start}: they are about {worst.slope:.3g} times it{constant}. Other units, or standardised "
            "outside of the network? Errors of derivatives are then those of another function"
        )
    return f"{start}: they differ from it by {worst.gap / scatter:.0%} of their scatter, and not by chance"


def _order_that_fits(reference: Function, x: Tensor, targets: Tensor, gap: float) -> tuple[str, ...] | None:
    if not 1 < len(reference.inputs) <= _MOST_INPUTS:
        return None
    for places in itertools.permutations(range(len(reference.inputs))):
        lines = [_line(*pair) for pair in zip(reference(x[:, places]).T, targets.T, strict=True)]
        if all(line is None or (line.agrees and line.gap < 0.5 * gap) for line in lines):
            return tuple(reference.inputs[places.index(column)] for column in range(len(places)))
    return None


def _line(exact: Tensor, target: Tensor) -> _Line | None:
    known = target.isfinite() & exact.isfinite()
    exact, target = exact[known], target[known]
    scatter = exact.std(correction=0).item() if len(exact) >= _FEWEST else 0.0
    if scatter == 0 or scatter <= 1e-12 * exact.abs().amax().item():
        return None
    centred, mean = exact - exact.mean(), target.mean()
    slope = (centred * target).sum() / centred.square().sum()
    rest = (target - mean - slope * centred).square().mean().sqrt().item()
    gap = (target - exact).square().mean().sqrt().item()
    chance, off = _SURE * rest / len(exact) ** 0.5, abs((mean - exact.mean()).item())
    agrees = abs(slope.item() - 1) < _SLIGHT + chance / scatter and off < _SLIGHT * scatter + chance
    return _Line(slope.item(), (mean - slope * exact.mean()).item(), rest, gap, agrees)


def other_factor(order: int, predicted: Tensor, labels: Tensor, target: Target) -> str | None:
    """A sentence where a derivative fits its labels but for the sign or the unit; None elsewhere.

    Args:
        order: of the derivative.
        predicted: by the model, (batch, ...).
        labels: in the same shape, NaN where there is none.
        target: where they come from.
    """
    known = labels.isfinite() & predicted.isfinite()
    p, t = predicted[known].double(), labels[known].double()
    size = t.square().sum().item()
    if size == 0 or len(p) < _FEWEST:
        return None
    factor = (p * t).sum().item() / size
    rest = (p - factor * t).square().sum().sqrt() / p.square().sum().sqrt().clamp_min(1e-300)
    if rest.item() > _CLOSE or 0.5 < factor < 2:
        return None
    whole = factor * target.factor
    written = f"{'-' if whole < 0 else ''}{'' if abs(abs(whole) - 1) < _CLOSE else f'{abs(whole):.3g} * '}{target.path}"
    sign = "minus " if factor < 0 else ""
    times = "" if abs(abs(factor) - 1) < _CLOSE else f"{abs(factor):.3g} times "
    return (
        f"derivative {order} fits {sign}{times}its labels {target.path!r}, within {rest.item():.0%}: forces are minus "
        f"the gradient of an energy, and units differ. If so, say targets={{{order}: {written!r}}} (with the others)"
    )
