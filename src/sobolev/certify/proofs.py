"""The kinds of statements that are proved: errors against a function, a network's own ranges, equations violated."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from sobolev.certify.balls import Array
from sobolev.certify.certificate import Certificate
from sobolev.certify.enclosure import Enclosure, variables
from sobolev.certify.goals import Magnitude, Magnitudes, Signed, difference
from sobolev.certify.residual import Residual, Violation
from sobolev.certify.search import Evaluate, Outcome, Search
from sobolev.certify.statement import Bound, Part, Rounding
from sobolev.certify.target import target_of
from sobolev.equations.condition import Condition
from sobolev.equations.expression import Expression, Symbols
from sobolev.functions import Function

_EXTRA = {1: 5}
"""How many degrees more than the highest derivative the Taylor polynomials have, by the number of inputs; else 1."""
_PARTS = {1: 64, 2: 16, 3: 6, 4: 3, 5: 2}
"""Into how many parts each input is cut at first, by their number."""
_NEGLIGIBLE = 0.05
"""An end of a range is known well enough when it is, compared with this part of the other end."""
_ELEMENTS = 8192
"""Numbers in a layer over a batch of cells, so that they stay in the processor's cache."""
_PRIMES = ("", "'", "''", "'''", "''''")

Enclose = Callable[[Enclosure], Enclosure]


@dataclass(frozen=True)
class Box:
    """Where something is to be proved, how nearly, and for how long.

    Attributes:
        names: of the inputs.
        low: the lower corner, (inputs,).
        high: the upper corner.
        tolerance: relative.
        seconds: from now on.
        width: of the network's widest layer.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    tolerance: float
    seconds: float
    width: int
    _start: float = field(default_factory=time.monotonic)

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """Of each input."""
        return tuple(zip(map(float, self.low), map(float, self.high), strict=True))

    def searched(
        self,
        evaluate: Evaluate,
        slack: Callable[[Array], Array] | None = None,
        part: tuple[Array, Array] | None = None,
        share: float = 1.0,
    ) -> Outcome:
        """What a search over the box, or a part of it, finds in a share of the time that is left."""
        low, high = (self.low, self.high) if part is None else part
        wide = high - low > 1e-9 * (self.high - self.low)
        start = [_PARTS[len(low)] if is_wide else 1 for is_wide in wide]
        seconds = (self.seconds - (time.monotonic() - self._start)) * share
        slack = slack or (lambda best: self.tolerance * np.maximum(best, 0))
        return Search(evaluate, low, high, slack, seconds, max(_ELEMENTS // self.width, 1), start).run()

    def certificate(self, subject: str, bounds: Sequence[Bound], parts: Sequence[Part], **more: Any) -> Certificate:
        """What was proved here."""
        return Certificate(
            subject, self.names, self.intervals, tuple(bounds), parts=tuple(parts), tolerance=self.tolerance, **more
        )


def errors(
    network: Enclose, box: Box, order: int, function: str | Function | Callable, rounding: Rounding | None = None
) -> Certificate:
    """How far the network's derivatives of each order are off those of a function."""
    target, outputs, text, steps = target_of(function, box.names)
    with np.errstate(all="ignore"):
        found = network(variables(box.low[None], (box.high - box.low)[None], 0)).shape[1]
    if found != outputs:
        raise ValueError(f"the network has {found} output(s), {text!r} has {outputs}")
    count = len(box.names)
    enclose = difference(network, target)
    outcome = box.searched(Magnitudes(enclose, count, order, order + _EXTRA.get(count, 1)))
    labels = tuple(f"|error of f{_PRIMES[k]}|" for k in range(order + 1))
    bounds = [_bound(label, outcome, k) for k, label in enumerate(labels)]
    bounds[0] = _computed(bounds[0], enclose, box, rounding)
    part = Part(labels, tuple(range(order + 1)), box.intervals, outcome.cover, outcome.limit, outcome.evaluated)
    return box.certificate(
        f"the network is off {text} by", bounds, [part], function=text, target=steps, rounding=rounding
    )


