"""The evidence against a normal distribution's density by numpy, its gradient against finite differences."""

import math

import mpmath
import numpy as np
import pytest
import torch

from sobolev.surrogates.marginal import LogSizes, kernel_evidence, kernel_solve, negative_log_evidence, reduced, solve

NOISE = 0.1


def problem(rows, features, outputs=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, n, generator=generator, dtype=torch.float64) for n in (features, outputs)]


def density(covariance, y):
    """-log N(y; 0, λ covariance) with the best λ, without constants, by eigenvalues."""
    values, vectors = np.linalg.eigh(covariance)
    square = ((vectors.T @ y) ** 2 / values[:, None]).sum(0)
    return float(0.5 * (len(y) * np.log(square / len(y)) + np.log(values).sum()).sum())


def fixed(log_sizes):
    """Sizes that depend upon nothing."""
    return LogSizes(log_sizes, torch.zeros(len(log_sizes), 0).double(), lambda weights: weights.new_zeros(0, 0))


@pytest.mark.parametrize(("rows", "features"), [(12, 5), (5, 12)])
def test_value_is_that_of_the_normal_density(rows, features):
    phi, y = problem(rows, features)
    sizes = torch.linspace(0.5, 2.0, features, dtype=torch.float64)
    weighted = (phi * sizes).numpy()
    wanted = density(weighted @ weighted.T + NOISE**2 * np.eye(rows), y.numpy())
    log_noise = torch.tensor(math.log(NOISE), dtype=torch.float64)
    found = negative_log_evidence(reduced(phi, y), fixed(sizes.log()), log_noise[None])[0]
    assert float(found) == pytest.approx(wanted, rel=1e-12)
    apart, others = torch.from_numpy(weighted).split([2, features - 2], 1)
    assert float(kernel_evidence(others @ others.T, apart, y, log_noise)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize(("rows", "features"), [(40, 9), (9, 40), (12, 12), (200, 130)])
def test_gradient_and_average_information_are_those_of_the_density(rows, features, kinds, outputs):
    phi, y = problem(rows, features, outputs)
    kind = torch.arange(rows) * kinds // rows
    directions = problem(features, 3)[0] / 3
    numbers = torch.linspace(-0.5, 0.3, 3 + kinds, dtype=torch.float64)

    def log_sizes(numbers):
        return directions @ numbers[:3].exp()

    def covariance(numbers):
        weighted = phi * log_sizes(numbers).exp()
        return weighted @ weighted.T + (2 * numbers[3:][kind]).exp().diag()

    def loss(numbers):
        C = covariance(numbers)
        return (0.5 * rows * (y * torch.linalg.solve(C, y)).sum(0).log() + 0.5 * torch.logdet(C)).sum()

    slopes = directions * numbers[:3].exp()
    sizes = LogSizes(log_sizes(numbers), slopes, lambda weights: torch.diag(weights @ slopes))
    found = negative_log_evidence(reduced(phi, y, kind), sizes, numbers[3:])
    torch.testing.assert_close(found[1], torch.autograd.functional.jacobian(loss, numbers), rtol=1e-8, atol=1e-8)
    inverse = torch.linalg.inv(covariance(numbers))
    changes = torch.autograd.functional.jacobian(covariance, numbers).movedim(2, 0)
    observed = torch.autograd.functional.hessian(loss, numbers)
    expected = torch.einsum("aij,bji->ab", inverse @ changes, inverse @ changes)
    seen = torch.zeros_like(expected)
    for column in y.T:
        pushed = changes @ (inverse @ column)
        seen += rows / (column @ inverse @ column) * pushed @ inverse @ pushed.T
    wanted = observed - (seen - outputs * expected) / 2
    torch.testing.assert_close(found[2] + found[3], wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("rows", "features"), [(12, 5), (5, 12)])
def test_gradients_of_a_kernel_are_those_of_finite_differences(rows, features):
    phi, y = problem(rows, features)
    sizes = torch.linspace(0.5, 2.0, features, dtype=torch.float64).requires_grad_()
    log_noise = torch.tensor(math.log(NOISE), dtype=torch.float64, requires_grad=True)

    def of_kernel(s, n):
        apart, others = (phi * s).split([2, features - 2], 1)
        return kernel_evidence(others @ others.T, apart, y, n)

    assert torch.autograd.gradcheck(of_kernel, (sizes, log_noise))


def test_a_matrix_that_is_no_covariance_has_infinite_evidence():
    noise, ones = torch.tensor(-20.0, dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64)
    assert kernel_evidence(-torch.eye(3, dtype=torch.float64), ones, ones, noise).isinf()


def test_what_is_large_and_of_few_columns_hides_no_small_noise():
    (phi, y), large = problem(12, 3, outputs=1), 1e8 * problem(12, 2)[0].flip(0)
    log_noise = torch.tensor(-10.0, dtype=torch.float64)
    with mpmath.workdps(50):
        a, b, c = (mpmath.matrix(part.tolist()) for part in (phi, large, y))
        covariance = a * a.T + b * b.T + mpmath.exp(-20) * mpmath.eye(12)
        square = (c.T * mpmath.lu_solve(covariance, c))[0]
        wanted = float((12 * mpmath.log(square / 12) + mpmath.log(mpmath.det(covariance))) / 2)
    assert float(kernel_evidence(phi @ phi.T, large, y, log_noise)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("rows", "features"), [(12, 5), (5, 12)])
def test_the_solution_is_the_ridge_and_its_errors_those_of_leaving_a_row_out(rows, features):
    phi, y = problem(rows, features)

    def ridge(a, b):
        return torch.linalg.solve(a.T @ a + NOISE**2 * torch.eye(features, dtype=torch.float64), a.T @ b)

    found = solve(phi, y, NOISE)
    torch.testing.assert_close(found.weights, ridge(phi, y), rtol=1e-9, atol=1e-11)
    others = [torch.arange(rows) != row for row in range(rows)]
    missed = torch.stack([y[r] - phi[r] @ ridge(phi[keep], y[keep]) for r, keep in enumerate(others)])
    torch.testing.assert_close(found.left_out, missed, rtol=1e-8, atol=1e-10)
    apart, others = phi.split([2, features - 2], 1)
    weights, of_apart = kernel_solve(others @ others.T, apart, y, NOISE)
    torch.testing.assert_close(torch.cat([of_apart, others.T @ weights]), found.weights, rtol=1e-8, atol=1e-10)
