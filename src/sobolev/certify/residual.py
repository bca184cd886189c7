"""How far a network violates a differential equation, or a condition at a part of the boundary, on enclosures."""

from collections.abc import Callable

import numpy as np
import sympy

from sobolev.certify.balls import Array, Ball, exact, multiply, reciprocal
from sobolev.certify.enclosure import Enclosure, variables
from sobolev.certify.formula import Formula
from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rules.arithmetic import scaled
from sobolev.certify.rules.shape import unbind
from sobolev.equations.components import Component
from sobolev.equations.condition import Condition
from sobolev.equations.expression import Expression

_THICKNESS = 2.0**-40
"""Of a face, in parts of the box: so that derivatives across it have something to refer to."""

Enclose = Callable[[Enclosure], Enclosure]


class Residual:
    """An equation: what it is off 0 by, in cells.

    Args:
        network: on enclosures, from (cells, inputs) to (cells, unknowns).
        equation: of the inputs and derivatives.
        order: the degree of the Taylor polynomials of the result.
    """

    def __init__(self, network: Enclose, equation: Expression, order: int) -> None:
        self._network, self._equation, self._formula = network, equation, Formula(equation.formula)
        self._highest = max(c.order for c in equation.components.values())
        self.order = order

    def __call__(self, centre: Array, half: Array) -> Enclosure:
        """(cells, 1)."""
        x = variables(centre, half, self.order + self._highest)
        y = self._network(x)
        values = {n: _component(y, c, half, self.order) for n, c in self._equation.components.items()}
        values |= dict(zip(self._equation.inputs, unbind(x.lower(self.order), 1), strict=True))
        return _column(self._formula, values)


class Violation:
    """A condition: what it is off 0 by, in cells of the box it speaks of.

    Args:
        network: on enclosures.
        condition: fixes some inputs and leaves the others free.
        box: the lower and upper corners of the domain, (inputs,).
        order: the degree of the Taylor polynomials of the result.

    Attributes:
        low: the lower corner of what is searched; inputs that are fixed everywhere have a thin slice of the domain.
        high: the upper corner.
    """

    def __init__(self, network: Enclose, condition: Condition, box: tuple[Array, Array], order: int) -> None:
        self._network, self._condition, self._formula = network, condition, Formula(condition.expression.formula)
        self._names = condition.expression.inputs
        self._highest = max(call.component.order for call in condition.calls)
        self.order = order
        width = box[1] - box[0]
        self.free = [any(n not in call.fixed for call in condition.calls) for n in self._names]
        self._check(condition)
        fixed = np.array([condition.calls[0].fixed.get(n, 0.0) for n in self._names])
        self.low = np.where(self.free, box[0], fixed - _THICKNESS * width)
        self.high = np.where(self.free, box[1], fixed + _THICKNESS * width)

    def _check(self, condition: Condition) -> None:
        """A derivative across a face is enclosed in a slice around it; that slice must be nothing else's range."""
        for call in condition.calls:
            for name, free, order in zip(self._names, self.free, call.component.orders, strict=True):
                if free and order and name in call.fixed:
                    raise NoEnclosureError(
                        f"no proof takes {condition.where}: {name} is fixed in {call.text} and free elsewhere"
                    )

    def __call__(self, centre: Array, half: Array) -> Enclosure:
        """(cells, 1)."""
        order, values = self.order + self._highest, {}
        for place, call in zip(self._condition.places, self._condition.calls, strict=True):
            at, reach = centre.copy(), half.copy()
            for i, name in enumerate(self._names):
                if name in call.fixed:
                    at[:, i] = call.fixed[name]
                    reach[:, i] *= call.component.orders[i] > 0
            values[place] = _component(self._network(variables(at, reach, order)), call.component, half, self.order)
        x = variables(centre, half, self.order)
        values |= dict(zip(self._names, unbind(x, 1), strict=True))
        return _column(self._formula, values)


def _component(y: Enclosure, c: Component, half: Array, order: int) -> Enclosure:
    """A derivative of an unknown, (cells,): that in t, divided by powers of the half widths."""
    e = y.derivative(c.orders, order) if c.order or order < y.space.order else y
    factor = Ball(np.ones(len(half)), np.zeros(len(half)))
    for i, k in enumerate(c.orders):
        for _ in range(k):
            factor = multiply(factor, reciprocal(exact(half[:, i])))
    return scaled(unbind(e, 1)[c.unknown], factor)


def _column(formula: Formula, values: dict[str, Enclosure]) -> Enclosure:
    result = formula({sympy.Symbol(name): value for name, value in values.items()})
    return Enclosure(result.space, result.ball[..., None])
