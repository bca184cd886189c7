"""What a data module calls its inputs, outputs and derivatives, where it has names for them."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

from sobolev.functions.notation import Place, derivative_notation, derivative_place, derivative_unit

_MOST = 20
"""More derivatives are not listed one by one."""

_NAMES = ("input_names", "output_names", "derivative_names", "units")


def named_places(data: Any) -> dict[str, Place]:
    """Where the derivatives stand that a data module has names for; none without one."""
    names = getattr(data, "derivative_names", {})
    return {
        name: derivative_place(derivative, data.input_names, data.output_names, "derivative_names")
        for derivative, name in names.items()
    }


def all_places(data: Any, order: int) -> dict[str, Place]:
    """Every first and second derivative by the names of a data module's columns; none where each order has one only.

    Their units differ, so that no number is about them all.

    Args:
        data: the data module; without names there are none.
        order: of the highest derivatives.
    """
    inputs, outputs = getattr(data, "input_names", ()), getattr(data, "output_names", ())
    orders = range(1, min(order, 2) + 1)
    places = {
        derivative_notation(name, [inputs[i] for i in by]): (output, *by)
        for k in orders
        for output, name in enumerate(outputs)
        for by in combinations_with_replacement(range(len(inputs)), k)
    }
    return places if len(inputs) * len(outputs) > 1 and len(places) <= _MOST else {}


def unit_of(place: Place, data: Any) -> str:
    """The unit of a derivative, or of an output; empty where the data module does not know it."""
    units, (output, *by) = getattr(data, "units", {}), place
    names = [data.output_names[output], *(data.input_names[i] for i in by)] if units else []
    if not names or any(name not in units for name in names):
        return ""
    return derivative_unit(units[names[0]], [units[name] for name in names[1:]])


def units_of_orders(data: Any, orders: Sequence[int]) -> dict[int, str]:
    """Of every order that has one: of the value of a single output, of its derivatives by a single input."""
    inputs, outputs = len(getattr(data, "input_names", ())), len(getattr(data, "output_names", ()))
    single = [order for order in orders if outputs == 1 and (order == 0 or inputs == 1)]
    found = {order: unit_of((0,) * (order + 1), data) for order in single}
    return {order: unit for order, unit in found.items() if unit}


def names_for_figures(data: Any) -> dict[str, Any]:
    """As `sobolev.plots.derivatives_figure` takes them."""
    return {name: getattr(data, name) for name in _NAMES if hasattr(data, name)}
