"""What a proof says: bounds, how near they are to what is attained, and over which cells they were proved."""

import json
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from sobolev.certify.picture import draw
from sobolev.certify.statement import Bound, Part, Rounding, unbounded

_ENDS = {
    "time": "the time was up: what stands here is proved, but could be nearer",
    "size": "cells became too small to be cut",
    "rounding": "nearer than this the rounding of float64 does not let it come",
}


@dataclass(frozen=True)
class Certificate:
    """The outcome of `sobolev.certify`: statements about the weights in real arithmetic. `str()` of it is a table.

    Attributes:
        subject: what is bounded, in words.
        inputs: the names of the inputs.
        domain: the interval of each.
        bounds: for each order from 0 on the largest magnitude, of all derivatives of that order and all outputs; for
            an equation and its conditions one each.
        ranges: without a function: the proved least and largest value of every derivative, by name.
        parts: the searches.
        tolerance: how near the bounds were asked for, relative.
        network: the operations of its forward in plain types, for `sobolev.certify.check`; None where they could not
            be recorded.
        function: the formula that it is compared with, or the name of a callable.
        target: the operations of that callable.
        rounding: of the forward, if it was asked for: then it is counted in the bound of order 0.
        unknowns: for an equation the names of the network's outputs.

    Examples:
        >>> import sobolev, torch
        >>> certificate = sobolev.certify(torch.nn.Softplus(), domain={"x": (-1, 1)}, order=1)
        >>> low, high = certificate.ranges["dy_dx"]
        >>> low > 0 and high < 1  # rising, everywhere
        True
    """

    subject: str
    inputs: tuple[str, ...]
    domain: tuple[tuple[float, float], ...]
    bounds: tuple[Bound, ...]
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    tolerance: float = 0.02
    network: list[dict[str, Any]] | None = None
    function: str | None = None
    target: list[dict[str, Any]] | None = None
    unknowns: tuple[str, ...] | None = None
    rounding: Rounding | None = None

    @property
    def upper(self) -> tuple[float, ...]:
        """Exceeded nowhere in the domain, for each order or equation: proved."""
        return tuple(bound.upper for bound in self.bounds)

    @property
    def lower(self) -> tuple[float, ...]:
        """Attained in the domain: proved."""
        return tuple(bound.lower for bound in self.bounds)

    @property
    def where(self) -> tuple[tuple[float, ...], ...]:
        """At these inputs."""
        return tuple(bound.where for bound in self.bounds)

    @property
    def complete(self) -> bool:
        """Whether every bound is as near as was asked for."""
        return all(bound.complete for bound in self.bounds)

    @property
    def cells(self) -> int:
        """How many cells the domain was cut into."""
        return sum(len(part.cover.low) for part in self.parts)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What ended the searches early, and where there is no bound: sentences."""
        places = [sentence for part in self.parts for sentence in unbounded(part, self.inputs)]
        if self.rounding:
            precision, upper = self.rounding.precision, _up(self.rounding.upper)
            places.append(f"counted above: a forward in {precision} is off the real numbers by at most {upper}")
        return (*places, *(_ENDS[limit] for limit in sorted({part.limit for part in self.parts} - {""})))

    def to_dict(self, cells: bool = False) -> dict[str, Any]:
        """Plain types, for JSON, infinities and NaN as None; with the cells, `sobolev.certify.check` can check it."""
        outcome: dict[str, Any] = {
            "subject": self.subject,
            "domain": {name: list(ends) for name, ends in zip(self.inputs, self.domain, strict=True)},
            "complete": self.complete,
            "tolerance": self.tolerance,
            "bounds": [
                {
                    "name": b.name,
                    "lower": _finite(b.lower),
                    "upper": _finite(b.upper),
                    "where": list(b.where),
                    "complete": b.complete,
                }
                for b in self.bounds
            ],
            "ranges": {name: [_finite(low), _finite(high)] for name, (low, high) in self.ranges.items()},
            "rounding": self.rounding and {**asdict(self.rounding), "upper": _finite(self.rounding.upper)},
            "remarks": list(self.remarks),
            "cells": self.cells,
        }
        if cells:
            outcome |= {"network": self.network, "function": self.function, "target": self.target}
            outcome["unknowns"] = None if self.unknowns is None else list(self.unknowns)
            outcome["parts"] = [
                {
                    "names": list(part.names),
                    "orders": list(part.orders),
                    "domain": [list(ends) for ends in part.domain],
                    "low": part.cover.low.tolist(),
                    "high": part.cover.high.tolist(),
                    "upper": [[_finite(value) for value in row] for row in part.cover.upper.tolist()],
                }
                for part in self.parts
            ]
        return outcome

    def save(self, path: str | Path) -> None:
        """Write it with its cells as JSON."""
        path = Path(path)
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.write_text(json.dumps(self.to_dict(cells=True), allow_nan=False), encoding="utf-8")
        unfinished.replace(path)

    def picture(self, path: str | Path) -> None:
        """Draw the bounds over the domain, into a file whose ending says the format."""
        draw(path, self.subject, self.inputs, self.domain, self.bounds, self.parts)

    def __str__(self) -> str:
        box = ", ".join(f"{n} in [{a:g}, {b:g}]" for n, (a, b) in zip(self.inputs, self.domain, strict=True))
        lines = [f"proved for all {box}: {self.subject}", f"  {'':<24}{'at most':>12}{'at least':>12}  attained at"]
        for bound in self.bounds:
            place = ", ".join(f"{x:.6g}" for x in bound.where)
            mark = "" if bound.complete else "  (not as near as asked for)"
            lines.append(f"  {bound.name:<24}{_up(bound.upper):>12}{_down(bound.lower):>12}  {place}{mark}")
        lines += [f"  {_up(low, -1):>12} <= {name} <= {_up(high)}" for name, (low, high) in self.ranges.items()]
        lines += [f"  {remark}" for remark in self.remarks]
        return "\n".join([*lines, f"  {self.cells} cells, tolerance {self.tolerance:g}"])


def _up(value: float, direction: int = 1) -> str:
    """Four digits, rounded so that the statement stays true."""
    if not isfinite(value):
        return "nothing" if value != value else f"{value:g}"
    text = f"{value:.3e}"
    if (float(text) - value) * direction < 0:
        exponent = int(text.partition("e")[2])
        text = f"{float(text) + direction * 10.0 ** (exponent - 3):.3e}"
    return text


def _down(value: float) -> str:
    return _up(value, -1)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
