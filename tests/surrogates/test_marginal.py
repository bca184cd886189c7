"""The evidence against a normal distribution's density by numpy, its gradient against finite differences."""

import math

import numpy as np
import pytest
import torch

from sobolev.surrogates.marginal import kernel_evidence, kernel_solve, negative_log_evidence, reduced, solve

NOISE = 0.1


def problem(rows, features, outputs=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, n, generator=generator, dtype=torch.float64) for n in (features, outputs)]


def density(covariance, y):
    """-log N(y; 0, λ covariance) with the best λ, without constants, by eigenvalues."""
    values, vectors = np.linalg.eigh(covariance)
    square = ((vectors.T @ y) ** 2 / values[:, None]).sum(0)
    return float(0.5 * (len(y) * np.log(square / len(y)) + np.log(values).sum()).sum())


@pytest.mark.parametrize(("rows", "features"), [(12, 5), (5, 12)])
def test_value_is_that_of_the_normal_density(rows, features):
    phi, y = problem(rows, features)
    sizes = torch.linspace(0.5, 2.0, features, dtype=torch.float64)
    weighted = (phi * sizes).numpy()
    wanted = density(weighted @ weighted.T + NOISE**2 * np.eye(rows), y.numpy())
    log_noise = torch.tensor(math.log(NOISE), dtype=torch.float64)
    assert float(negative_log_evidence(reduced(phi, y), sizes, log_noise)) == pytest.approx(wanted, rel=1e-12)
    kernel = torch.from_numpy(weighted @ weighted.T)
    assert float(kernel_evidence(kernel, y, log_noise)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("rows", "features"), [(12, 5), (5, 12)])
def test_gradients_are_those_of_finite_differences(rows, features):
    phi, y = problem(rows, features)
    sizes = torch.linspace(0.5, 2.0, features, dtype=torch.float64).requires_grad_()
    log_noise = torch.tensor(math.log(NOISE), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, n: negative_log_evidence(reduced(phi, y), s, n), (sizes, log_noise))

    def of_kernel(s, n):
        return kernel_evidence((phi * s) @ (phi * s).T, y, n)

    assert torch.autograd.gradcheck(of_kernel, (sizes, log_noise))


def test_a_matrix_that_is_no_covariance_has_infinite_evidence():
    noise = torch.tensor(-20.0, dtype=torch.float64)
    assert kernel_evidence(-torch.eye(3, dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64), noise).isinf()


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
    of_kernel = kernel_solve(phi @ phi.T, y, NOISE)
    torch.testing.assert_close(phi.T @ of_kernel.weights, found.weights, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(of_kernel.left_out, missed, rtol=1e-8, atol=1e-10)
