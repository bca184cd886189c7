"""An estimated error in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

USELESS, POOR = 0.3, 0.1
"""Relative errors from which on a derivative is not to be used, or to be used with care."""
MORE = 4
"""Times as many rows are proposed."""
_ONE_BY_ONE = 10
"""So many outputs are judged one by one: their units may differ."""
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
        sizes: of the entries themselves.
    """

    order: int
    rmse: float
    size: float
    unknown: float
    rate: float | None
    entries: Tensor | None = field(default=None, compare=False, repr=False)
    sizes: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def relative(self) -> float:
        """In sizes of the derivative itself."""
        return self.rmse / self.size if self.size > 0 else float("inf") if self.rmse > 0 else 0.0

    @property
    def outputs(self) -> int:
        """How many."""
        return 1 if self.entries is None else len(self.entries)

    def of_output(self, output: int) -> "Expected":
        """The same of one output; what the rows leave open is in proportion."""
        if self.entries is None or self.sizes is None:
            return self
        rmse, size = (float(t[output].square().mean().sqrt()) for t in (self.entries, self.sizes))
        share = self.unknown / self.rmse if self.rmse else 0.0
        return replace(self, rmse=rmse, size=size, unknown=share * rmse, entries=None, sizes=None)

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, output: str = "") -> str:
        """By how much this order is wrong, and what would help.

        Args:
            output: its name, where there are several.
        """
        name = "f" + "'" * self.order + (f" of {output}" if output else "")
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


def verdict(expected: Sequence[Expected], names: Sequence[str] = ()) -> str:
    """One sentence: the lowest order that is not to be used, else the worst; of several outputs the worst of all.

    Args:
        expected: an entry for each order.
        names: of the outputs, where they have some.
    """
    each = [(e, "") for e in expected]
    if 1 < expected[0].outputs <= _ONE_BY_ONE:
        if len(names) != expected[0].outputs:
            names = [f"output {o + 1}" for o in range(expected[0].outputs)]
        each = [(e.of_output(o), name) for e in expected for o, name in enumerate(names)]
    lowest = min((e.order for e, _ in each if e.relative >= USELESS), default=None)
    chosen = each if lowest is None else [(e, name) for e, name in each if e.order == lowest]
    worst, name = max(chosen, key=lambda pair: pair[0].relative)
    return worst.sentence(name)


def percent(share: float) -> str:
    """A relative error for people: two digits, in per cent where that can be read."""
    if 1e-3 <= share < 0.995:  # beyond, two digits are written 1e+02
        return f"{100 * share:.2g} %"
    return f"{100 * share:.0f} %" if 0.995 <= share < 100 else f"{share:.1e}"
