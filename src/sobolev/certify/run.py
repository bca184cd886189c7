"""`sobolev.certify`: from a network, a function and a domain to a certificate."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sobolev.certify.balls import Array
from sobolev.certify.certificate import Bound, Certificate, Part
from sobolev.certify.enclosure import variables
from sobolev.certify.goals import Magnitudes, Signed, difference
from sobolev.certify.network import on_enclosures, widest
from sobolev.certify.search import Evaluate, Outcome, Search
from sobolev.certify.target import target_of
from sobolev.errors import check_counts
from sobolev.functions import Function

MOST_INPUTS, HIGHEST_ORDER = 5, 4
_EXTRA = {1: 5, 2: 1, 3: 1, 4: 1, 5: 1}
"""How many degrees more than the highest derivative the Taylor polynomials have, by the number of inputs."""
_PARTS = {1: 64, 2: 16, 3: 6, 4: 3, 5: 2}
"""Into how many parts each input is cut at first."""
_NEGLIGIBLE = 0.05
"""An end of a range is known well enough when it is, compared with this part of the other end."""
_ELEMENTS = 8192
"""Numbers in a row of a layer over a batch of cells, so that they stay in the processor's cache."""

Domain = Mapping[str, tuple[float, float]]


def certify(
    network: Callable[[Any], Any],
    function: str | Function | Callable | None = None,
    domain: Domain | None = None,
    order: int = 2,
    tolerance: float = 0.02,
    seconds: float = 60,
) -> Certificate:
    """Prove how wrong a network and its derivatives can be anywhere in a domain.

    The bounds hold for every point, not for samples, and for the weights as they are, in real arithmetic: a forward in
    float32 adds its own rounding. Without a function the network's own values and derivatives are bounded, with the
    range of each.

    Args:
        network: maps (batch, inputs) to (batch, outputs); made of linear layers, tanh, sigmoid, SiLU, GELU, softplus,
            sin, + - * / and powers.
        function: a formula such as `"x**2"`, a `Function`, or a callable of torch; None for the network alone.
        domain: the interval of each input, in the order of the network's inputs.
        order: the highest derivative.
        tolerance: how near the bounds should come to what is attained, relative.
        seconds: after that time it returns what is proved so far.

    Returns:
        The certificate: `.upper[k]`, `.lower[k]`, `.where[k]` for each order.

    Raises:
        TypeError: the network or the function computes what no proof goes through; it is named.
        ValueError: the domain, the order, the tolerance or the function make no sense, or there are too many inputs.
    """
    names, low, high = checked_box(domain, order, tolerance)
    count, enclosed = len(names), on_enclosures(network)
    degree, deadline = order + _EXTRA[count], time.monotonic() + seconds
    search = lambda evaluate, slack: Search(  # noqa: E731
        evaluate,
        low,
        high,
        slack,
        deadline - time.monotonic(),
        _ELEMENTS // widest(network) or 1,
        [_PARTS[count]] * count,
    ).run()
    if function is None:
        return _alone(Signed(enclosed, count, order, degree), search, names, (low, high), order, tolerance)
    target, outputs, text = target_of(function, names)
    _check_outputs(enclosed, low, high, outputs, text)
    outcome = search(
        Magnitudes(difference(enclosed, target), count, order, degree), lambda best: tolerance * np.maximum(best, 0)
    )
    labels = tuple(_label(k, "error of f") for k in range(order + 1))
    return Certificate(
        f"the network is off {text} by",
        names,
        _intervals(low, high),
        _bounds(labels, outcome),
        {},
        (Part(labels, outcome.cover, outcome.limit, outcome.evaluated),),
        tolerance,
    )


