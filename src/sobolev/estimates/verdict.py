"""An estimated error in a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

USELESS, POOR = 0.3, 0.1
"""Relative errors from which on a derivative is not to be used, or to be used with care."""
MORE = 4
"""Times as many rows are proposed."""
_ONE_BY_ONE = 10
"""So many outputs are judged one by one, and derivatives by so many inputs: their units may differ."""
_MUCH, _MATTERS = 2.0, 0.1
"""A derivative by one input is named where its relative error is so many times that of all together, or where it alone
is not to be used; and where it moves the output, within the scatter of the inputs, by so much of what that does which
moves it most."""
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
        scatter: standard deviations of the inputs, (inputs,).
    """

    order: int
    rmse: float
    size: float
    unknown: float
    rate: float | None
    entries: Tensor | None = field(default=None, compare=False, repr=False)
    sizes: Tensor | None = field(default=None, compare=False, repr=False)
    scatter: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def relative(self) -> float:
        """In sizes of the derivative itself; NaN where either is none."""
        if self.size == 0:
            return 0.0 if self.rmse == 0 else math.inf if self.rmse > 0 else math.nan
        return self.rmse / self.size

    @property
    def outputs(self) -> int:
        """How many."""
        return 1 if self.entries is None else len(self.entries)

    def of_output(self, output: int) -> "Expected":
        """The same of one output; what the rows leave open is in proportion."""
        return self._of_part(slice(output, output + 1))

    def worst_entry(self) -> tuple[int, ...] | None:
        """The inputs of a derivative that is much worse than all together, as these may hide it in their units."""
        if self.order == 0 or self.entries is None or self.sizes is None or self.scatter is None:
            return None
        errors, sizes = (t.square().mean(0).sqrt().double() for t in (self.entries, self.sizes))
        if not 1 < len(self.scatter) <= _ONE_BY_ONE or sizes.shape != (len(self.scatter),) * self.order:
            return None
        effects = sizes * self._scatters()
        matters = (effects >= _MATTERS * effects.max()) & (sizes > 0)
        relative = (errors / sizes).where(matters, 0.0)
        worst = float(relative.max())
        if worst <= _MUCH * self.relative and not self.relative < USELESS <= worst:
            return None
        return tuple(sorted(int(i) for i in torch.unravel_index(relative.argmax(), relative.shape)))

    def in_scatters(self) -> "Expected":
        """Errors and sizes, together, in the scatter of each input: what goes into a sum then has one unit."""
        if self.entries is None or self.sizes is None or self.scatter is None:
            return self
        if self.entries.shape[1:] != (len(self.scatter),) * self.order:
            return self
        return self._together(self.entries * self._scatters(), self.sizes * self._scatters())

    def _scatters(self) -> Tensor:
        """The products of the inputs' standard deviations for the entries, (*inputs)."""
        assert self.scatter is not None
        found = self.scatter.new_ones(())
        for _ in range(self.order):
            found = found[..., None] * self.scatter
        return found

    def of_entry(self, by: Sequence[int]) -> "Expected":
        """The same of the derivative by some inputs; what the rows leave open is in proportion."""
        return self._of_part((slice(None), *by))

    def _of_part(self, part: Any) -> "Expected":
        if self.entries is None or self.sizes is None:
            return self
        entries, sizes = self.entries[part], self.sizes[part]
        return replace(self._together(entries, sizes), entries=entries, sizes=sizes)

    def _together(self, entries: Tensor, sizes: Tensor) -> "Expected":
        """The same of these entries in one number; what the rows leave open is in proportion."""
        rmse, size = (float(t.square().mean().sqrt()) for t in (entries, sizes))
        share = self.unknown / self.rmse if self.rmse else 0.0
        return replace(self, rmse=rmse, size=size, unknown=share * rmse)

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, output: str = "", inputs: Sequence[str] = ()) -> str:
        """By how much this order is wrong, and what would help.

        Args:
            output: its name, where there are several.
            inputs: their names, where it is the derivative by these.
        """
        name = "f" + "'" * self.order + (f" of {output}" if output else "")
        name += f" by {' and '.join(dict.fromkeys(inputs))}" if inputs else ""
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


def verdict(expected: Sequence[Expected], names: Sequence[str] = (), inputs: Sequence[str] = ()) -> str:
    """One sentence: the lowest order that is not to be used, else the worst; of several outputs the worst of all.

    Derivatives by different inputs have different units: they are put together in the scatter of each input, and one
    that is much worse than all together, and matters, is named.

    Args:
        expected: an entry for each order.
        names: of the outputs, where they have some.
        inputs: their names, likewise.
    """
    each = [(e, "") for e in expected]
    if 1 < expected[0].outputs <= _ONE_BY_ONE:
        if len(names) != expected[0].outputs:
            names = [f"output {o + 1}" for o in range(expected[0].outputs)]
        each = [(e.of_output(o), name) for e in expected for o, name in enumerate(names)]
    if any(math.isnan(e.relative) for e, _ in each):
        return "no error can be estimated: the network's values or derivatives are NaN or infinite"
    each = [(e.in_scatters(), name) for e, name in each]
    parts: list[tuple[Expected, str, list[str]]] = [(e, name, []) for e, name in each]
    for e, name in each:
        if (by := e.worst_entry()) is not None:
            known = len(inputs) == len(e.scatter if e.scatter is not None else ())
            parts.append((e.of_entry(by), name, [inputs[i] if known else f"input {i + 1}" for i in by]))
    lowest = min((e.order for e, *_ in parts if e.relative >= USELESS), default=None)
    chosen = [part for part in parts if lowest is None or part[0].order == lowest]
    worst, output, by = max(chosen, key=lambda part: part[0].relative)
    return worst.sentence(output, by)


def percent(share: float) -> str:
    """A relative error for people: two digits, in per cent where that can be read."""
    if 1e-3 <= share < 0.995:  # beyond, two digits are written 1e+02
        return f"{100 * share:.2g} %"
    return f"{100 * share:.0f} %" if 0.995 <= share < 100 else f"{share:.1e}"
