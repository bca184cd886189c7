"""How far a forward in float32 or float64 is off its value in real arithmetic, anywhere in a box.

An a-priori analysis, operation by operation in the order in which the forward calls them (Higham, "Accuracy and
Stability of Numerical Algorithms", 2002, chapter 3): + - * round once, a division may be a product with a rounded
reciprocal, a sum of n products is off by at most γ_(n+2) times the sum of their magnitudes, in any order, with or
without fused multiply-add. What a library computes for tanh and the like is taken to be near to some units in the last
place; `check_library` compares with mpmath at points on the machine at hand.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import mpmath
import numpy as np
import torch

from sobolev.certify import balls
from sobolev.certify.balls import Array, Ball, ends, exact, outward
from sobolev.certify.functions import LOGISTIC, Power, Univariate
from sobolev.certify.program import Program, Step, UnknownOperationError, Value, recorded
from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rules.activations import ATAN, COS, EXP, GELU_EXACT, LOG, NORMAL, SILU, SIN, SOFTPLUS
from sobolev.certify.statement import Rounding

_CELLS = 4096
"""The box is cut into about so many equal cells."""
_POINTS = 300
"""A library's function is compared at so many."""


class Precision(NamedTuple):
    """A format of floating-point numbers."""

    dtype: torch.dtype
    unit: float
    """Rounding to nearest changes a number by at most this part of it,"""
    tiny: float
    """or by less than this where it underflows, to zero if need be."""
    largest: float


PRECISIONS = {
    "float32": Precision(torch.float32, 2.0**-24, 2.0**-126, 2.0**127),
    "float64": Precision(torch.float64, 2.0**-53, 2.0**-1022, 2.0**1023),
}


@dataclass(frozen=True)
class Computed:
    """A number in each cell, and how far what is computed is off it.

    Attributes:
        value: what it is in real arithmetic, (cells, *shape).
        error: (cells, *shape).
    """

    value: Ball
    error: Array

    @property
    def size(self) -> Array:
        """The largest magnitude that may be computed."""
        return outward(self.value.magnitude + self.error)

    @property
    def ends(self) -> tuple[Array, Array]:
        """Of all numbers that may be computed."""
        low, high = ends(self.value)
        return low - outward(self.error.copy()), high + outward(self.error.copy())


