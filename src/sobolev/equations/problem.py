"""Equations and conditions together, as one loss free of units."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from sobolev.equations.components import component, compute_components
from sobolev.equations.condition import Condition, Domain
from sobolev.equations.expression import Expression, Symbols
from sobolev.equations.scales import Statement, residual_size, unknown_sizes
from sobolev.equations.well_posedness import check_determined, spare_conditions

_POINTS = 500


_LEAST_SIZE = 0.1
"""Of the size that is expected before anything is learnt."""


class Loss(NamedTuple):
    """The two parts of the loss, free of units."""

    equations: Tensor
    conditions: Tensor


class Violation(NamedTuple):
    """How far a network is from one equation or condition.

    Attributes:
        statement: its text.
        rms: root mean square of the residual, in the units of the statement.
        share: of the size of the statement's terms.
        max: the largest residual.
    """

    statement: str
    rms: float
    share: float
    max: float


class Problem:
    """A differential equation, or several, for functions on a box.

    Every residual is divided by its own typical size: that for functions as large as the right-hand sides suggest,
    whose derivatives of order k are as large as the functions divided by s^k, with s the standard deviation of the
    input over its domain. So equations and conditions weigh the same, whatever the units.

    Args:
        equations: such as `d2u_dx2 + u` (= 0) or `du_dt = 0.1*d2u_dx2`; one text for each.
        conditions: such as `u(0) = 1`, `du_dx(0) = 0`, `u(x, 0) = sin(pi*x)`, `u(0, t) = u(1, t)`.
        domain: the interval of each input, in the order of the network's inputs.
        unknowns: the names of the network's outputs.
        condition_samples: how many points stand for a condition along a boundary.
        coefficients: numbers in equations or conditions that are not known, with a first guess of each.
        measurements: points (rows, inputs) and what the unknowns are there, (rows, unknowns), NaN where not measured.
        boundary: columns of points of the boundary, by name, see `Condition`.

    Attributes:
        mean: of the inputs over the domain, (inputs,), float64.
        deviation: their standard deviation.
        sizes: the expected size of each unknown, (unknowns,).
        equations: their texts.
        conditions: theirs.

    Raises:
        ValueError: unknown names; conditions outside the domain, contradicting each other, or missing altogether.
    """

    def __init__(
        self,
        equations: Sequence[str],
        conditions: Sequence[str],
        domain: Domain,
        unknowns: Sequence[str] = ("u",),
        condition_samples: int = 100,
        coefficients: Mapping[str, float] | None = None,
        measurements: tuple[Tensor, Tensor] | None = None,
        boundary: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.coefficients, self.measurements = dict(coefficients or {}), measurements
        names = list(self.coefficients)
        symbols = Symbols(tuple(domain), tuple(unknowns))
        self.equations, self.conditions = tuple(equations), tuple(conditions)
        self._equations = [Expression(text, f"the equation {text!r}", symbols, names) for text in equations]
        self._conditions = [Condition(text, symbols, domain, condition_samples, names, boundary) for text in conditions]
        _check_coefficients(names, symbols, self._equations, self._conditions, measurements)
        check_determined(self._equations, self._conditions, symbols, domain, measured=measurements is not None)
        for pair in combinations(self._conditions, 2):
            _check_consistent(*pair)
        low, high = torch.tensor(list(domain.values()), dtype=torch.float64).T
        self.mean, self.deviation = (low + high) / 2, (high - low) / 12**0.5
        unit = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=0).draw(_POINTS, dtype=torch.float64)
        guess = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.coefficients.items()}
        statements = [self._statement(e, low + (high - low) * unit, guess) for e in self._equations]
        statements += [
            Statement(c.where, [d.component for d in c.calls], partial(c, coefficients=guess), c.points.shape[1])
            for c in self._conditions
        ]
        self.sizes = unknown_sizes(statements, len(unknowns), self.deviation)
        if measurements is not None:
            self.sizes = torch.maximum(self.sizes, measurements[1].square().nanmean(0).sqrt().nan_to_num(0.0))
        self._scales = [residual_size(s, self.sizes, self.deviation) for s in statements]

    def residuals(
        self, f: Callable[[Tensor], Tensor], x: Tensor, coefficients: Mapping[str, Tensor] | None = None
    ) -> list[Tensor]:
        """By how much f, (points, inputs) to (points, unknowns), violates each equation at x: tensors (points).

        Args:
            f: the function.
            x: the points.
            coefficients: those that are not known; their first guess if left out.
        """
        numbers = self._numbers(x, coefficients)
        needed = {c for equation in self._equations for c in equation.components.values()}
        values = compute_components(f, x, needed)
        return [
            _residual(e, x, {name: values[c] for name, c in e.components.items()}, numbers) for e in self._equations
        ]

    def violations(
        self, f: Callable[[Tensor], Tensor], like: Tensor, coefficients: Mapping[str, Tensor] | None = None
    ) -> list[Tensor]:
        """By how much f violates each condition at its points: tensors (rows).

        Args:
            f: maps (points, inputs) to (points, unknowns).
            like: a tensor of the precision and on the device of f.
            coefficients: those that are not known; their first guess if left out.
        """
        if not self._conditions:
            return []
        needed = {call.component for condition in self._conditions for call in condition.calls}
        points = [points for condition in self._conditions for points in condition.points]
        values = compute_components(f, torch.cat(points).to(like), needed)
        split = {c: column.split([len(part) for part in points]) for c, column in values.items()}
        number, found, numbers = 0, [], self._numbers(like, coefficients)
        for condition in self._conditions:
            parts = [split[call.component][number + i] for i, call in enumerate(condition.calls)]
            found.append(condition(parts, numbers))
            number += len(condition.calls)
        return found

    def misfit(self, f: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
        """The sum over the unknowns of mean squares of what f is off the measurements, in units of their sizes."""
        if self.measurements is None:
            return like.new_zeros(())
        points, values = (tensor.to(like) for tensor in self.measurements)
        known = values.isfinite()
        off = ((f(points) - values) / self.sizes.to(like)).where(known, torch.zeros_like(values))
        return (off.square().sum(0) / known.sum(0).clamp_min(1)).sum()

    def loss(self, f: Callable[[Tensor], Tensor], x: Tensor, coefficients: Mapping[str, Tensor] | None = None) -> Loss:
        """For the equations and for the conditions, the sum of the mean squares, in units of their typical sizes."""
        errors = [*self.residuals(f, x, coefficients), *self.violations(f, x, coefficients)]
        parts = [(error / scale).square().mean() for error, scale in zip(errors, self._scales, strict=True)]
        split = len(self._equations)
        equations, conditions = (sum(some, x.new_zeros(())) for some in (parts[:split], parts[split:]))
        return Loss(equations, conditions)

    def sizes_of_residuals(
        self, f: Callable[[Tensor], Tensor], x: Tensor, coefficients: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """How far f is from the equations at each point of x, (points,), over all of them, in units of their sizes."""
        errors = self.residuals(f, x, coefficients)
        return torch.stack([e / s for e, s in zip(errors, self._scales, strict=False)]).square().sum(0).sqrt()

    def undefined(
        self, f: Callable[[Tensor], Tensor], x: Tensor, coefficients: Mapping[str, Tensor] | None = None
    ) -> str | None:
        """The equation that is no finite number for this f, as `sqrt(u)` is where u < 0; None where f itself is none.

        Args:
            f: maps (points, inputs) to (points, unknowns).
            x: (points, inputs).
            coefficients: as in `residuals`.
        """
        needed = {c for equation in self._equations for c in equation.components.values()}
        with torch.no_grad():
            values = compute_components(f, x, needed)
            for equation, errors in zip(self._equations, self.residuals(f, x, coefficients), strict=True):
                given = {name: values[c] for name, c in equation.components.items()}
                bad = ~errors.isfinite() & torch.stack(list(given.values())).isfinite().all(0)
                if bad.any():
                    found = [f"{name} = {column[bad][0]:.3g}" for name, column in given.items()]
                    where = ", ".join(
                        f"{name} = {value:.3g}" for name, value in zip(equation.inputs, x[bad][0].tolist(), strict=True)
                    )
                    return (
                        f"{equation.where} is not finite at {where}, where {', '.join(found)}, as a network may be: "
                        "write it so that it is a number for every sign, with abs(...) in powers, roots and logarithms"
                    )
        return None

    def violated(
        self, f: Callable[[Tensor], Tensor], x: Tensor, coefficients: Mapping[str, Tensor] | None = None
    ) -> list[Violation]:
        """By how much f violates each equation at x, then each condition at its points."""
        errors = [*self.residuals(f, x, coefficients), *self.violations(f, x, coefficients)]
        scales = [*self._sizes_of_terms(f, x, coefficients), *self._scales[len(self.equations) :]]
        found = []
        for text, error, scale in zip([*self.equations, *self.conditions], errors, scales, strict=True):
            rms = float(error.detach().double().square().mean().sqrt())
            found.append(Violation(text, rms, rms / scale, float(error.detach().abs().max())))
        return found

    def _sizes_of_terms(
        self, f: Callable[[Tensor], Tensor], x: Tensor, coefficients: Mapping[str, Tensor] | None
    ) -> list[float]:
        """Of each equation, for this f at x: the root mean square of its largest term; a shock has large ones.

        A term is what a derivative makes of the residual, or what is left without any. A function that is hardly more
        than zero is held against a small part of the size that was expected.
        """
        numbers, sizes = self._numbers(x, coefficients), []
        needed = {c for equation in self._equations for c in equation.components.values()}
        values = compute_components(f, x, needed)
        for equation, expected in zip(self._equations, self._scales, strict=False):
            given = {name: values[c] for name, c in equation.components.items()}
            nothing = {name: torch.zeros_like(value) for name, value in given.items()}
            whole = _residual(equation, x, given, numbers)
            terms = [whole - _residual(equation, x, {**given, name: nothing[name]}, numbers) for name in given]
            terms.append(_residual(equation, x, nothing, numbers))
            largest = torch.stack([term.expand(len(x)) for term in terms]).detach().double()
            largest = largest.nan_to_num(0.0, 0.0, 0.0).abs().amax(0)
            sizes.append(max(float(largest.square().mean().sqrt()), _LEAST_SIZE * expected))
        return sizes

    def _numbers(self, like: Tensor, given: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        return {name: like.new_tensor(value) for name, value in self.coefficients.items()} | dict(given or {})

    def _statement(self, equation: Expression, x: Tensor, guess: Mapping[str, Tensor]) -> Statement:
        names, components = list(equation.components), list(equation.components.values())
        evaluate = lambda values: _residual(equation, x, dict(zip(names, values, strict=True)), guess)  # noqa: E731
        return Statement(equation.where, components, evaluate, len(x))


def _residual(equation: Expression, x: Tensor, values: dict[str, Tensor], coefficients: Mapping[str, Tensor]) -> Tensor:
    """The equation at x (points, inputs), from the values (..., points) of its derivatives."""
    inputs = dict(zip(equation.inputs, x.unbind(1), strict=True))
    return equation({**inputs, **coefficients, **values}, next(iter(values.values())))


def _check_coefficients(
    names: Sequence[str],
    symbols: Symbols,
    equations: Sequence[Expression],
    conditions: Sequence[Condition],
    measurements: object,
) -> None:
    """Every coefficient stands somewhere, and something tells it: measurements, or conditions more than are needed."""
    for equation in equations:
        if not equation.components:
            raise ValueError(f"{equation.where} contains no unknown ({', '.join(symbols.unknowns)})")
    used = {name for statement in (*equations, *(c.expression for c in conditions)) for name in statement.names}
    for name in names:
        if component(name, *symbols) is not None or name in symbols.inputs:
            raise ValueError(f"the coefficient {name!r} has the name of an input or of a derivative; call it otherwise")
        if name not in used:
            raise ValueError(f"the coefficient {name!r} stands in no equation and no condition")
    if names and measurements is None and spare_conditions(equations, conditions, symbols) < len(names):
        raise ValueError(
            f"nothing tells {' and '.join(names)}: give measurements of {' or '.join(symbols.unknowns)}, a table with "
            f"the columns {', '.join([*symbols.inputs, *symbols.unknowns])}, or, of an eigenvalue, one condition more "
            f"than the order, such as {symbols.unknowns[0]}({', '.join('0' for _ in symbols.inputs)}) = 1"
        )


def _check_consistent(a: Condition, b: Condition) -> None:
    """The same derivative at the same place must not be asked to have two values."""
    learnt = any(set(c.expression.names) - {*c.places, *c.expression.inputs} for c in (a, b))
    if learnt or len(a.calls) > 1 or len(b.calls) > 1 or a.calls[0][1:] != b.calls[0][1:]:
        return
    zeros = torch.zeros(a.points.shape[1], dtype=torch.float64)
    wanted = [-c([zeros]) / (c([zeros + 1]) - c([zeros])) for c in (a, b)]
    if not torch.allclose(wanted[0], wanted[1], rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ValueError(f"{a.where} contradicts the condition {b.text!r}; leave out one of them")
