import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.audit.finite import as_rows, finite_differences

X = torch.linspace(-1.3, 1.7, 31, dtype=torch.float64)


def each(f):
    return lambda distances: torch.stack([f(t) for t in distances])


@given(frequency=st.floats(0.1, 40), phase=st.floats(-3, 3), offset=st.floats(-100, 100))
def test_error_bounds_hold_and_are_sharp(frequency, phase, offset):
    def along(t):
        return offset + torch.sin(frequency * (X + t) + phase)

    first, second = finite_differences(each(along))
    slope = frequency * torch.cos(frequency * X + phase)
    bend = -(frequency**2) * torch.sin(frequency * X + phase)
    assert ((first.value - slope).abs() <= 5 * first.error + 1e-12 * frequency).all()
    assert ((second.value - bend).abs() <= 5 * second.error + 1e-12 * frequency**2).all()
    assert first.error.amax() < 1e-5 * frequency + 1e-9
    assert second.error.amax() < 1e-4 * frequency**2 + 1e-4


def test_polynomial_is_exact_to_rounding():
    first, second = finite_differences(each(lambda t: (X + t) ** 3))
    torch.testing.assert_close(first.value, 3 * X**2, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(second.value, 6 * X, rtol=1e-8, atol=1e-8)


def test_a_kink_at_the_sample_is_no_derivative():
    first, second = finite_differences(each(lambda t: (torch.zeros(1, dtype=torch.float64) + t).abs() + t))
    assert first.error.item() > 0.5  # one side has slope 2, the other 0
    assert second.error.item() > 100


def test_a_jump_of_the_second_derivative_at_the_sample_shows_in_its_error():
    zero = torch.zeros(1, dtype=torch.float64)
    _, second = finite_differences(each(lambda t: torch.nn.functional.elu(zero + t)))
    assert second.error.item() > 0.2  # 0 on the right, 1 on the left


def test_not_a_number_gives_an_infinite_error():
    first, _ = finite_differences(each(lambda t: torch.sqrt(torch.tensor([-1.0, 1.0], dtype=torch.float64) + t)))
    assert first.error.isinf().tolist() == [True, False]
    assert first.value[1].item() == pytest.approx(0.5, rel=1e-9)


def test_float32_says_how_little_it_knows():
    x = X.float()
    first, second = finite_differences(each(lambda t: torch.sin(x + t)))
    assert ((first.value - torch.cos(x)).abs() <= 5 * first.error).all()
    assert 1e-8 < first.error.median() < 1e-2
    assert ((second.value + torch.sin(x)).abs() <= 5 * second.error).all()


def test_as_rows():
    assert as_rows(torch.ones(3)).shape == (3, 1)
    assert as_rows(torch.ones(3, 2, 4)).shape == (3, 8)
