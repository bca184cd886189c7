"""Accounts of errors whose sizes are known."""

import pytest
import torch

from sobolev.estimates.weighing import Account, weighed


def normal(rows, seed=0):
    return torch.randn(rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_factor_is_found_where_residuals_show_it():
    variances = torch.linspace(1, 9, 400, dtype=torch.float64)
    squares = 16 * variances * normal(400).square()
    levels, shares = weighed(squares, [Account(variances, 0.0)])
    assert float(levels) == pytest.approx(16, rel=0.35)  # a little more, as errors mostly have longer tails
    assert float(shares) == 1


def test_the_account_that_knows_where_errors_are_large_is_believed():
    variances = torch.logspace(-4, 0, 60, dtype=torch.float64)
    squares = variances * normal(60).square()
    flat = torch.full_like(variances, float(variances.mean()))
    _, shares = weighed(squares, [Account(flat, 0.0), Account(variances, 0.0)])
    assert shares[1] > 0.99


def test_noise_hides_the_errors_and_nothing_is_learnt_of_them():
    variances = torch.full((100,), 1e-4, dtype=torch.float64)
    squares = (normal(100) + 1e-2 * normal(100, 1)).square()
    levels, shares = weighed(squares, [Account(variances, 1.0), Account(4 * variances, 1.0)])
    assert levels.log().tolist() == pytest.approx([0.0, 0.0], abs=0.1)
    assert shares.tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_errors_far_above_the_noise_are_no_noise():
    squares = normal(50).square()
    levels, _ = weighed(squares, [Account(torch.full_like(squares, 1e-2), 1e-4)])
    assert float(levels) == pytest.approx(100, rel=0.5)


def test_one_row_that_lies_far_out_changes_little():
    squares = normal(30).square()
    account = Account(torch.ones_like(squares), 0.0)
    alone = weighed(squares, [account])[0]
    squares[0] = 1e4
    assert float(weighed(squares, [account])[0] / alone) < 1.5


def test_without_rows_nothing_is_learnt():
    none = torch.zeros(0, dtype=torch.float64)
    levels, shares = weighed(none, [Account(none, 0.0), Account(none, 0.0)])
    assert levels.log().tolist() == pytest.approx([0.0, 0.0], abs=0.05)
    assert shares.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
