"""Least squares against numpy: dense matrices, explicit penalties, explicit likelihoods."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sobolev.readout.least_squares import _POWER, RidgePath, merged, triangular_factor

STRENGTHS = torch.tensor([1.0, 1e-2, 1e-5, 1e-9, 0.0], dtype=torch.float64)


def system(seed=0, rows=200, unknowns=7, sides=3, decades=3):
    """A with singular values over some decades and a column of ones in front, b that A does not reach."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, unknowns, generator=generator, dtype=torch.float64)
    A = A * torch.logspace(0, -decades, unknowns, dtype=torch.float64)
    A[:, 0] = 1.0
    return A, torch.randn(rows, sides, generator=generator, dtype=torch.float64)


def path(A, b, free=0):
    return RidgePath(triangular_factor(torch.cat([A, b], dim=1)), len(A), A.shape[1], free)


def penalty(A, free):
    """D and σ of the docstring, by numpy."""
    D = np.linalg.norm(A.numpy(), axis=0) ** _POWER
    rest = A.numpy()
    if free:
        Q, _ = np.linalg.qr(rest[:, :free])
        rest = rest - Q @ (Q.T @ rest)
    scaled = (rest / D)[:, free:]
    D[:free] = 0
    return D, np.linalg.svd(scaled, compute_uv=False)[0]


def augmented(A, b, strength, free):
    """The ridge solution as plain least squares with the penalty as further rows."""
    D, largest = penalty(A, free)
    rows = np.vstack([A.numpy(), strength * largest * np.diag(D)])
    right = np.vstack([b.numpy(), np.zeros((A.shape[1], b.shape[1]))])
    return np.linalg.lstsq(rows, right, rcond=None)[0]


@given(st.integers(0, 300), st.integers(1, 9), st.lists(st.integers(0, 300), max_size=3), st.integers(0, 2**31))
@settings(max_examples=60)
def test_the_factor_has_the_gram_matrix_of_all_rows_however_they_came(rows, columns, cuts, seed):
    A = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    edges = sorted({0, rows, *(min(cut, rows) for cut in cuts)})
    blocks = [A[a:b] for a, b in pairwise(edges)] or [A]
    streamed = None
    for block in blocks:
        streamed = triangular_factor(block, streamed)
    together = merged([triangular_factor(block) for block in blocks])
    for factor in (streamed, together):
        assert factor.shape == (columns, columns) and torch.equal(factor, factor.triu())
        torch.testing.assert_close(factor.T @ factor, A.T @ A, rtol=1e-12, atol=1e-11)


def test_many_rows_go_through_in_float64_whatever_they_come_in():
    A = torch.randn(20_000, 3)
    factor = triangular_factor(A)
    torch.testing.assert_close(factor.T @ factor, A.double().T @ A.double(), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("free", [0, 1])
def test_every_strength_is_the_ridge_of_numpy(free):
    A, b = system()
    found = path(A, b, free).weights(STRENGTHS)
    for weights, strength in zip(found, STRENGTHS.tolist(), strict=True):
        np.testing.assert_allclose(weights.numpy(), augmented(A, b, strength, free), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("free", [0, 1])
def test_degrees_of_freedom_by_the_dense_hat_matrix(free):
    A, b = system()
    degrees = path(A, b, free).degrees_of_freedom(STRENGTHS)
    for i, strength in enumerate(STRENGTHS.tolist()):
        hat = A.numpy() @ augmented(A, torch.eye(len(A), dtype=torch.float64), strength, free)
        np.testing.assert_allclose(float(degrees[i]), np.trace(hat), rtol=1e-7)


@pytest.mark.parametrize("free", [0, 1])
def test_evidence_by_the_dense_covariance(free):
    """b = A w + noise: Gaussian with a covariance that is built here entry by entry; contrasts of it where a column
    is free."""
    A, b = system(rows=60)
    strengths = [1.0, 0.1, 1e-2, 1e-4]  # below, the dense covariance is singular
    found = path(A, b, free).evidence(torch.tensor(strengths, dtype=torch.float64))
    D, largest = penalty(A, free)
    basis = np.linalg.qr(A.numpy()[:, :free], mode="complete")[0][:, free:] if free else np.eye(len(A))
    expected = []
    for strength in strengths:
        scaled = basis.T @ A.numpy()[:, free:] / D[free:]
        covariance = np.eye(len(A) - free) + scaled @ scaled.T / (strength * largest) ** 2
        right = basis.T @ b.numpy()
        squares = (right * np.linalg.solve(covariance, right)).sum(0)
        expected.append((len(A) - free) * np.log(squares) + np.linalg.slogdet(covariance)[1])
    differences = found.numpy() - found.numpy()[0]
    np.testing.assert_allclose(differences, np.array(expected) - expected[0], rtol=1e-7, atol=1e-6)


def test_a_polynomial_of_degree_25_where_normal_equations_have_lost_everything():
    """Condition 1e9: squared it is beyond float64, and the fit is right to 13 digits all the same."""
    x = torch.linspace(-1, 1, 2000, dtype=torch.float64)
    A = x[:, None] ** torch.arange(26)
    b = torch.exp(x)[:, None]
    weights = path(A, b).weights(torch.zeros(1, dtype=torch.float64))[0]
    reference = np.polynomial.Polynomial.fit(x.numpy(), b[:, 0].numpy(), 25)(x.numpy())
    np.testing.assert_allclose((A @ weights)[:, 0].numpy(), reference, atol=1e-13)
    normal = torch.linalg.solve(A.T @ A, A.T @ b)
    assert float((A @ normal - b).abs().max()) > 1e-12 > float((A @ weights - b).abs().max())


def test_columns_that_repeat_share_the_least_norm():
    A, b = system(decades=0)
    twice = torch.cat([A, A[:, 3:]], dim=1)
    found = path(twice, b)
    assert found.rank == A.shape[1] and found.condition < 1e3
    D, _ = penalty(twice, 0)
    least = np.linalg.pinv(twice.numpy() / D, rcond=1e-12) @ b.numpy() / D[:, None]
    weights = found.weights(torch.zeros(1, dtype=torch.float64))[0]
    np.testing.assert_allclose(weights.numpy(), least, rtol=1e-9, atol=1e-11)


def test_a_column_of_zeros_gets_no_weight():
    A, b = system(decades=0)
    A[:, 4] = 0
    for free in (0, 1):
        weights = path(A, b, free).weights(STRENGTHS)
        assert weights.isfinite().all() and float(weights[:, 4].abs().max()) < 1e-14
