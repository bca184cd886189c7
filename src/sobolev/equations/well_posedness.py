"""Whether equations and conditions can determine a solution, as far as counting tells."""

import warnings
from collections.abc import Sequence

from sobolev.equations.condition import Condition, Domain
from sobolev.equations.expression import Expression, Symbols


def check_determined(
    equations: Sequence[Expression],
    conditions: Sequence[Condition],
    symbols: Symbols,
    domain: Domain,
    *,
    measured: bool = False,
) -> None:
    """Refuse a problem that has many solutions for sure, and warn of one that probably has.

    Raises:
        ValueError: an unknown in no equation; an equation with derivatives and no condition.
    """
    inputs, unknowns = symbols
    used = [c for equation in equations for c in equation.components.values()]
    missing = [name for i, name in enumerate(unknowns) if all(c.unknown != i for c in used)]
    if missing:
        raise ValueError(f"no equation contains {' or '.join(missing)}, so nothing determines it")
    if measured:  # which may do what conditions do
        return
    highest = max(c.order for c in used)
    if highest and not conditions:
        place = ", ".join([*inputs[:-1], f"{domain[inputs[-1]][0]:g}"])
        raise ValueError(
            f"there is no condition, and without one {equations[0].where} has many solutions; give some, such as "
            f"{unknowns[0]}({place}) = 1"
        )
    doubts = [*_free_constants(equations, conditions, unknowns), *_free_inputs(equations, conditions, inputs)]
    if len(inputs) == len(equations) == 1 and 0 < len(conditions) < highest:
        doubts.append(f"{equations[0].where} is of order {highest} but has {len(conditions)} condition(s)")
    for doubt in doubts:
        warnings.warn(f"{doubt}: unless that is enough, there are many solutions, and any may be found", stacklevel=4)


def spare_conditions(equations: Sequence[Expression], conditions: Sequence[Condition], symbols: Symbols) -> int:
    """How many conditions there are beyond those that a solution needs; they can tell eigenvalues.

    With one input that is the sum of the highest orders of all unknowns. With several, a condition on a whole edge is
    one of a function, and only those at points are counted.
    """
    inputs, unknowns = symbols
    if len(inputs) > 1:
        return sum(all(set(call.fixed) == set(inputs) for call in c.calls) for c in conditions)
    used = [c for equation in equations for c in equation.components.values()]
    needed = sum(max((c.order for c in used if c.unknown == i), default=0) for i in range(len(unknowns)))
    return sum(c.points.shape[1] if c.on_boundary else 1 for c in conditions) - needed


def _free_constants(
    equations: Sequence[Expression], conditions: Sequence[Condition], unknowns: Sequence[str]
) -> list[str]:
    """Unknowns to which a constant can be added."""
    used = [c for equation in equations for c in equation.components.values()]
    used += [call.component for condition in conditions for call in condition.calls]
    return [
        f"only derivatives of {name} are given, never {name} itself"
        for i, name in enumerate(unknowns)
        if all(c.order for c in used if c.unknown == i)
    ]


def _free_inputs(equations: Sequence[Expression], conditions: Sequence[Condition], inputs: Sequence[str]) -> list[str]:
    """Inputs that an equation differentiates by, but no condition fixes."""
    fixed = {name for condition in conditions for call in condition.calls for name in call.fixed}
    if any(condition.on_boundary for condition in conditions):
        return []
    return [
        f"no condition holds at a value of {name}, though the equations differentiate by it"
        for i, name in enumerate(inputs)
        if name not in fixed and any(c.orders[i] for equation in equations for c in equation.components.values())
    ]
