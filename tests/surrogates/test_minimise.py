"""Newton's steps on functions whose minima are known."""

import pytest
import torch

from sobolev.surrogates.minimise import minimise_by_newton

SIZE = 1000.0
"""Losses are logarithms of evidence: below a tenth nothing counts."""


def valley(numbers):
    """Rosenbrock's, as the sum of two squares: Gauss-Newton's part of its Hessian, and the rest."""
    x, y = numbers
    residuals = torch.stack([10 * (y - x**2), 1 - x])
    slopes = torch.stack([torch.stack([-20 * x, torch.full_like(x, 10.0)]), torch.tensor([-1.0, 0.0]).double()])
    rest = torch.zeros(2, 2, dtype=torch.float64)
    rest[0, 0] = -20 * residuals[0]
    return SIZE * residuals.square().sum() / 2, SIZE * slopes.T @ residuals, SIZE * slopes.T @ slopes, SIZE * rest


@pytest.mark.parametrize("most", [9.0, 0.5])
def test_the_end_of_a_bent_valley_and_the_point_where_a_bound_cuts_it(most):
    start, low = torch.tensor([-1.2, 1.0]).double(), torch.tensor([-9.0, -9.0]).double()
    loss, found = minimise_by_newton(start, low, torch.tensor([most, 9.0]).double(), valley)
    best = min(most, 1.0)
    assert loss == pytest.approx(SIZE * (1 - best) ** 2 / 2, abs=0.1)
    torch.testing.assert_close(found, torch.tensor([best, best**2]).double(), rtol=0, atol=0.05)


def test_a_saddle_is_left_downhill():
    def saddle(numbers):
        x, y = numbers
        gradient = torch.stack([2 * x, 4 * y**3 - 2 * y])
        hessian = torch.diag(torch.stack([torch.full_like(x, 2.0), 12 * y**2 - 2]))
        return SIZE * (x**2 + y**4 - y**2), SIZE * gradient, SIZE * hessian, torch.zeros_like(hessian)

    far = torch.full((2,), 9.0, dtype=torch.float64)
    loss, found = minimise_by_newton(torch.tensor([1.0, 0.05]).double(), -far, far, saddle)
    assert loss == pytest.approx(-0.25 * SIZE, abs=0.1)
    assert abs(float(found[1])) == pytest.approx(0.5**0.5, abs=0.02)
