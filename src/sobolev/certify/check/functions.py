"""Functions of one number as Taylor coefficients f, f', f''/2, ... over intervals of mpmath."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath

from sobolev.certify.check.taylor import Taylor

iv: Any = mpmath.iv
mp: Any = mpmath.mp

_FAR = 12
"""Beyond it less than 1e-30 is missing from 0 or 1 in the normal distribution function."""


def exponential(x: Any, count: int) -> list[Any]:
    """e^x."""
    value = iv.exp(x)
    return [value / math.factorial(j) for j in range(count)]


def logarithm(x: Any, count: int) -> list[Any]:
    """The natural one."""
    _positive(x)
    return [iv.log(x), *((-1) ** (j - 1) / (j * x**j) for j in range(1, count))]


def sine(x: Any, count: int, shift: int = 0) -> list[Any]:
    """sin(x + shift π/2)."""
    s, c = iv.sin(x), iv.cos(x)
    cycle = [s, c, -s, -c]
    return [cycle[(j + shift) % 4] / math.factorial(j) for j in range(count)]


def inverse(x: Any, count: int) -> list[Any]:
    """1 / x."""
    if x.a <= 0 <= x.b:
        raise ZeroDivisionError
    return [(-1) ** j / x ** (j + 1) for j in range(count)]


def power(exponent: Any, x: Any, count: int) -> list[Any]:
    """X to a fixed power; whole ones of any number, others of positive ones."""
    whole = not isinstance(exponent, type(x)) and float(exponent).is_integer()
    if not whole:
        _positive(x)
    elif exponent < 0 and x.a <= 0 <= x.b:
        raise ZeroDivisionError
    found, factor = [], iv.mpf(1)
    for j in range(count):
        left = exponent - j
        if whole and exponent >= 0 and left < 0:
            found.append(iv.mpf(0))
        else:
            found.append(factor * (x ** int(left) if whole else iv.exp(iv.log(x) * iv.mpf(left))))
        factor = factor * iv.mpf(left) / (j + 1)
    return found


def logistic(x: Any, count: int) -> list[Any]:
    """From σ' = σ (1 - σ), the coefficients one after the other."""
    value = 1 / (1 + iv.exp(-x))
    found, other = [value], [1 / (1 + iv.exp(x))]
    for j in range(count - 1):
        found.append(sum(found[i] * other[j - i] for i in range(j + 1)) / (j + 1))
        other.append(-found[-1])
    return found


def tanh(x: Any, count: int) -> list[Any]:
    """2 σ(2 x) - 1."""
    return [2 ** (j + 1) * s - (j == 0) for j, s in enumerate(logistic(2 * x, count))]


def silu(x: Any, count: int) -> list[Any]:
    """The product x σ(x)."""
    return _times_argument(x, logistic(x, count))


def softplus(x: Any, count: int) -> list[Any]:
    """log(1 + e^x)."""
    return [iv.log(1 + iv.exp(x)), *(s / (j + 1) for j, s in enumerate(logistic(x, count - 1)))][:count]


def normal(x: Any, count: int) -> list[Any]:
    """Φ, whose derivative is the density: density' = -x density."""
    value = iv.mpf([_normal_at(x.a).a, _normal_at(x.b).b])
    density = [iv.exp(-(x**2) / 2) / iv.sqrt(2 * iv.pi)]
    for j in range(count - 1):
        before = density[j - 1] if j else iv.mpf(0)
        density.append(-(x * density[j] + before) / (j + 1))
    return [value, *(d / (j + 1) for j, d in enumerate(density))][:count]


def gelu(x: Any, count: int) -> list[Any]:
    """The product x Φ(x)."""
    return _times_argument(x, normal(x, count))


def arctangent(x: Any, count: int) -> list[Any]:
    """From (1 + x²) g = 1 for the derivative g."""
    ends = [_arctangent_at(x.a), _arctangent_at(x.b)]
    found = [iv.mpf([ends[0].a, ends[1].b])]
    below = 1 + x**2
    slope = [1 / below]
    for j in range(1, count - 1):
        slope.append(-(2 * x * slope[j - 1] + (slope[j - 2] if j > 1 else 0)) / below)
    return [*found, *(g / (j + 1) for j, g in enumerate(slope))][:count]


def _times_argument(x: Any, f: list[Any]) -> list[Any]:
    return [x * f[j] + (f[j - 1] if j else 0) for j in range(len(f))]


def _positive(x: Any) -> None:
    if not x.a > 0:
        raise ZeroDivisionError


