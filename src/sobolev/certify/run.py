"""`sobolev.certify`: from a network, a function or an equation, and a domain, to a certificate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sobolev.certify.balls import Array
from sobolev.certify.certificate import Certificate
from sobolev.certify.network import check_agreement, on_enclosures, widest
from sobolev.certify.program import steps_of
from sobolev.certify.proofs import Box, alone, errors, violations
from sobolev.certify.rounding import rounding as bound_rounding
from sobolev.errors import check_counts
from sobolev.functions import Function

MOST_INPUTS, HIGHEST_ORDER = 5, 4

Domain = Mapping[str, tuple[float, float]]


def certify(
    network: Callable[[Any], Any],
    function: str | Function | Callable | None = None,
    domain: Domain | None = None,
    order: int = 2,
    tolerance: float = 0.02,
    seconds: float = 60,
    residual: str | Sequence[str] | None = None,
    conditions: str | Sequence[str] = (),
    unknowns: Sequence[str] = ("u",),
    rounding: str | None = None,
) -> Certificate:
    """Prove how wrong a network and its derivatives can be anywhere in a domain.

    The bounds hold for every point, not for samples, and for the weights as they are, in real arithmetic; with
    `rounding="float32"` the one of order 0 holds for what a forward in float32 computes. Without a function and an
    equation the network's own values and derivatives are bounded, with the range of each.

    Args:
        network: maps (batch, inputs) to (batch, outputs); made of linear layers, tanh, sigmoid, SiLU, GELU, softplus,
            sin, + - * / and powers.
        function: a formula such as `"x**2"`, a `Function`, or a callable of torch; None for the network alone.
        domain: the interval of each input, in the order of the network's inputs.
        order: the highest derivative.
        tolerance: how near the bounds should come to what is attained, relative.
        seconds: after that time it returns what is proved so far.
        residual: in place of a function a differential equation such as `"du_dt = 0.1*d2u_dx2"`, or several.
        conditions: with it, such as `"u(x, 0) = sin(pi*x)"`; one bound each.
        unknowns: with it, the names of the network's outputs.
        rounding: "float32" or "float64": count the rounding of a forward in this precision, for all inputs that are
            numbers of it, in the bound of order 0.

    Returns:
        The certificate: `.upper[k]`, `.lower[k]`, `.where[k]` for each order, or equation and condition.

    Raises:
        TypeError: the network or the function computes what no proof goes through; it is named.
        ValueError: the domain, the order, the tolerance or the function make no sense, or there are too many inputs.

    Examples:
        >>> import sobolev, torch
        >>> certificate = sobolev.certify(torch.nn.Tanh(), "x", {"x": (-0.1, 0.1)}, order=1)
        >>> certificate.complete
        True
        >>> 3.3e-4 < certificate.upper[0] < 3.4e-4  # nowhere is tanh(x) farther from x
        True
    """
    names, low, high = _box(domain)
    _check(order, tolerance, seconds)
    box = Box(names, low, high, tolerance, float(seconds), widest(network))
    enclosed = on_enclosures(network)
    check_agreement(network, enclosed, low, high)
    if residual is not None or conditions:
        if function is not None:
            raise ValueError("give a function or a residual with its conditions, not both")
        if rounding is not None:
            raise ValueError("rounding is counted in the values of a network, not in an equation's derivatives")
        equations = [residual] if isinstance(residual, str) else list(residual or [])
        given = [conditions] if isinstance(conditions, str) else list(conditions)
        found = violations(enclosed, box, equations, given, tuple(unknowns))
    else:
        rounded = None if rounding is None else bound_rounding(network, low, high, rounding)
        own = function is None
        found = alone(enclosed, box, order, rounded) if own else errors(enclosed, box, order, function, rounded)
    return replace(found, network=steps_of(network, len(names)))


def _check(order: int, tolerance: float, seconds: float) -> None:
    check_counts(0, order=order)
    if order > HIGHEST_ORDER:
        raise ValueError(f"order is {order}; derivatives are bounded up to order {HIGHEST_ORDER}")
    for name, value in {"tolerance": tolerance, "seconds": seconds}.items():
        if not value > 0:
            raise ValueError(f"{name} is {value!r}; it is a positive number")


def _box(domain: Domain | None) -> tuple[tuple[str, ...], Array, Array]:
    """The names of the inputs and the corners of the box.

    Raises:
        ValueError: there is none, it is no box, or it has too many inputs.
    """
    if not isinstance(domain, Mapping) or not domain:
        raise ValueError(f"domain is {domain!r}; write the interval of each input: {{'x': (-50, 50)}}")
    for name, ends in domain.items():
        if not (isinstance(ends, Sequence) and len(ends) == 2 and -np.inf < ends[0] < ends[1] < np.inf):
            raise ValueError(f"the domain of {name} is {ends!r}; write its two ends, the lower one first: (-50, 50)")
    if len(domain) > MOST_INPUTS:
        raise ValueError(
            f"the domain has {len(domain)} inputs: a proof would take something like {30.0 ** len(domain):.0e} cells; "
            f"at most {MOST_INPUTS} inputs are taken"
        )
    low, high = np.array([list(map(float, ends)) for ends in domain.values()]).T
    return tuple(map(str, domain)), low.copy(), high.copy()
