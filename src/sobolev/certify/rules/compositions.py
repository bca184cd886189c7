"""Functions that are made of others: tangent, hyperbolic functions and the inverses of all these."""

from sobolev.certify.balls import exact
from sobolev.certify.balls import scaled as scaled_ball
from sobolev.certify.elementary import PI
from sobolev.certify.enclosure import Enclosure, shifted
from sobolev.certify.registry import rule
from sobolev.certify.rules.activations import ATAN, COS, EXP, LOG, SIN
from sobolev.certify.rules.arithmetic import INVERSE, difference, inverse_root, minus, plus, root, scaled, square, times
from sobolev.certify.rules.kinds import elementwise


@rule("tan")
def tangent(x: Enclosure) -> Enclosure:
    """Sin x / cos x."""
    return times(elementwise(SIN, x), elementwise(INVERSE, elementwise(COS, x)))


@rule("asin", "arcsin")
def arcsine(x: Enclosure) -> Enclosure:
    """atan(x / sqrt((1 - x) (1 + x)))."""
    return elementwise(ATAN, times(x, inverse_root(times(difference(1.0, x), plus(x, 1.0)))))


@rule("acos", "arccos")
def arccosine(x: Enclosure) -> Enclosure:
    """π/2 - asin x."""
    return shifted(minus(arcsine(x)), scaled_ball(PI, 0.5))


@rule("expm1")
def exponential_minus_one(x: Enclosure) -> Enclosure:
    """e^x - 1."""
    return plus(elementwise(EXP, x), -1.0)


@rule("log1p")
def logarithm_of_one_plus(x: Enclosure) -> Enclosure:
    """log(1 + x)."""
    return elementwise(LOG, plus(x, 1.0))


@rule("sinh")
def hyperbolic_sine(x: Enclosure) -> Enclosure:
    """(e^x - e^-x) / 2."""
    return scaled(difference(elementwise(EXP, x), elementwise(EXP, minus(x))), exact(0.5))


@rule("cosh")
def hyperbolic_cosine(x: Enclosure) -> Enclosure:
    """(e^x + e^-x) / 2."""
    return scaled(plus(elementwise(EXP, x), elementwise(EXP, minus(x))), exact(0.5))


@rule("asinh", "arcsinh")
def area_sine(x: Enclosure) -> Enclosure:
    """log(x + sqrt(1 + x²))."""
    return elementwise(LOG, plus(x, root(plus(square(x), 1.0))))


@rule("acosh", "arccosh")
def area_cosine(x: Enclosure) -> Enclosure:
    """log(x + sqrt((x - 1) (x + 1)))."""
    return elementwise(LOG, plus(x, root(times(plus(x, -1.0), plus(x, 1.0)))))


@rule("atanh", "arctanh")
def area_tangent(x: Enclosure) -> Enclosure:
    """(log(1 + x) - log(1 - x)) / 2."""
    return scaled(difference(logarithm_of_one_plus(x), logarithm_of_one_plus(minus(x))), exact(0.5))
