"""One proved statement, and the search that it comes from."""

from dataclasses import dataclass

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