def rounding(network: Callable[[Any], Any], low: Array, high: Array, precision: str) -> Rounding:
    """A bound of the rounding of a forward for all inputs of that precision in a box; of all outputs the largest.

    It covers PyTorch calling the operations of the forward one by one, and whatever else rounds each of them not more
    often: not TF32 or half precision inside products of matrices, not a quantised network.

    Args:
        network: maps (batch, inputs) to (batch, outputs); for another precision than its own its weights are rounded.
        low: a corner, (inputs,).
        high: the other.
        precision: "float32" or "float64".

    Raises:
        ValueError: the precision is another.
        NoEnclosureError: it calls what nothing is known of, or the library is farther off than is assumed.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"rounding is {precision!r}; it is {' or '.join(map(repr, PRECISIONS))}")
    chosen = PRECISIONS[precision]
    try:
        real, computed = recorded(network, len(low)), recorded(network, len(low), chosen.dtype)
    except UnknownOperationError as error:
        raise NoEnclosureError(f"no bound of the rounding: {error}") from None
    except Exception as error:
        raise NoEnclosureError(f"no bound of the rounding: the forward does not run in {precision}: {error}") from None
    if computed.mixed:
        raise NoEnclosureError(f"no bound of the rounding: {computed.mixed} changes the precision of the forward")
    if [s.operation for s in real.steps] != [s.operation for s in computed.steps]:
        raise NoEnclosureError(f"no bound of the rounding: the forward calls other operations in {precision}")
    with np.errstate(all="ignore"):
        analysis = _Analysis(chosen, _cells(low, high))
        largest = float(analysis.run(real, computed).error.max())
    if not largest < math.inf:  # NaN, too
        return Rounding(precision, math.inf)
    check_library(analysis.met, chosen)
    return Rounding(precision, largest)


class _Analysis:
    """Attributes: met: the functions of one number that were called, and the interval of their arguments."""

    def __init__(self, precision: Precision, inputs: Ball) -> None:
        self.unit, self.tiny, self._precision = precision.unit, precision.tiny, precision
        self._inputs = Computed(inputs[:, None], np.zeros_like(inputs.mid[:, None]))
        self.met: dict[tuple[str, tuple], tuple[float, float]] = {}

    def run(self, real: Program, computed: Program) -> Computed:
        """The result of a program, whose constants are these in real arithmetic and those in the computation."""
        values = [self._inputs]
        for step, other in zip(real.steps, computed.steps, strict=True):
            pairs = zip(step.operands, other.operands, strict=True)
            operands = [values[a.number] if isinstance(a, Value) else self._constant(a, b) for a, b in pairs]
            found = self._step(step, operands)
            values.append(Computed(found.value, np.where(found.size < self._precision.largest, found.error, np.inf)))
        return values[real.result.number]

    def _constant(self, real: Array, computed: Any) -> Computed:
        stored = torch.as_tensor(computed).to(self._precision.dtype).double().numpy()
        return Computed(
            exact(real[None]),
            outward(np.abs(stored - real)[None] + 2 * balls.U * np.abs(real - stored)[None]) * (stored != real),
        )

    def _rounded(self, value: Ball, error: Array, roundings: float = 1) -> Computed:
        """A result that is rounded so often."""
        error = outward(np.array(error, dtype=np.float64))
        size = value.magnitude + error
        return Computed(
            value, outward(error + roundings * (1 + 2 * self.unit) * self.unit * size + self.tiny * (size > 0))
        )

    def _step(self, step: Step, operands: list[Computed]) -> Computed:
        name = step.operation
        if name == "gather":
            return _gathered(operands, step.options["index"], step.options["shape"])
        if name == "sum":
            return self._sum(operands[0], **step.options)
        if hasattr(self, f"_{name}"):
            return getattr(self, f"_{name}")(*operands)
        return self._function(name, operands[0], **step.options)

    def _same(self, a: Computed) -> Computed:
        return a

    def _neg(self, a: Computed) -> Computed:
        return Computed(balls.negative(a.value), a.error)

    def _add(self, a: Computed, b: Computed) -> Computed:
        return self._rounded(balls.add(a.value, b.value), a.error + b.error)

    def _sub(self, a: Computed, b: Computed) -> Computed:
        return self._rounded(balls.add(a.value, balls.negative(b.value)), a.error + b.error)

    def _mul(self, a: Computed, b: Computed) -> Computed:
        return self._rounded(balls.multiply(a.value, b.value), a.value.magnitude * b.error + a.error * b.size)

    def _div(self, a: Computed, b: Computed) -> Computed:
        """The quotients are apart by at most (e_a + |a/b| e_b) / |computed b|."""
        value = balls.divide(a.value, b.value)
        low, high = b.ends
        least = np.where((low > 0) | (high < 0), np.minimum(np.abs(low), np.abs(high)), 0.0)
        return self._rounded(value, (a.error + value.magnitude * b.error) / least * (1 + 8 * balls.U), 3)

    def _linear(self, x: Computed, weight: Computed, bias: Computed) -> Computed:
        exact_weight, off = np.abs(weight.value.mid[0]), weight.error[0]
        stored = exact_weight + off
        terms = stored.shape[1]
        gamma = (terms + 2) * self.unit / (1 - (terms + 2) * self.unit)
        value = _times(x.value, weight.value.mid[0])
        value = balls.add(value, bias.value)
        error = x.error @ stored.T + x.value.magnitude @ off.T + bias.error
        error = error + gamma * (x.size @ stored.T + bias.size) + (terms + 1) * self.tiny
        return Computed(value, outward(error * (1 + 2 * balls.growth(terms))))

    def _sum(self, x: Computed, axes: list[int], keepdim: bool) -> Computed:
        behind = tuple(axis + 1 for axis in axes)
        terms = math.prod(x.error.shape[axis] for axis in behind)
        gamma = terms * self.unit / (1 - terms * self.unit)
        total = partial(np.sum, axis=behind, keepdims=keepdim)
        g = balls.growth(terms)
        value = Ball(total(x.value.mid), outward((total(x.value.rad) + g * total(np.abs(x.value.mid))) * (1 + 2 * g)))
        return Computed(value, outward((total(x.error) + gamma * total(x.size)) * (1 + 2 * g) + terms * self.tiny))

    def _function(self, name: str, x: Computed, **options: float) -> Computed:
        """The chain rule for the error of the argument, and the library's own."""
        if name not in LIBRARY and name != "pow":
            raise NoEnclosureError(f"no bound of the rounding: that of {name} is not known")
        f = _powers(**options) if name == "pow" else LIBRARY[name]
        low, high = x.ends
        over, slope = f.over(low, high, **options)
        value = balls.smaller(f.over(*ends(x.value), **options)[0], over)
        size = {"value": over.magnitude, "argument": x.size, "one": 1.0, "both": over.magnitude + x.size * slope}[
            f.scale
        ]
        own = f.units * self.unit * size + self.tiny * (1 + x.size)
        if name == "softplus":  # beyond the threshold PyTorch takes a straight line
            beta, threshold = options["beta"], options["threshold"]
            own = own + np.where(high * beta > threshold * 0.999, 1.001 * math.exp(-threshold) / beta, 0.0)
        self._note(name, options, low, high)
        return Computed(value, outward(x.error * slope + own))

    def _note(self, name: str, options: dict[str, float], low: Array, high: Array) -> None:
        key = (name, tuple(sorted(options.items())))
        before = self.met.get(key, (math.inf, -math.inf))
        self.met[key] = (min(before[0], float(low.min())), max(before[1], float(high.max())))


