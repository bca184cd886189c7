"""Where targets and labels of derivatives are in a batch, and what they are multiplied by to be what they are for."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from sobolev.monitor.batch import Key, children, is_of_graphs, leaves
from sobolev.monitor.forward import Arguments, taken

Targets = Key | Sequence[Key | None] | Mapping[int, Key | None] | None

NAMES = ("y", "target", "targets", "label", "labels")
"""Entries of a batch that are targets, if nobody says otherwise."""
_SCALED = re.compile(
    r"\s*(?P<sign>[+-]?)\s*(?:(?P<factor>[\d.]+(?:[eE][+-]?\d+)?)\s*\*\s*)?(?P<path>[^\s*/-][^*/]*?)"
    r"\s*(?:/\s*(?P<divisor>[\d.]+(?:[eE][+-]?\d+)?))?\s*"
)


class Target(NamedTuple):
    """An entry of the batch, times a number: forces are minus the gradient, in units of their own.

    Attributes:
        path: of the entry.
        factor: what makes of the entry the derivative.
    """

    path: str
    factor: float = 1.0


def targets_in(
    batch: Any, targets: Targets, arguments: Arguments, inputs: tuple[str, ...] = ()
) -> tuple[Target | None, ...]:
    """Targets and derivative labels by order: those named, else what stands behind the arguments.

    Args:
        batch: one of them.
        targets: keys, positions or paths, `-forces`, `0.001 * forces` or `forces / 27.2`; a sequence or a dictionary
            by orders.
        arguments: how forward takes the batch.
        inputs: the paths of what is differentiated by, which of a whole batch is all that cannot be a target.

    Raises:
        ValueError: a target that cannot be read.
    """
    if targets is not None:
        return tuple(None if key is None else _target(key) for key in _by_order(targets))
    names = children(batch)
    handed = inputs if arguments.whole or is_of_graphs(batch) else taken(arguments, batch)
    by_name = [name for name in NAMES if name in names and name not in handed and not isinstance(names[name], str)]
    if by_name:
        return (Target(by_name[0]),)
    return tuple(map(Target, list(names)[arguments.behind :])) if isinstance(batch, list | tuple) else ()


def unnamed(batch: Any, arguments: Arguments) -> str:
    """What to say of a batch with entries that forward does not take, none known to be a target; empty without any."""
    handed = set(taken(arguments, batch))
    tensors = [path for path, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    beside = [repr(path) for path in tensors if path not in handed]
    if not beside or isinstance(batch, list | tuple):
        return ""
    return (
        f"nothing says which entry of the batch holds the targets; beside what forward takes it has "
        f"{', '.join(beside)}: say DerivativeMonitor(targets={beside[0]}), or which it is"
    )


def _by_order(targets: Key | Sequence[Key | None] | Mapping[int, Key | None]) -> list[Key | None]:
    if isinstance(targets, Mapping):
        orders = {int(order): key for order, key in targets.items()}
        return [orders.get(order) for order in range(max(orders, default=-1) + 1)]
    return list(targets) if isinstance(targets, Sequence) and not isinstance(targets, str) else [targets]


def _target(key: Key) -> Target:
    text = str(key)
    if text.lstrip("-").isdigit():  # a position, from the end if it is negative
        return Target(text)
    found = _SCALED.fullmatch(text)
    if found is None:
        return Target(text)
    factor = float(found["factor"] or 1) / float(found["divisor"] or 1)
    return Target(found["path"], -factor if found["sign"] == "-" else factor)
