"""Points at which something inside a function is 0, NaN or a case of its own: there alone derivatives may be wrong.

|x - c|, a norm, a square root, 0/0 and torch.where(x == c, ...) are as good as any function elsewhere, so that a few
points drawn from many say nothing about them.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sobolev.audit.probe import probing
from sobolev.audit.twin import plainly
from sobolev.autodiff.tensor_classes import ordinary

ZERO = 1e-12
"""What a grid has but for rounding, relative to the largest number; in less than float64 the last digit."""
_RARE = 0.02
"""Of all points: what happens at more of them, also happens at those that are drawn."""
_ROWS = 512
"""So many points go through the function at a time..."""
_NUMBERS = 1 << 20
"""...until so many intermediate numbers have been looked at, which takes a few milliseconds."""
_CLIPPING = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "threshold", "threshold_", "clamp", "clamp_",
             "clamp_min", "clamp_max", "clip", "dropout", "maximum", "minimum"}  # fmt: skip
"""What these cut off is 0 throughout; their argument tells where that begins."""


def special_points(f: Callable, x: Tensor, modules: dict[str, nn.Module], most: int) -> list[int]:
    """Which of the points x (batch, *in), at most so many, the rarest first.

    Of very many points evenly drawn ones are looked at. f is called in its own precision, and left as it was.
    """
    parts = -(-len(x) // _ROWS)
    found: dict[int, float] = {}
    numbers = 0
    with suppress(Exception), probing(f, x[:1], 1, modules, double=False) as probe, torch.no_grad():
        for start in range(parts):
            rows = x[start::parts]
            with _Looking(len(rows)) as looking:
                probe(rows)
            for row, rarity in looking.found.items():
                place = row * parts + start
                found[place] = max(rarity, found.get(place, 0.0))
            numbers += looking.numbers
            if numbers > _NUMBERS:
                break
    return sorted(found, key=lambda place: -found[place])[:most]


class _Looking(TorchFunctionMode):
    """Looks at all that a function computes for some points.

    Attributes:
        found: the most special row of each result that has one, and how rare it is there.
        numbers: how many were looked at.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.found: dict[int, float] = {}
        self.numbers, self._rows = 0, rows

    def __torch_function__(self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") not in _CLIPPING:
            for part in result if isinstance(result, tuple) else (result,):
                numbers = ordinary(part) if isinstance(part, Tensor) else part
                if type(numbers) is Tensor and numbers.shape[:1] == (self._rows,) and not numbers.is_sparse:
                    self._look(numbers)
        return result

    @plainly
    def _look(self, result: Tensor) -> None:
        result = result.detach().reshape(self._rows, -1)
        self.numbers += result.numel()
        special = _special(result)
        if special is None or not result.numel():
            return
        share = special.mean(0, dtype=torch.float32)
        rarity = torch.where((share > 0) & (share <= max(_RARE, 1.5 / self._rows)), 1 / share, 0.0)
        rarest, row = (special * rarity).amax(1).max(0)
        if rarest > 0:
            place = int(row)
            self.found[place] = max(float(rarest), self.found.get(place, 0.0))


def _special(result: Tensor) -> Tensor | None:
    """Where it is 0, not finite or, of truth values, the rarer one; None where it is nowhere."""
    if result.dtype is torch.bool:
        found = result != (result.mean(0, dtype=torch.float32) > 0.5)
    elif result.is_floating_point() or result.is_complex():
        size = result.abs()
        least = max(ZERO, torch.finfo(size.dtype).eps if size.dtype is not torch.float64 else 0.0)
        found = ~((size > least * size.amax(0)) & (size < torch.inf))
    else:
        return None
    return found if found.any() else None
