"""Equations and conditions together, as one loss free of units."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from sobolev.equations.components import compute_components
from sobolev.equations.condition import Condition, Domain
from sobolev.equations.expression import Expression, Symbols
from sobolev.equations.scales import Statement, residual_size, unknown_sizes
from sobolev.equations.well_posedness import check_determined

_POINTS = 500


class Loss(NamedTuple):
    """The two parts of the loss, free of units."""

    equations: Tensor
    conditions: Tensor


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
    ) -> None:
        symbols = Symbols(tuple(domain), tuple(unknowns))
        self.equations, self.conditions = tuple(equations), tuple(conditions)
        self._equations = [Expression(text, f"the equation {text!r}", symbols) for text in equations]
        self._conditions = [Condition(text, symbols, domain, condition_samples) for text in conditions]
        check_determined(self._equations, self._conditions, symbols, domain)
        for pair in combinations(self._conditions, 2):
            _check_consistent(*pair)
        low, high = torch.tensor(list(domain.values()), dtype=torch.float64).T
        self.mean, self.deviation = (low + high) / 2, (high - low) / 12**0.5
        unit = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=0).draw(_POINTS, dtype=torch.float64)
        statements = [self._statement(e, low + (high - low) * unit) for e in self._equations]
        statements += [
            Statement(c.where, [d.component for d in c.calls], c, c.points.shape[1]) for c in self._conditions
        ]
        self.sizes = unknown_sizes(statements, len(unknowns), self.deviation)
        self._scales = [residual_size(s, self.sizes, self.deviation) for s in statements]

    def residuals(self, f: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
        """By how much f, (points, inputs) to (points, unknowns), violates each equation at x: tensors (points)."""
        needed = {c for equation in self._equations for c in equation.components.values()}
        values = compute_components(f, x, needed)
        return [_residual(e, x, {name: values[c] for name, c in e.components.items()}) for e in self._equations]

    def violations(self, f: Callable[[Tensor], Tensor], like: Tensor) -> list[Tensor]:
        """By how much f violates each condition at its points: tensors (rows).

        Args:
            f: maps (points, inputs) to (points, unknowns).
            like: a tensor of the precision and on the device of f.
        """
        if not self._conditions:
            return []
        needed = {call.component for condition in self._conditions for call in condition.calls}
        points = [points for condition in self._conditions for points in condition.points]
        values = compute_components(f, torch.cat(points).to(like), needed)
        split = {c: column.split([len(part) for part in points]) for c, column in values.items()}
        number, found = 0, []
        for condition in self._conditions:
            found.append(condition([split[call.component][number + i] for i, call in enumerate(condition.calls)]))
            number += len(condition.calls)
        return found

    def loss(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Loss:
        """For the equations and for the conditions, the sum of the mean squares, in units of their typical sizes."""
        errors = [*self.residuals(f, x), *self.violations(f, x)]
        parts = [(error / scale).square().mean() for error, scale in zip(errors, self._scales, strict=True)]
        split = len(self._equations)
        return Loss(sum(parts[:split], x.new_zeros(())), sum(parts[split:], x.new_zeros(())))

    def undefined(self, f: Callable[[Tensor], Tensor], x: Tensor) -> str | None:
        """The equation that is no finite number for this f, as `sqrt(u)` is where u < 0; None where f itself is none.

        Args:
            f: maps (points, inputs) to (points, unknowns).
            x: (points, inputs).
        """
        needed = {c for equation in self._equations for c in equation.components.values()}
        with torch.no_grad():
            values = compute_components(f, x, needed)
            for equation, errors in zip(self._equations, self.residuals(f, x), strict=True):
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

    def _statement(self, equation: Expression, x: Tensor) -> Statement:
        names, components = list(equation.components), list(equation.components.values())
        evaluate = lambda values: _residual(equation, x, dict(zip(names, values, strict=True)))  # noqa: E731
        return Statement(equation.where, components, evaluate, len(x))


def _residual(equation: Expression, x: Tensor, values: dict[str, Tensor]) -> Tensor:
    """The equation at x (points, inputs), from the values (..., points) of its derivatives."""
    return equation({**dict(zip(equation.inputs, x.unbind(1), strict=True)), **values}, next(iter(values.values())))


def _check_consistent(a: Condition, b: Condition) -> None:
    """The same derivative at the same place must not be asked to have two values."""
    if len(a.calls) > 1 or len(b.calls) > 1 or a.calls[0][1:] != b.calls[0][1:]:
        return
    zeros = torch.zeros(a.points.shape[1], dtype=torch.float64)
    wanted = [-c([zeros]) / (c([zeros + 1]) - c([zeros])) for c in (a, b)]
    if not torch.allclose(wanted[0], wanted[1], rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ValueError(f"{a.where} contradicts the condition {b.text!r}; leave out one of them")