def _alone(
    goals: Signed,
    search: Callable[[Evaluate, Callable[[Array], Array]], Outcome],
    names: tuple[str, ...],
    box: tuple[Array, Array],
    order: int,
    tolerance: float,
) -> Certificate:
    """Ranges of a network's own derivatives, and the largest magnitude of each order."""

    def slack(best: Array) -> Array:
        pairs = np.abs(best).reshape(-1, 2)
        return tolerance * np.maximum(pairs, _NEGLIGIBLE * pairs.max(1, keepdims=True)).ravel()

    outcome = search(goals, slack)
    components = [
        (index, output) for index in goals.indices for output in range(len(outcome.upper) // (2 * len(goals.indices)))
    ]
    single = len(components) == len(goals.indices)
    labels = tuple(_derivative(index, output, names, single) for index, output in components)
    bounds = [_of_order(k, [sum(index) for index, _ in components], outcome, tolerance) for k in range(order + 1)]
    return Certificate(
        "the network's values and derivatives",
        names,
        _intervals(*box),
        tuple(bounds),
        {label: (float(-outcome.upper[2 * i + 1]), float(outcome.upper[2 * i])) for i, label in enumerate(labels)},
        (
            Part(
                tuple(sign + label for label in labels for sign in ("", "-")),
                outcome.cover,
                outcome.limit,
                outcome.evaluated,
            ),
        ),
        tolerance,
    )


def _of_order(k: int, orders: list[int], outcome: Outcome, tolerance: float) -> Bound:
    """The largest magnitude among the derivatives of one order."""
    goals = [2 * i + sign for i, own in enumerate(orders) if own == k for sign in (0, 1)]
    best = max(goals, key=lambda goal: outcome.lower[goal])
    lower, upper = max(float(outcome.lower[best]), 0.0), float(max(outcome.upper[goals]))
    return Bound(_label(k, "f"), lower, upper, _point(outcome, best), upper <= lower * (1 + tolerance))


def _bounds(labels: Sequence[str], outcome: Outcome) -> tuple[Bound, ...]:
    return tuple(
        Bound(label, max(float(lower), 0.0), float(upper), _point(outcome, i), bool(reached))
        for i, (label, lower, upper, reached) in enumerate(
            zip(labels, outcome.lower, outcome.upper, outcome.reached, strict=True)
        )
    )


def _point(outcome: Outcome, goal: int) -> tuple[float, ...]:
    return tuple(map(float, outcome.where[goal]))


def checked_box(domain: Domain | None, order: int, tolerance: float) -> tuple[tuple[str, ...], Array, Array]:
    """The names of the inputs and the corners of the box.

    Raises:
        ValueError: there is none, it is no box, or it has too many inputs.
    """
    check_counts(0, order=order)
    if order > HIGHEST_ORDER:
        raise ValueError(f"order is {order}; derivatives are bounded up to order {HIGHEST_ORDER}")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance!r}; it is a positive number, such as 0.02")
    if not isinstance(domain, Mapping) or not domain:
        raise ValueError(f"domain is {domain!r}; write the interval of each input: {{'x': (-50, 50)}}")
    for name, ends in domain.items():
        if not (isinstance(ends, Sequence) and len(ends) == 2 and -np.inf < ends[0] < ends[1] < np.inf):
            raise ValueError(f"the domain of {name} is {ends!r}; write its two ends, the lower one first: (-50, 50)")
    if len(domain) > MOST_INPUTS:
        cells = 30.0 ** len(domain)
        raise ValueError(
            f"the domain has {len(domain)} inputs: a proof would take something like {cells:.0e} cells; "
            f"at most {MOST_INPUTS} inputs are taken"
        )
    low, high = np.array([list(map(float, ends)) for ends in domain.values()]).T
    return tuple(map(str, domain)), low.copy(), high.copy()


def _check_outputs(network: Callable[[Any], Any], low: Array, high: Array, outputs: int, text: str) -> None:
    with np.errstate(all="ignore"):
        found = network(variables(low[None], (high - low)[None], 0)).shape[1]
    if found != outputs:
        raise ValueError(f"the network has {found} output(s), {text!r} has {outputs}")


def _intervals(low: Array, high: Array) -> tuple[tuple[float, float], ...]:
    return tuple(zip(map(float, low), map(float, high), strict=True))


def _label(order: int, what: str) -> str:
    return f"|{what}{_PRIMES[order]}|"


_PRIMES = ("", "'", "''", "'''", "''''")


def _derivative(index: tuple[int, ...], output: int, names: tuple[str, ...], single: bool) -> str:
    """As equations write it: y, dy_dx, d2y_dx2, d2y1_dxdt."""
    y, total = "y" if single else f"y{output + 1}", sum(index)
    if not total:
        return y
    by = "".join(f"d{name}{k if k > 1 else ''}" for name, k in zip(names, index, strict=True) if k)
    return f"d{total if total > 1 else ''}{y}_{by}"