class Library(NamedTuple):
    """A function of one number as a library computes it."""

    over: Callable[..., tuple[Ball, Array]]
    """Its values between low and high, and the largest magnitude of its derivative."""
    truth: Callable[..., Any]
    """The same by mpmath."""
    computed: Callable[..., torch.Tensor]
    units: float = 4
    """It is off by at most so many unit roundoffs"""
    scale: str = "value"
    """of its value, of its argument, of one, or of its value plus argument times derivative."""


def check_library(met: dict[tuple[str, tuple], tuple[float, float]], precision: Precision) -> None:
    """Compare functions at random points between two numbers with mpmath, on this machine.

    Raises:
        NoEnclosureError: one of them is farther off than is assumed.
    """
    for (name, options), (low, high) in met.items():
        f = _powers(**dict(options)) if name == "pow" else LIBRARY[name]
        off, place = library_error(f, dict(options), low, high, precision, _POINTS)
        if not off <= f.units:
            raise NoEnclosureError(
                f"no bound of the rounding: {name} at {place!r} is off by {off:.3g} unit roundoffs here; "
                f"{f.units:g} are taken for granted"
            )


def library_error(
    f: Library, options: dict[str, float], low: float, high: float, precision: Precision, points: int, seed: int = 0
) -> tuple[float, float]:
    """By how many unit roundoffs a library's function is off at most at random points, and where."""
    rng = np.random.default_rng(seed)
    low, high = max(low, -1e4), min(high, 1e4)
    near = np.sign(rng.uniform(-1, 1, points)) * 10 ** rng.uniform(-6, 1, points)
    x = torch.as_tensor(np.concatenate([rng.uniform(low, high, points), near.clip(low, high)])).to(precision.dtype)
    with torch.no_grad():
        y = f.computed(x, **options).double().numpy()
    worst, place = 0.0, 0.0
    with mpmath.workdps(60), np.errstate(all="ignore"):
        for point, value in zip(x.double().tolist(), y.tolist(), strict=True):
            truth = f.truth(mpmath.mpf(point), **options)
            slope = f.over(np.array(point), np.array(point), **options)[1] if f.scale == "both" else 0.0
            size = {
                "value": abs(truth),
                "argument": abs(point),
                "one": 1,
                "both": abs(truth) + abs(point) * float(slope),
            }
            off = abs(mpmath.mpf(value) - truth) - precision.tiny * (1 + abs(point))
            units = float(off / (precision.unit * size[f.scale])) if off > 0 else 0.0
            worst, place = (units, point) if not units <= worst else (worst, place)
    return worst, place


def _of(
    f: Univariate, inner: float = 1.0, outer: float = 1.0, shift: float = 0.0, off: float = 0.0
) -> Callable[..., Any]:
    """The function outer f(inner x) + shift, its factors known up to a relative `off`."""

    def over(low: Array, high: Array) -> tuple[Ball, Array]:
        a, b = np.minimum(inner * low, inner * high), np.maximum(inner * low, inner * high)
        a, b = (np.nextafter(end + sign * off * np.abs(end), sign * np.inf) for end, sign in ((a, -1), (b, 1)))
        known = f.hull(a, b, 2)
        middle = balls.between(a, b)
        at = f.coefficients(middle.mid, 1)[0]
        near = Ball(at.mid, outward(at.rad + known[1].magnitude * middle.rad))
        value = balls.add(balls.scaled(balls.smaller(known[0], near), outer), exact(shift))
        return value, outward(known[1].magnitude * abs(inner * outer) * (1 + off))

    return over


def _softplus(low: Array, high: Array, beta: float, threshold: float) -> tuple[Ball, Array]:  # noqa: ARG001
    value, slope = _of(SOFTPLUS, beta, off=2 * balls.U)(low, high)
    return balls.divide(value, exact(beta)), outward(slope / beta)