def alone(network: Enclose, box: Box, order: int, rounding: Rounding | None = None) -> Certificate:
    """Ranges of a network's own derivatives, and the largest magnitude of each order."""

    def slack(best: Array) -> Array:
        pairs = np.abs(best).reshape(-1, 2)
        return box.tolerance * np.maximum(pairs, _NEGLIGIBLE * pairs.max(1, keepdims=True)).ravel()

    count = len(box.names)
    goals = Signed(network, count, order, order + _EXTRA.get(count, 1))
    outcome = box.searched(goals, slack)
    outputs = len(outcome.upper) // (2 * len(goals.indices))
    components = [(index, output) for index in goals.indices for output in range(outputs)]
    labels = [_derivative(index, output, box.names, outputs == 1) for index, output in components]
    orders = [sum(index) for index, _ in components for _ in "+-"]
    bounds = [_of_order(k, orders, outcome, box.tolerance) for k in range(order + 1)]
    bounds[0] = _computed(bounds[0], network, box, rounding)
    ranges = {n: (float(-outcome.upper[2 * i + 1]), float(outcome.upper[2 * i])) for i, n in enumerate(labels)}
    ranges |= {n: _widened(ranges[n], rounding) for n in labels[:outputs]}
    signed = tuple(sign + label for label in labels for sign in ("", "-"))
    part = Part(signed, tuple(orders), box.intervals, outcome.cover, outcome.limit, outcome.evaluated)
    return box.certificate("the network's values and derivatives", bounds, [part], ranges=ranges, rounding=rounding)


def violations(
    network: Enclose, box: Box, equations: Sequence[str], conditions: Sequence[str], unknowns: tuple[str, ...]
) -> Certificate:
    """How far the network violates equations inside the box, and conditions at parts of its boundary."""
    symbols, domain = Symbols(box.names, unknowns), dict(zip(box.names, box.intervals, strict=True))
    extra = 3 if len(box.names) == 1 else 1
    tasks = []
    for text in equations:
        tasks.append((text, Residual(network, Expression(text, f"the equation {text!r}", symbols), extra), None))
    for text in conditions:
        violation = Violation(network, Condition(text, symbols, domain, 2), (box.low, box.high), 3)
        tasks.append((text, violation, (violation.low, violation.high)))
    bounds, parts = [], []
    for left, (text, enclose, part) in zip(range(len(tasks), 0, -1), tasks, strict=True):
        outcome = box.searched(Magnitude(enclose), part=part, share=1 / left)
        bounds.append(_bound(text, outcome, 0))
        ends = box.intervals if part is None else tuple(zip(*(end.tolist() for end in part), strict=True))
        parts.append(Part((text,), (0,), ends, outcome.cover, outcome.limit, outcome.evaluated))
    return box.certificate("both sides of these differ by", bounds, parts, unknowns=unknowns)


def _bound(label: str, outcome: Outcome, goal: int) -> Bound:
    lower, upper = max(float(outcome.lower[goal]), 0.0), float(outcome.upper[goal])
    return Bound(label, lower, upper, _point(outcome, goal), bool(outcome.reached[goal]))


def _computed(bound: Bound, enclose: Enclose, box: Box, rounding: Rounding | None) -> Bound:
    """The bound of what a forward computes, attained at a number of its precision."""
    if rounding is None:
        return bound
    point = np.array(bound.where).astype(rounding.precision).astype(np.float64)
    inside = np.all((box.low <= point) & (point <= box.high))
    with np.errstate(all="ignore"):
        value = enclose(variables(point[None], 0 * point[None], 0)).ball[0]
    attained = float((np.abs(value.mid) - value.rad).max()) - rounding.upper if inside else 0.0
    lower = max(np.nextafter(attained, -inf), 0.0) if attained > 0 else 0.0
    name, upper = f"{bound.name[:-1]} in {rounding.precision}|", np.nextafter(bound.upper + rounding.upper, inf)
    return Bound(name, float(lower), float(upper), tuple(point.tolist()), bound.complete and bool(np.isfinite(upper)))


def _widened(ends: tuple[float, float], rounding: Rounding | None) -> tuple[float, float]:
    more = rounding.upper if rounding else 0.0
    return float(np.nextafter(ends[0] - more, -inf)), float(np.nextafter(ends[1] + more, inf))


def _of_order(k: int, orders: list[int], outcome: Outcome, tolerance: float) -> Bound:
    """The largest magnitude among the derivatives of one order."""
    goals = [goal for goal, own in enumerate(orders) if own == k]
    best = max(goals, key=lambda goal: outcome.lower[goal])
    lower, upper = max(float(outcome.lower[best]), 0.0), float(max(outcome.upper[goals], default=inf))
    return Bound(f"|f{_PRIMES[k]}|", lower, upper, _point(outcome, best), upper <= lower * (1 + tolerance))


def _point(outcome: Outcome, goal: int) -> tuple[float, ...]:
    return tuple(map(float, outcome.where[goal]))


def _derivative(index: tuple[int, ...], output: int, names: tuple[str, ...], single: bool) -> str:
    """As equations write it: y, dy_dx, d2y_dx2, d2y1_dxdt."""
    y, total = "y" if single else f"y{output + 1}", sum(index)
    if not total:
        return y
    by = "".join(f"d{name}{k if k > 1 else ''}" for name, k in zip(names, index, strict=True) if k)
    return f"d{total if total > 1 else ''}{y}_{by}"
