"""Second derivatives where a formula goes through a kink but the function does not: |x| or a norm at 0, max(x, -x).

A Matérn kernel or log cosh written with |x| is smooth at 0, but slope 0, PyTorch's rule for |x|, gives it a wrong
second derivative. From one side |x| is a polynomial, too. So Taylor polynomials are taken from both sides; where the
function has one slope, its higher derivatives are the mean of those.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.tracing import traced

_MOST_INPUTS = 64
"""Of more, each pair of which would be a direction, derivatives stay as they are."""
_MOST_ROOTS = 4
"""Each root of a square, inside another perhaps, loses the highest degree; so many more are computed at most."""


class _State:
    met: list[tuple[Tensor, bool]] | None = None
    one_sided = False
    roots = 0


def one_sided() -> bool:
    """Whether polynomials are meant to hold from one side only: along the first direction, from the point on."""
    return _State.one_sided


def leading_sign(value: Tensor, higher: Tensor) -> Tensor:
    """The sign of a polynomial just beside the point: of its first coefficient that is not 0."""
    sign = torch.sign(value)
    for coefficient in higher:
        sign = torch.where(sign == 0, torch.sign(coefficient), sign)
    return sign


def root_from_one_side(s: Tensor) -> Tensor:
    """The coefficients of √(s_2 h² + s_3 h³ + ...) = √s_2 h + ..., of (degrees 1, 2, ..., *shape); the last is unknown.

    NaN where the square begins with another power of h; 0 where it is 0 throughout, and for the last.
    """
    _State.roots += 1
    proper = (s[0] == 0) & (s[1] > 0)
    slopes = [torch.where(proper, s[1], 1.0).sqrt()]
    for k in range(1, len(s) - 1):
        crossed = sum((slopes[i] * slopes[k - i] for i in range(1, k)), torch.zeros_like(s[0]))
        slopes.append((s[k + 1] - crossed) / (2 * slopes[0]))
    known = torch.where(proper, torch.stack(slopes), torch.nan)
    found = torch.cat([known, torch.zeros_like(s[:1])])
    return torch.where((s == 0).all(0), 0.0, found)


def is_watched(space: Any) -> bool:
    """Whether kinks are to be noted."""
    return _State.met is not None and space.order > 1


def note(kink: Tensor, rows_first: bool) -> None:
    """Note where a kink was met, if anywhere.

    Args:
        kink: boolean, in the shape of what has it.
        rows_first: whether its first axis is the batch.
    """
    if _State.met is not None and bool(kink.any()):
        _State.met.append((kink, rows_first))


@contextmanager
def watched() -> Iterator[list[tuple[Tensor, bool]]]:
    """Inside, kinks are noted in the list."""
    before, met = _State.met, []
    _State.met = None if traced() or _State.one_sided else met
    try:
        yield met
    finally:
        _State.met = before


@contextmanager
def _from_one_side() -> Iterator[None]:
    _State.one_sided, _State.roots = True, 0
    try:
        yield
    finally:
        _State.one_sided = False


def mended(
    operator: str,
    x: Tensor,
    results: tuple[Tensor, ...],
    met: list[tuple[Tensor, bool]],
    along: Callable[[Tensor, int, Tensor], tuple[Tensor, ...]],
    again: Callable[..., tuple[Tensor, ...]],
    **arguments: Any,
) -> tuple[Tensor, ...]:
    """The results of an operator, where kinks were met with derivatives of order 2 and more from both sides.

    Args:
        operator: its name.
        x: the points, (batch, *in).
        results: orders 0, 1, ...
        met: what was noted.
        along: derivatives at some points, up to an order, along a direction (rows or 1, *in).
        again: the operator itself.
        **arguments: of the operator.
    """
    inputs = x.shape[1:].numel()
    if not met or len(results) < 3 or (operator != "derivatives" and inputs > _MOST_INPUTS):
        return results
    rows = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for kink, rows_first in met:
        rows |= kink.reshape(len(x), -1).any(1) if rows_first and len(kink) == len(x) else True
    if operator == "derivatives":
        direction = _rows_of(arguments["direction"], rows)
        new = _both_sides(along, x[rows], direction, len(results) - 1)
    else:
        new = _up_to_second(operator, along, x[rows])
    if any(result.requires_grad for result in results):  # NaN that is replaced would still reach the weights
        results = _of_the_others(x, results, ~rows, again, arguments)
    pairs, places = zip(results, new, strict=True), rows.nonzero()[:, 0]
    return tuple(_put(old, places, part, known=order < 2) for order, (old, part) in enumerate(pairs))


def _rows_of(direction: Tensor, rows: Tensor) -> Tensor:
    return direction if len(direction) == 1 else direction[rows]


def _of_the_others(
    x: Tensor, results: tuple[Tensor, ...], others: Tensor, again: Callable, arguments: dict[str, Any]
) -> tuple[Tensor, ...]:
    """Results whose graph is that of some of the rows alone."""
    results = tuple(result.detach() for result in results)
    if not others.any():
        return results
    if "direction" in arguments:
        arguments = {**arguments, "direction": _rows_of(arguments["direction"], others)}
    places = (others.nonzero()[:, 0],)
    return tuple(old.index_put(places, new) for old, new in zip(results, again(x[others], **arguments), strict=True))


def _put(old: Tensor, rows: Tensor, new: Tensor, *, known: bool) -> Tensor:
    """New numbers in some rows, where there are any; what is `known` stays but for its graph."""
    here = old[rows].detach()
    taken = new.isfinite()
    if known:
        new = new + torch.where(here.isfinite() & taken, here - new, 0.0).detach()
    return old.index_put((rows,), torch.where(taken, new.nan_to_num(0.0), here))


def _one_side(along: Callable, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
    """Derivatives along a direction as they are ahead of the points; NaN where the roots of squares are too many."""
    with _from_one_side():
        found = along(x, max(order, 2), direction)
        roots = _State.roots
        if 0 < roots <= _MOST_ROOTS:
            found = along(x, order + roots, direction)
    return found if roots <= _MOST_ROOTS else tuple(torch.full_like(tensor, torch.nan) for tensor in found)


def _both_sides(along: Callable, x: Tensor, direction: Tensor, order: int) -> list[Tensor]:
    """Value and derivatives along a direction, NaN where there is no slope: each (rows, *out)."""
    right, left = (_one_side(along, x, order, v) for v in (direction, -direction))
    size = sum(side[k].abs() for side in (right, left) for k in (1, 2))
    smooth = (right[1] + left[1]).abs() <= torch.finfo(x.dtype).eps ** 0.5 * size
    means = [(right[k] + (-1) ** k * left[k]) / 2 for k in range(1, order + 1)]
    return [right[0], *(torch.where(smooth, mean, torch.nan) for mean in means)]


def _up_to_second(operator: str, along: Callable, x: Tensor) -> list[Tensor]:
    """Value (rows, *out); Jacobian (rows, *out, *in); Hessian (rows, *out, *in, *in), its diagonal or its trace."""
    inputs = x.shape[1:].numel()
    axes = torch.eye(inputs, dtype=x.dtype, device=x.device).reshape(inputs, 1, *x.shape[1:])
    values, slopes, bends = zip(*(_both_sides(along, x, axis, 2) for axis in axes), strict=True)
    slope, diagonal = (torch.stack(parts, -1) for parts in (slopes, bends))
    outputs = slope.shape[:-1]
    slope = slope.reshape(*outputs, *x.shape[1:])
    if operator == "laplacian":
        return [values[0], slope, diagonal.sum(-1)]
    if operator == "hessian_diagonal":
        return [values[0], slope, diagonal.reshape(slope.shape)]
    pairs = {(i, i): bends[i] for i in range(inputs)}
    for i in range(inputs):
        for j in range(i):
            both = _both_sides(along, x, axes[i] + axes[j], 2)[2]
            pairs[i, j] = pairs[j, i] = (both - bends[i] - bends[j]) / 2
    rows = [torch.stack([pairs[i, j] for j in range(inputs)], -1) for i in range(inputs)]
    return [values[0], slope, torch.stack(rows, -2).reshape(*slope.shape, *x.shape[1:])]
