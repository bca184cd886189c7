"""An estimated error in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

USELESS, POOR = 0.3, 0.1
"""Relative errors from which on a derivative is not to be used, or to be used with care."""
MORE = 4
"""Times as many rows are proposed."""
_WORTH_IT, _LITTLE = 0.6, 0.8
"""What the error would have to fall to for training to be named, and to at least for more rows."""


@dataclass(frozen=True)
class Expected:
    """The root mean square of one order's errors that is to be expected.

    Attributes:
        order: 0 for the value.
        rmse: in the units of the derivative.
        size: root mean square of the derivative itself.
        unknown: what the rows leave open, whatever the network.
        rate: the power of the number of rows with which that falls; None where the rows, not their noise, limit the
            error, which then falls faster than a power.
        entries: root mean square of the error of each entry by itself, (outputs, *inputs).
    """

    order: int
    rmse: float
    size: float
    unknown: float
    rate: float | None
    entries: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def relative(self) -> float:
        """In sizes of the derivative itself."""
        return self.rmse / self.size if self.size > 0 else float("inf") if self.rmse > 0 else 0.0

    def __str__(self) -> str:
        name = "f" + "'" * self.order
        return f"{name} is estimated to be wrong by {percent(self.relative)} of its size{self._advice()}"

    def _advice(self) -> str:
        if self.relative < POOR:
            return ""
        allowed = self.relative * self.unknown / self.rmse
        trained = allowed < _WORTH_IT * self.relative
        advice = ": do not use it" if self.relative >= USELESS else ": use it with care"
        if trained:
            return f"{advice}; these rows allow {percent(allowed)}: train longer, or with a wider last layer"
        if self.rate is None:
            return f"{advice}; more rows would help, by how much is not known"
        more = self.relative * MORE**-self.rate
        if more < _LITTLE * self.relative:
            return f"{advice}; {MORE} times as many rows would bring about {percent(more)}"
        return f"{advice}; more rows alone would bring little"


def verdict(expected: Sequence[Expected]) -> str:
    """One sentence: the lowest order that is not to be used, else the worst."""
    useless = [e for e in expected if e.relative >= USELESS]
    return str(useless[0] if useless else max(expected, key=lambda e: e.relative))


def percent(share: float) -> str:
    """A relative error for people: two digits, in per cent where that can be read."""
    return (
        f"{100 * share:.2g} %" if 1e-3 <= share < 1 else f"{100 * share:.0f} %" if 1 <= share < 100 else f"{share:.1e}"
    )
