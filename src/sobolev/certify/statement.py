"""One proved statement, and the search that it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sobolev.certify.search import Cover


@dataclass(frozen=True)
class Bound:
    """One proved statement: `lower` <= maximum over the domain <= `upper`.

    Attributes:
        name: of what is bounded.
        lower: attained, proved.
        upper: exceeded nowhere, proved; infinite where nothing could be.
        where: the inputs at which `lower` is attained.
        complete: whether `upper` is as near to `lower` as was asked for.
    """

    name: str
    lower: float
    upper: float
    where: tuple[float, ...]
    complete: bool


@dataclass(frozen=True)
class Rounding:
    """How far a forward in a precision is off its value in real arithmetic, anywhere in the domain.

    Attributes:
        precision: "float32" or "float64".
        upper: exceeded nowhere, proved but for the functions of the library, which were compared with mpmath.
    """

    precision: str
    upper: float


@dataclass(frozen=True)
class Part:
    """One search: a domain, the cells that tile it and what is proved in them.

    Attributes:
        names: of what is bounded, one for each column of the cover's bounds.
        orders: of the derivative that each column bounds.
        domain: the interval of each input.
        cover: the cells.
        limit: what ended it early: "", "time", "rounding" or "size".
        evaluated: how many cells were looked at.
    """

    names: tuple[str, ...]
    orders: tuple[int, ...]
    domain: tuple[tuple[float, float], ...]
    cover: Cover
    limit: str
    evaluated: int


def unbounded(part: Part, inputs: Sequence[str]) -> list[str]:
    """Where a search found no bound, one sentence for each place: the smallest cell tells it best."""
    found: dict[int, list[str]] = {}
    for name, upper in zip(part.names, part.cover.upper.T, strict=True):
        cells = np.flatnonzero(~np.isfinite(upper))
        if len(cells):
            volumes = np.prod(part.cover.high[cells] - part.cover.low[cells], axis=1)
            found.setdefault(int(cells[volumes.argmin()]), []).append(name)
    return [
        f"no bound of {' and '.join(names)} at {_place(part, cell, inputs)}: there is a kink, a jump or a pole, "
        "or something is not defined there"
        for cell, names in found.items()
    ]


def _place(part: Part, cell: int, inputs: Sequence[str]) -> str:
    middle = (part.cover.low[cell] + part.cover.high[cell]) / 2
    return ", ".join(f"{name} = {x:.6g}" for name, x in zip(inputs, middle, strict=True))