def _gelu_tanh(low: Array, high: Array) -> tuple[Ball, Array]:
    """Between -0.171 and max(x, 0), with slopes below 1.13."""
    return balls.between(np.where(low >= 0, 0.0, -0.18), np.maximum(high, 0.0)), np.where(low <= high, 1.2, np.inf)


def _powers(exponent: float) -> Library:
    return Library(
        lambda low, high, exponent: _of(Power(Fraction(exponent)))(low, high),
        lambda x, exponent: x ** mpmath.mpf(exponent),
        lambda x, exponent: (x if float(exponent).is_integer() else x.abs()) ** exponent,
        units=4 + abs(exponent) / 4,
    )


_ROOT_2 = math.sqrt(2)
LIBRARY: dict[str, Library] = {
    "tanh": Library(_of(LOGISTIC, 2.0, 2.0, -1.0), mpmath.tanh, torch.tanh),
    "sigmoid": Library(_of(LOGISTIC), lambda x: 1 / (1 + mpmath.exp(-x)), torch.sigmoid),
    "silu": Library(_of(SILU), lambda x: x / (1 + mpmath.exp(-x)), torch.nn.functional.silu),
    "gelu": Library(_of(GELU_EXACT), lambda x: x * mpmath.ncdf(x), torch.nn.functional.gelu, 8, "argument"),
    "gelu_tanh": Library(
        _gelu_tanh,
        lambda x: x / 2 * (1 + mpmath.tanh(0.7978845608028654 * (x + 0.044715 * x**3))),
        partial(torch.nn.functional.gelu, approximate="tanh"),
        8,
        "argument",
    ),
    "softplus": Library(
        _softplus,
        lambda x, beta, threshold: x if beta * x > threshold else mpmath.log1p(mpmath.exp(beta * x)) / beta,
        torch.nn.functional.softplus,
        scale="both",
    ),
    "sin": Library(_of(SIN), mpmath.sin, torch.sin, scale="one"),
    "cos": Library(_of(COS), mpmath.cos, torch.cos, scale="one"),
    "exp": Library(_of(EXP), mpmath.exp, torch.exp),
    "log": Library(_of(LOG), mpmath.log, torch.log),
    "erf": Library(_of(NORMAL, _ROOT_2, 2.0, -1.0, off=2 * balls.U), mpmath.erf, torch.erf, scale="one"),
    "erfc": Library(_of(NORMAL, -_ROOT_2, 2.0, off=2 * balls.U), mpmath.erfc, torch.special.erfc, scale="one"),
    "ndtr": Library(_of(NORMAL), mpmath.ncdf, torch.special.ndtr, scale="one"),
    "atan": Library(_of(ATAN), mpmath.atan, torch.atan),
    "square": Library(_of(Power(Fraction(2))), lambda x: x * x, torch.square),
    "sqrt": Library(_of(Power(Fraction(1, 2))), mpmath.sqrt, torch.sqrt),
    "rsqrt": Library(_of(Power(Fraction(-1, 2))), lambda x: 1 / mpmath.sqrt(x), torch.rsqrt),
    "reciprocal": Library(_of(Power(Fraction(-1))), lambda x: 1 / x, torch.reciprocal),
}
"""By the names of recorded forwards."""


def _gathered(operands: list[Computed], index: Any, shape: list[int]) -> Computed:
    cells = max(len(o.error) for o in operands)
    places = np.array(index, dtype=np.int64).reshape(-1)

    def moved(parts: list[Array]) -> Array:
        flat = np.concatenate([np.broadcast_to(p, (cells, *p.shape[1:])).reshape(cells, -1) for p in parts], 1)
        return flat[:, places].reshape(cells, *shape)

    value = Ball(moved([o.value.mid for o in operands]), moved([o.value.rad for o in operands]))
    return Computed(value, moved([o.error for o in operands]))


def _times(x: Ball, weight: Array) -> Ball:
    """`x @ weight.T` over the last axis."""
    g = balls.growth(weight.shape[1])
    rad = (x.rad + g * np.abs(x.mid)) @ np.abs(weight).T
    return Ball(x.mid @ weight.T, outward(rad * (1 + 2 * g)))


def _cells(low: Array, high: Array) -> Ball:
    """Equal cells, (cells, inputs)."""
    count = max(round(_CELLS ** (1 / len(low))), 2)
    edges = [np.linspace(a, b, count + 1) for a, b in zip(low, high, strict=True)]
    for e, a, b in zip(edges, low, high, strict=True):
        e[0], e[-1] = a, b
    corners = [
        np.stack([g.ravel() for g in np.meshgrid(*part, indexing="ij")], 1)
        for part in zip(*((e[:-1], e[1:]) for e in edges), strict=True)
    ]
    return balls.between(*corners)
