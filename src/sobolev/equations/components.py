"""Single derivatives of a solution, such as d2u_dxdy: their names, and their values for a network."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff import derivatives, hessian
from sobolev.autodiff.operators import derivative_tensors

_HIGHEST = 10
_HIGHEST_MIXED = 4


class Component(NamedTuple):
    """One derivative of one unknown."""

    unknown: int
    """The column of the network's output."""
    orders: tuple[int, ...]
    """How often it is differentiated by each input."""

    @property
    def order(self) -> int:
        """The total order."""
        return sum(self.orders)

    @property
    def mixed(self) -> bool:
        """Whether it is differentiated by more than one input."""
        return sum(order > 0 for order in self.orders) > 1


def component(name: str, inputs: Sequence[str], unknowns: Sequence[str]) -> Component | None:
    """The derivative of that name, `u`, `du_dx`, `d2u_dx2`, `d3u_dxdy2`; None if it names none of these unknowns.

    Raises:
        ValueError: its order is higher than is computed.
    """
    for number, unknown in enumerate(unknowns):
        if name == unknown:
            return Component(number, (0,) * len(inputs))
        match = re.fullmatch(rf"d(\d*){re.escape(unknown)}_(\w+)", name)
        orders = match and _orders(match[2], int(match[1] or 1), tuple(inputs))
        if orders:
            found = Component(number, orders)
            _check_order(name, found)
            return found
    return None


def _orders(text: str, total: int, inputs: tuple[str, ...]) -> tuple[int, ...] | None:
    """The order by each input from `dxdy2`, if they sum up to `total`; a name may end in a digit."""
    if not text:
        return (0,) * len(inputs) if total == 0 else None
    for number, name in enumerate(inputs):
        for match in (re.match(rf"d{re.escape(name)}{power}", text) for power in (r"(\d+)", "")):
            order = int(match[1]) if match and match.groups() else 1
            rest = match and 0 < order <= total and _orders(text[match.end() :], total - order, inputs)
            if rest:
                return tuple(k + order * (i == number) for i, k in enumerate(rest))
    return None


def _check_order(name: str, found: Component) -> None:
    limit = _HIGHEST_MIXED if found.mixed else _HIGHEST
    if found.order > limit:
        kind = "mixed derivatives" if found.mixed else "derivatives"
        raise ValueError(f"{name} is of order {found.order}; {kind} are computed up to order {limit}")


def compute_components(
    f: Callable[[Tensor], Tensor], x: Tensor, needed: Collection[Component]
) -> dict[Component, Tensor]:
    """The values (points) of the derivatives asked for, and of no other order or input where that saves something.

    Args:
        f: maps (points, inputs) to (points, unknowns).
        x: the points.
        needed: which derivatives.
    """
    highest = max((c.order for c in needed), default=0)
    if highest == 0:
        y = f(x)
        return {c: y[:, c.unknown] for c in needed}
    if any(c.mixed for c in needed):
        tensors = hessian(f, x) if highest <= 2 else derivative_tensors(f, x, highest)
        return {c: tensors[c.order][(slice(None), c.unknown, *_place(c))] for c in needed}
    return _along_axes(f, x, needed)


def _place(c: Component) -> list[int]:
    return [i for i, order in enumerate(c.orders) for _ in range(order)]


def _along_axes(f: Callable[[Tensor], Tensor], x: Tensor, needed: Collection[Component]) -> dict[Component, Tensor]:
    """One pass for each input that anything is differentiated by."""
    found: dict[Component, Tensor] = {}
    for i, axis in enumerate(torch.eye(x.shape[1], dtype=x.dtype, device=x.device)):
        order = max(c.orders[i] for c in needed)
        if order:
            tower = derivatives(f, x, order, axis)
            found |= {c: tower[c.order][:, c.unknown] for c in needed if c.order == c.orders[i]}
    return found
