"""The three ways in which a coefficient goes through a function: linearly, in a product, by the chain rule."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import mapped, padded, padded_sum
from sobolev.autodiff.taylor.sides import one_sided
from sobolev.autodiff.taylor.space import BilinearMap, Space, stacked_products
from sobolev.autodiff.tracing import traced


def rows(x: Jet) -> list[Tensor]:
    """The higher coefficients one by one."""
    return list(x.higher.unbind(0)) if x.rows is None else x.rows


def in_rows(space: Space, value: Tensor, rows: list[Tensor], rows_first: bool = False) -> Jet:
    """A jet of these higher coefficients; a compiler also keeps them one by one, and drops whatever is not used."""
    jet = Jet(space, value, torch.stack(rows), rows_first)
    if torch.compiler.is_compiling() and space.directions == 1:
        jet.rows = rows
    return jet


def linear(x: Jet, function: Callable[[Tensor], Tensor]) -> Jet:
    """A function that is linear in x (no constant added), one coefficient after the other.

    Prefer `batched_linear` where the function can take all coefficients at once.

    Args:
        x: the jet.
        function: the linear map, for tensors shaped like `x.value`.

    Returns:
        The jet of function(x).
    """
    value = function(x.value)
    rows = [function(row) for row in x.full.unbind(0)]
    return mapped(x, value, torch.stack(rows) if rows else value.new_zeros(0, *value.shape))


def batched_linear(x: Jet, function: Callable[[Tensor], Tensor], stacked: Callable[[Tensor], Tensor]) -> Jet:
    """A linear function whose twin `stacked` does the same to (coefficients, *shape) in one call."""
    value = function(x.value)
    return mapped(x, value, stacked(x.full) if len(x.higher) else value.new_zeros(0, *value.shape))


def bilinear(multiply: BilinearMap, a: Any, b: Any) -> Jet:
    """A product of two factors, at least one of them a jet, truncated at the order of the space.

    Args:
        multiply: linear in each factor and broadcasting over a leading axis of either or both.
        a: a jet or what else `multiply` takes.
        b: likewise.

    Returns:
        The jet of multiply(a, b).
    """
    if not isinstance(b, Jet):
        return mapped(a, multiply(a.value, b), multiply(a.higher, b))
    if not isinstance(a, Jet):
        return mapped(b, multiply(a, b.value), multiply(a, b.higher))
    value = multiply(a.value, b.value)
    if a.space.tape is not None:
        return _taped_product(multiply, a, b, value)
    crossed = min(len(a.higher), len(b.higher)) > 0 and a.space.order > 1
    length = sum(a.space.sizes) if crossed else 0
    higher = padded_sum(multiply(a.value, b.higher), multiply(a.higher, b.value), length)
    if crossed:
        a.space.add_crossed(multiply, a.higher, b.higher, higher)
    return Jet(a.space, value, higher)


def _taped_product(multiply: BilinearMap, a: Jet, b: Jet, value: Tensor) -> Jet:
    first = padded_sum(multiply(a.value, b.full), multiply(a.full, b.value))
    product = Jet(a.space, value, first)
    product.followed = a.followed and b.followed
    tape: Any = a.space.tape
    return tape.enter(product, a.full, b.full, multiply=multiply)


def compose(x: Jet, coefficients: Sequence[Tensor]) -> Jet:
    """The chain rule for a function that acts on each element.

    Args:
        x: the inner jet.
        coefficients: f, f', f''/2!, ..., f^(order)/order! at `x.value`.

    Returns:
        The jet of f(x).
    """
    value, first = coefficients[:2]
    if x.squared is not None and x.space.order > 1:
        return _compose_norm(x, coefficients)
    if x.space.tape is not None:
        result = mapped(x, value, first * x.higher, x.rows_first)
        return x.space.tape.enter(result, x.higher, x.higher, coefficients[2])
    if x.space.order == 1 or not x.higher.shape[0]:
        return Jet(x.space, value, first * x.higher)
    if torch.compiler.is_compiling() and x.space.directions == 1:
        return in_rows(x.space, value, _power_series_in_rows(rows(x), coefficients))
    if x.space.order > 2:
        return Jet(x.space, value, _power_series(x.higher, coefficients))
    d = x.space.directions
    inner = x.higher[:d]
    square = x.space.squares(inner)
    if x.higher.shape[0] == d:
        return Jet(x.space, value, stacked_products((first, inner), (coefficients[2], square)))
    higher = first * x.higher
    higher[d:].addcmul_(coefficients[2], square)
    return Jet(x.space, value, higher)


def _compose_norm(r: Jet, coefficients: Sequence[Tensor]) -> Jet:
    """The same of a norm r. Where it is 0, a function with no odd coefficients is one of r², c_0 + c_2 r² + ..."""
    at_zero, length = r.value == 0, sum(r.space.sizes)
    undefined = padded(r, length).isnan()
    plain = compose(Jet(r.space, r.value, torch.where(at_zero, 0.0, r.full)), coefficients)
    missing = [torch.zeros_like(coefficients[0])] * (len(coefficients) // 2)
    even = compose(r.squared, [*coefficients[::2], *missing])
    odd = torch.stack([c.detach() != 0 for c in coefficients[1::2]]).any(0)
    higher = torch.where(at_zero & ~odd, padded(even, length), padded(plain, length))
    return Jet(r.space, plain.value, higher.masked_fill(at_zero & odd & undefined, torch.nan), r.rows_first)


def with_square(r: Jet, squared: Callable[[], Jet]) -> Jet:
    """A norm or an absolute value, which knows its square where it is 0, or where numbers are not looked at."""
    if one_sided():
        return r
    looked_at = r.value.is_cpu and not traced()
    if r.space.tape is None and len(r.higher) and r.space.order > 1 and not (looked_at and (r.value != 0).all()):
        r.squared = squared()
    return r


def _power_series(p: Tensor, coefficients: Sequence[Tensor]) -> Tensor:
    """Horner's scheme for Σ_j coefficients[j] p^j, p a polynomial without constant term; degrees 1 and up."""
    order = len(coefficients) - 1
    if p.shape[0] == 1:
        powers = p.expand(order, *p.shape[1:]).cumprod(0)
        return torch.stack(list(coefficients[1:])) * powers
    p = p.expand(p.shape[0], *coefficients[0].shape)
    total = p.new_zeros(0, *p.shape[1:])
    for degree, coefficient in zip(range(1, order + 1), reversed(coefficients[1:]), strict=True):
        scaled = coefficient * p[:degree]
        if scaled.shape[0] < degree:
            scaled = torch.cat([scaled, scaled.new_zeros(degree - scaled.shape[0], *p.shape[1:])])
        for i in range(min(p.shape[0], total.shape[0])):
            scaled[i + 1 :].addcmul_(p[i], total[: degree - 1 - i])
        total = scaled
    return total


def _power_series_in_rows(p: list[Tensor], coefficients: Sequence[Tensor]) -> list[Tensor]:
    """The same, one expression for each degree."""
    inner: list[Tensor] = []
    for degree, coefficient in enumerate(reversed(coefficients[1:]), start=1):
        total = []
        for k in range(1, degree + 1):
            terms = [p[i - 1] * inner[k - i - 1] for i in range(1, min(k, len(p) + 1))]
            terms += [coefficient * p[k - 1]] if k <= len(p) else []
            total.append(sum(terms[1:], terms[0]))
        inner = total
    return inner


def padded_rows(x: Any, length: int) -> list[Tensor]:
    """What `padded` gives, one coefficient after the other."""
    if isinstance(x, Jet) and x.rows is not None and len(x.rows) == length:
        return [row.expand(x.value.shape) for row in x.rows]
    return list(padded(x, length).unbind(0))


def tower(x: Tensor, order: int) -> Jet:
    """The jet of the identity at x: feed it to torch functions to get the Taylor coefficients of anything."""
    return Jet(Space(order), x, torch.ones_like(x)[None])
