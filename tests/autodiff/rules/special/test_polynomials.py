import mpmath
import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

EXACT = {
    "chebyshev_polynomial_t": mpmath.chebyt,
    "chebyshev_polynomial_u": mpmath.chebyu,
    "chebyshev_polynomial_v": lambda n, x: mpmath.chebyu(n, x) - (mpmath.chebyu(n - 1, x) if n else 0),
    "chebyshev_polynomial_w": lambda n, x: mpmath.chebyu(n, x) + (mpmath.chebyu(n - 1, x) if n else 0),
    "hermite_polynomial_h": mpmath.hermite,
    "hermite_polynomial_he": lambda n, x: mpmath.hermite(n, x / mpmath.sqrt(2)) / mpmath.sqrt(2) ** n,
    "laguerre_polynomial_l": lambda n, x: mpmath.laguerre(n, 0, x),
    "legendre_polynomial_p": mpmath.legendre,
    "shifted_chebyshev_polynomial_t": lambda n, x: mpmath.chebyt(n, 2 * x - 1),
}


@pytest.mark.parametrize("degree", [0, 1, 5])
@pytest.mark.parametrize("name", EXACT)
def test_every_order(name, degree):
    points = [-0.7, 0.2, 0.9]
    x = torch.tensor(points, dtype=torch.float64).unsqueeze(1)
    results = taylor.derivatives(lambda x: getattr(torch.special, name)(x, degree), x, 6, torch.ones_like(x))
    for row, point in enumerate(points):
        with mpmath.workdps(40):
            coefficients = mpmath.taylor(lambda t: EXACT[name](degree, t), mpmath.mpf(point), 6)
            expected = [float(c * mpmath.factorial(k)) for k, c in enumerate(coefficients)]
        assert [d[row, 0].item() for d in results] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_a_degree_for_each_element_is_refused():
    with pytest.raises(NoRuleError, match="degree"):
        taylor.jacobian(lambda x: torch.special.legendre_polynomial_p(x, torch.arange(3)), torch.rand(2, 3))


def test_powers_side_by_side():
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)
    assert_rule(
        lambda x: torch.linalg.vander(x, N=4) + torch.stack([torch.vander(row, 4) for row in x]),
        x,
        reference=lambda x: torch.stack([x**k + x ** (3 - k) for k in range(4)], 2),
    )
