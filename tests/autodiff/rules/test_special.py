import mpmath
import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff import taylor

POSITIVE = 0.2 + torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INSIDE = POSITIVE / 1.3

EXPRESSIONS = {
    "sinc": lambda x: torch.sinc(x * 2),
    "xlogy": lambda x: torch.xlogy(x, x**2) + torch.special.xlog1py(x, x) + torch.xlogy(torch.zeros(3), x - 5),
    "logit": lambda x: torch.logit(x) + torch.special.logit(x, eps=0.3) * x,
    "entr": lambda x: torch.special.entr(x),
    "degrees": lambda x: torch.rad2deg(x.sin()) + torch.deg2rad(x**2),
    "erfinv": lambda x: torch.erfinv(x) + torch.special.ndtri(x) * x,
    "normal distribution": lambda x: torch.special.ndtr(x),
    "polygamma": lambda x: torch.polygamma(2, x) + x.polygamma(1),
    "mvlgamma": lambda x: torch.mvlgamma(x + 2, 3) + torch.special.multigammaln(x + 1, 2),
    "igamma": lambda x: torch.igamma(torch.tensor(1.5).double(), x) + torch.special.gammaincc(x.new_full((3,), 2.0), x),
    "logaddexp2": lambda x: torch.logaddexp2(x, x**2) + torch.ldexp(x, torch.tensor(3)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    if name == "normal distribution":
        assert_rule(lambda x: (1 + torch.erf(x / 2**0.5)) / 2, INSIDE)
    else:
        assert_rule(EXPRESSIONS[name], INSIDE)


FUNCTIONS = {
    "sinc": (torch.sinc, lambda x: mpmath.sincpi(x), [0.0, 1e-4, 0.32, 1.27, 1.28, 2.5]),
    "lgamma": (torch.lgamma, mpmath.loggamma, [0.5, 3.0]),
    "digamma": (torch.digamma, mpmath.digamma, [0.5, 3.0]),
    "erfcx": (torch.special.erfcx, lambda x: mpmath.exp(x**2) * mpmath.erfc(x), [-3.0, 0.0, 0.9, 1.1, 4.0, 30.0]),
    "log_ndtr": (torch.special.log_ndtr, lambda x: mpmath.log(mpmath.ncdf(x)), [-6.0, -1.0, 0.0, 1.0, 6.0]),
    "polygamma": (lambda x: torch.polygamma(1, x), lambda x: mpmath.polygamma(1, x), [0.5, 3.0]),
    "ndtr": (torch.special.ndtr, mpmath.ncdf, [-3.0, 0.0, 5.0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_at_ordinary_and_special_points(name):
    function, exact, points = FUNCTIONS[name]
    x = torch.tensor(points, dtype=torch.float64).unsqueeze(1)
    results = taylor.derivatives(function, x, 10, torch.ones_like(x))
    for row, point in enumerate(points):
        with mpmath.workdps(60):
            coefficients = mpmath.taylor(exact, mpmath.mpf(point), 10)
            expected = [float(c * mpmath.factorial(k)) for k, c in enumerate(coefficients)]
        scale = max(map(abs, expected))
        assert [d[row, 0].item() for d in results] == pytest.approx(expected, rel=1e-9, abs=1e-12 * scale)
