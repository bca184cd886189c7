"""The kinds of rules: what acts on every element, and operands that may be numbers, tensors or enclosures."""

from numbers import Number
from typing import Any

import numpy as np
from torch import Tensor

from sobolev.certify.balls import Array, Ball, ends, exact, outward
from sobolev.certify.double_double import Pair, add, exact_pair, multiply
from sobolev.certify.enclosure import Enclosure
from sobolev.certify.functions import Expansion, Univariate
from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rules.series import Rows, composed, composed_pairs
from sobolev.certify.space import Space


def elementwise(f: Univariate, x: Enclosure) -> Enclosure:
    """The chain rule: coefficients at the centre from those of f there, the top degree from ranges over the cell."""
    space, k = x.space, x.space.order
    over = x.over_cell()
    centre = x.ball[0]
    low, high = ends(over[0])
    defined = np.isfinite(low) & np.isfinite(high)  # where nothing is known, nothing may follow, not even |tanh| <= 1
    low, high = np.where(defined, low, np.nan), np.where(defined, high, np.nan)
    at = np.clip(centre.mid, low, high)  # where rounding left it outside, Taylor's theorem starts from inside
    expansion = Expansion(f, at, low, high, k + 1)
    apart = np.abs(centre.mid - at) * 1.0000001 + centre.rad
    inner = [expansion.within(apart, j) for j in range(k + 1)]
    outer = [expansion.over(j) for j in range(k + 2)]
    value, plain = inner[0], outer[0]
    parts = [Ball(value.mid[None], value.rad[None])]
    if k:
        parts.append(composed(space, inner, Rows(*x.ball[: space.low]), 1, k))
    parts += [composed(space, outer, Rows(*over), k + 1, k + 1), Ball(plain.mid[None], plain.rad[None])]
    mid, rad = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Enclosure(space, Ball(mid, rad), None if x.fine is None else _fine(f, expansion, space, x.fine))


def _fine(f: Univariate, expansion: Expansion, space: Space, inner: Pair) -> Pair | None:
    """The first rows in twice the precision: f's derivatives at the upper half of the value, moved by the lower."""
    degree = sum(space.indices[len(inner.high) - 1])
    point = np.clip(inner.high[0], *expansion.ends)
    at = f.precise(point, degree + 2)
    if at is None:
        return None
    apart = add(inner[0], exact_pair(-point))
    reach = apart.ball.magnitude
    outer = []
    for j in range(degree + 1):
        slope = multiply(at[j + 1], exact_pair(float(j + 1)))
        value = add(at[j], multiply(slope, apart))
        off = expansion.bend(j) * reach * reach
        outer.append(Pair(value.high, value.low, outward(value.rad + off)))
    return composed_pairs(space, outer, inner)


def array(x: Any) -> Array:
    """A tensor or a number as an exact array of float64.

    Raises:
        NoEnclosureError: it is neither, or float64 does not hold it.
    """
    if isinstance(x, Tensor) and not x.is_complex():
        return x.detach().cpu().double().numpy()
    if isinstance(x, Number) and not isinstance(x, complex):
        return np.asarray(float(x))  # pyright: ignore[reportArgumentType]
    raise NoEnclosureError(f"no proof computes with a {type(x).__name__}")


def fixed(x: Any) -> Ball:
    """The same as a ball."""
    return exact(array(x))


def fixed_beside(x: Enclosure, other: Any) -> Ball:
    """Numbers that are combined with an enclosure and broadcast against (cells, *shape).

    Raises:
        NoEnclosureError: they differ from sample to sample, or move the axis of the samples.
    """
    values = array(other)
    if values.ndim == x.ndim and len(values) > 1 and (values == values[:1]).all():
        values = values[:1]
    if values.ndim > x.ndim or (values.ndim == x.ndim and values.ndim and len(values) > 1):
        raise NoEnclosureError(
            f"no proof combines {x.ndim} axes with numbers of shape {values.shape}, one for each sample"
        )
    return exact(values)
