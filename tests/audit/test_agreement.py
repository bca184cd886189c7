import pytest
import torch

import sobolev
from sobolev.audit.agreement import confirmed, mismatch, rms
from sobolev.audit.finite import Estimate, finite_differences

X = torch.linspace(-1, 1, 21, dtype=torch.float64)


def along(distances):
    return torch.stack([torch.sin(3 * (X + t)) for t in distances])


def test_the_right_derivative_agrees():
    first, second = finite_differences(along)
    assert mismatch(3 * torch.cos(3 * X), first, 1, 2.0) is None
    assert mismatch(-9 * torch.sin(3 * X), second, 2, 2.0) is None


@pytest.mark.parametrize("factor", [0, -1, 0.999, 1.28])
def test_a_wrong_one_is_seen_measured_and_confirmed(factor):
    first, _ = finite_differences(along)
    claimed = factor * 3 * torch.cos(3 * X)
    off = mismatch(claimed, first, 1, 2.0)
    assert off is not None
    assert off.relative == pytest.approx(abs(1 - factor), rel=1e-3)
    assert confirmed(off, claimed, along, 1, 2.0)


def test_one_wrong_sample_is_enough():
    first, _ = finite_differences(along)
    claimed = 3 * torch.cos(3 * X)
    claimed[4] += 0.1
    off = mismatch(claimed, first, 1, 2.0)
    assert off is not None
    assert off.rows.nonzero().flatten().tolist() == [4]


def test_what_differences_do_not_know_is_not_held_against_anyone():
    unknown = Estimate(torch.zeros(2, dtype=torch.float64), torch.full((2,), torch.inf, dtype=torch.float64))
    assert mismatch(torch.ones(2, dtype=torch.float64), unknown, 1, 1.0) is None


def test_nan_is_off():
    first, _ = finite_differences(along)
    off = mismatch(torch.full_like(X, torch.nan), first, 1, 2.0)
    assert off is not None
    assert off.rows.all()


def test_chance_is_not_confirmed():
    first, _ = finite_differences(along)
    unlucky = Estimate(first.value + 0.1, first.error)
    claimed = 3 * torch.cos(3 * X)
    off = mismatch(claimed, unlucky, 1, 2.0)
    assert off is not None
    assert not confirmed(off, claimed, along, 1, 2.0)


def test_rms():
    assert rms(torch.tensor([3.0, 4.0])) == pytest.approx(12.5**0.5)
    assert rms(torch.ones(0)) == 0


EVEN = {
    "matern": (lambda x: (1 + 5**0.5 * x.abs() + 5 / 3 * x**2) * torch.exp(-(5**0.5) * x.abs()), -5 / 3),
    "square by hand": (lambda x: torch.sqrt(1 + x.abs() * x.abs()), 1.0),
    "product": (lambda x: x.abs() * torch.tanh(x.abs()), 2.0),
}
"""And their second derivatives at 0."""

GUARDED = {
    "sinc": lambda x: torch.sin(x.abs() + 1e-300) / (x.abs() + 1e-300),
    "tanh": lambda x: torch.tanh(x.abs() + 1e-12) / (x.abs() + 1e-12),
    "clamped": lambda x: torch.sin(x.abs().clamp_min(1e-12)) / x.abs().clamp_min(1e-12),
    "of a root": lambda x: torch.sin((x**2 + 1e-300).sqrt()) / (x**2 + 1e-300).sqrt(),
}
"""Against a division by 0; autograd and Taylor mode see -1, -2, 0 and -1 there, in place of -1/3 and -2/3."""


@pytest.mark.parametrize("middle", [0.0, -2e-17])
@pytest.mark.parametrize("points", [21, 201, 2001])
@pytest.mark.parametrize("name", GUARDED)
def test_a_zero_among_many_points_is_looked_at(name, points, middle):
    """A grid has it, some but for rounding; what is wrong there is not blamed on a backward that nobody wrote."""
    x = torch.linspace(-1, 1, points, dtype=torch.float64)[:, None]
    x[points // 2] = middle
    found = sobolev.audit(GUARDED[name], x)
    assert not found.trustworthy
    own = [finding.message for finding in found.findings if "at 1 of" in finding.message]
    infinite = middle == 0 and name in ("sinc", "of a root")
    assert any("NaN or infinite" in message and "x = 0" in message for message in own) == infinite
    assert infinite or any("has no derivative" in message for message in own)
    assert not any("Write the backward" in finding.message for finding in found.findings)


@pytest.mark.parametrize("points", [3, 21, 201])
@pytest.mark.parametrize("name", EVEN)
def test_steps_below_the_rounding_of_a_function_acquit_nobody(name, points):
    """Near 0 it is 1 but for rounding, or 0 after it: whatever is differenced there looks constant.

    Reverse mode is wrong at 0, and found out; Taylor mode is right.
    """
    f, second = EVEN[name]
    x = torch.linspace(-3, 3, points, dtype=torch.float64)[:, None]
    x[points // 2] = 0
    found = sobolev.audit(f, x, points=points)
    assert (found.method, [finding.kind for finding in found.findings]) == ("taylor", ["once-differentiable"])
    assert sobolev.derivatives(f, x, order=2)[2][points // 2].item() == pytest.approx(second)