def _normal_at(x: Any) -> Any:
    """Φ at a point: 1/2 + density (x + x³/3 + x⁵/(3·5) + ...); each term is below half of the one before in the end."""
    x = iv.mpf(x)
    if abs(x).a > _FAR:
        return iv.mpf([0, 1e-30]) if x.b < 0 else 1 - iv.mpf([0, 1e-30])
    term = total = x
    n = 0
    while n <= x.b**2 + 4 or abs(term).b > mp.mpf(2) ** (-iv.prec) * abs(total).b:
        n += 1
        term = term * x**2 / (2 * n + 1)
        total = total + term
        if n > 10_000:
            raise ZeroDivisionError
        if not term.b and not term.a:
            break
    rest = abs(term).b
    return iv.mpf("0.5") + (total + iv.mpf([-rest, rest])) * iv.exp(-(x**2) / 2) / iv.sqrt(2 * iv.pi)


def _arctangent_at(x: Any) -> Any:
    """Mpmath's value, widened by far more than its last digit."""
    with mp.workprec(iv.prec + 20):
        value = mp.atan(mp.mpf(x))
    return iv.mpf(value) + iv.mpf([-1, 1]) * mp.mpf(2) ** (4 - iv.prec)


def _of(function: Callable[[Any, int], list[Any]]) -> Callable[[Taylor], Taylor]:
    return lambda x: x.apply(function)


def raised(x: Taylor, exponent: Any) -> Taylor:
    """To a fixed power."""
    return x.apply(partial(power, exponent))


def divided(a: Taylor, b: Taylor) -> Taylor:
    """The quotient."""
    return a * b.apply(inverse)


def _one_plus(x: Taylor, sign: int = 1) -> Taylor:
    return x.space.number(1) + x.scaled(iv.mpf(sign))


def _arcsine(x: Taylor) -> Taylor:
    return (x * raised(_one_plus(x) * _one_plus(x, -1), -0.5)).apply(arctangent)


def _gelu_tanh(x: Taylor) -> Taylor:
    inner = (x + raised(x, 3).scaled(iv.mpf(0.044715))).scaled(iv.mpf(0.7978845608028654))
    return x.scaled(iv.mpf(0.5)) * _one_plus(inner.apply(tanh))


def _normal_of_root_two(x: Taylor, sign: int) -> Taylor:
    return x.scaled(sign * iv.sqrt(iv.mpf(2))).apply(normal).scaled(iv.mpf(2))


FUNCTIONS: dict[str, Callable[[Taylor], Taylor]] = {
    "same": lambda x: x,
    "neg": lambda x: -x,
    "exp": _of(exponential),
    "expm1": lambda x: x.apply(exponential) - x.space.number(1),
    "log": _of(logarithm),
    "log1p": lambda x: _one_plus(x).apply(logarithm),
    "log2": lambda x: x.apply(logarithm).scaled(1 / iv.log(iv.mpf(2))),
    "log10": lambda x: x.apply(logarithm).scaled(1 / iv.log(iv.mpf(10))),
    "sin": _of(sine),
    "cos": _of(partial(sine, shift=1)),
    "tan": lambda x: divided(x.apply(sine), x.apply(partial(sine, shift=1))),
    "asin": _arcsine,
    "acos": lambda x: x.space.number(iv.pi / 2) - _arcsine(x),
    "atan": _of(arctangent),
    "sinh": lambda x: (x.apply(exponential) - (-x).apply(exponential)).scaled(iv.mpf(0.5)),
    "cosh": lambda x: (x.apply(exponential) + (-x).apply(exponential)).scaled(iv.mpf(0.5)),
    "tanh": _of(tanh),
    "asinh": lambda x: (x + raised(_one_plus(x * x), 0.5)).apply(logarithm),
    "acosh": lambda x: (x + raised((x - x.space.number(1)) * _one_plus(x), 0.5)).apply(logarithm),
    "atanh": lambda x: (_one_plus(x).apply(logarithm) - _one_plus(x, -1).apply(logarithm)).scaled(iv.mpf(0.5)),
    "sqrt": lambda x: raised(x, 0.5),
    "rsqrt": lambda x: raised(x, -0.5),
    "cbrt": lambda x: raised(x, iv.mpf(1) / 3),
    "square": lambda x: raised(x, 2),
    "reciprocal": _of(inverse),
    "sigmoid": _of(logistic),
    "silu": _of(silu),
    "gelu": _of(gelu),
    "gelu_tanh": _gelu_tanh,
    "Phi": _of(normal),
    "ndtr": _of(normal),
    "erf": lambda x: _normal_of_root_two(x, 1) - x.space.number(1),
    "erfc": lambda x: _normal_of_root_two(x, -1),
}
"""By the names that formulas and recorded forwards use."""
FUNCTIONS["softplus"] = _of(softplus)
