"""Looks for what is wrong with a certificate: gaps in its cells, bounds that do not hold, values not attained."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mpmath
from mpmath.libmp import ComplexResult

from sobolev.certify.check.cover import Box, covers
from sobolev.certify.check.quantities import Quantity, quantities
from sobolev.certify.check.taylor import lower_end, upper_end

_BITS = 120
_DEPTH = 14
"""A cell is halved so often at most."""
_NOT_DEFINED = (ZeroDivisionError, OverflowError, ComplexResult)


def check(certificate: str | Path | dict[str, Any], cells: int = 3, slack: float = 0.01, seed: int = 0) -> list[str]:
    """Look for what is wrong with a certificate.

    Every search's cells must tile its domain without a gap. In the cell with the highest bound and in a random sample,
    the bound is proved again, up to `slack`; so is what is said to be attained, and the ranges. The rounding of a
    forward, where there is one, is not proved again.

    Args:
        certificate: as `Certificate.save` wrote it, or its dictionary with the cells.
        cells: how many cells are proved again for each bound.
        slack: relative, by which the second proof may be weaker.
        seed: of the sample.

    Returns:
        What does not hold, one sentence each; nothing if all is well.

    Raises:
        ValueError: the certificate holds no cells, or no network or formula that can be read.

    Examples:
        >>> import sobolev, torch
        >>> certificate = sobolev.certify(torch.nn.Tanh(), "x", {"x": (-0.1, 0.1)}, order=1)
        >>> sobolev.certify.check(certificate.to_dict(cells=True))  # nothing that does not hold
        []
    """
    data = certificate if isinstance(certificate, dict) else json.loads(Path(certificate).read_text(encoding="utf-8"))
    if "parts" not in data:
        raise ValueError("the certificate holds no cells: write it by Certificate.save, or to_dict(cells=True)")
    found = []
    for part in data["parts"]:
        boxes = [list(zip(low, high, strict=True)) for low, high in zip(part["low"], part["high"], strict=True)]
        if not covers(part["domain"], boxes):
            found.append(f"the cells of {part['names'][0]} leave a gap")
    before, mpmath.iv.prec = mpmath.iv.prec, _BITS
    try:
        return found + _Checks(data, cells, slack, random.Random(seed)).found
    finally:
        mpmath.iv.prec = before


class _Checks:
    def __init__(self, data: dict[str, Any], cells: int, slack: float, chance: random.Random) -> None:
        self._data, self._cells, self._slack, self._chance = data, cells, slack, chance
        self.found: list[str] = []
        for quantity in quantities(data):
            self._domain(quantity)
            self._claim(quantity)

    def _domain(self, quantity: Quantity) -> None:
        """A search must have looked at the whole domain, but for the inputs that a condition gives a value."""
        for i, (name, ends) in enumerate(self._data["domain"].items()):
            low, high = quantity.part["domain"][i]
            if name not in quantity.fixed and (low > ends[0] or high < ends[1]):
                self.found.append(f"{quantity.name}: only {name} in [{low:g}, {high:g}] was looked at")

    def _claim(self, quantity: Quantity) -> None:
        """What is claimed of it: a bound in each cell, one for all, and a value somewhere."""
        part, columns = quantity.part, quantity.columns
        if quantity.upper is None or any(row[c] is None for row in part["upper"] for c in columns):
            return  # nothing was claimed
        uppers = [max(row[c] for c in columns) for row in part["upper"]]
        if max(uppers) > quantity.upper:
            self.found.append(f"{quantity.name}: a cell's bound {max(uppers):.6g} is above {quantity.upper:.6g}")
        worst = max(range(len(uppers)), key=uppers.__getitem__)
        for i in {worst, *self._chance.sample(range(len(uppers)), min(self._cells - 1, len(uppers)))}:
            box = list(zip(part["low"][i], part["high"][i], strict=True))
            limit = uppers[i] + self._slack * max(abs(uppers[i]), abs(quantity.upper))
            if not _below(quantity, box, limit, _DEPTH):
                self.found.append(f"{quantity.name}: {uppers[i]:.6g} could not be proved again in the cell {box}")
        self._attained(quantity)

    def _attained(self, quantity: Quantity) -> None:
        if quantity.where is None or quantity.lower is None:
            return
        inside = zip(quantity.where, self._data["domain"].items(), strict=True)
        if any(not low <= x <= high for x, (name, (low, high)) in inside if name not in quantity.fixed):
            self.found.append(f"{quantity.name}: {quantity.where} lies outside the domain")
        elif _reached(quantity.where, quantity) < quantity.lower * (1 - self._slack):
            self.found.append(f"{quantity.name}: {quantity.lower:.6g} is not attained at {quantity.where}")


def _below(quantity: Quantity, box: Box, limit: float, depth: int) -> bool:
    """Whether the quantity is nowhere in the box above the limit."""
    try:
        if max(upper_end(value) for value in quantity.ranges(box)) <= limit:
            return True
    except _NOT_DEFINED:
        pass
    if depth == 0 or _reached([sum(ends) / 2 for ends in box], quantity) > limit:
        return False
    axis = max(quantity.free, key=lambda i: (box[i][1] - box[i][0]) / (1 + abs(box[i][0])), default=0)
    middle = sum(box[axis]) / 2
    halves = [[*box[:axis], ends, *box[axis + 1 :]] for ends in ((box[axis][0], middle), (middle, box[axis][1]))]
    return all(_below(quantity, half, limit, depth - 1) for half in halves)


def _reached(point: Sequence[float], quantity: Quantity) -> float:
    """What the quantity is at least at a point."""
    try:
        return max(lower_end(value) for value in quantity.ranges([(x, x) for x in point]))
    except _NOT_DEFINED:
        return -math.inf
