import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.networks.scales import component_scales, output_spread


def sample(seed=0, rows=200):
    """Values, gradient and Hessian of y = a + 3 a b, with a in thousands and b in thousandths."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, 2, dtype=torch.float64, generator=generator) * torch.tensor([1e3, 1e-3]).double()
    a, b = x.T
    d1 = torch.stack([1 + 3 * b, 3 * a], 1)[:, None]
    d2 = torch.tensor([[0.0, 3.0], [3.0, 0.0]]).double().expand(rows, 1, 2, 2)
    return x, (a + 3 * a * b)[:, None], d1, d2


def test_values_by_deviation_and_derivatives_by_rms():
    x, y, d1, _ = sample()
    value, gradient = component_scales(x, y, [d1])
    assert value.numpy() == pytest.approx(np.std(y.numpy(), axis=0))
    assert gradient[0, 0].item() == pytest.approx(np.sqrt(np.mean(d1[:, 0, 0].numpy() ** 2)))


def test_a_derivative_that_is_zero_takes_a_part_of_the_average_of_its_order():
    """Of the four entries of the Hessian two are 0: in units of the spreads the average is that of 0, h, h, 0."""
    x, y, d1, d2 = sample()
    a, b = x.std(0, correction=0)
    *_, hessian = component_scales(x, y, [d1, 1000 * d2])
    assert hessian[0, 0, 1].item() == pytest.approx(3000.0)
    assert hessian[0, 0, 0].item() == pytest.approx((0.3 * 3000 * b / a / 2**0.5).item())


def test_an_order_that_is_zero_everywhere_takes_a_part_of_its_natural_unit():
    x, y, d1, d2 = sample()
    *_, hessian = component_scales(x, y, [d1, 0 * d2])
    natural = y.std(correction=0) / x[:, 0].std(correction=0) ** 2
    assert hessian[0, 0, 0].item() == pytest.approx(0.03 * natural.item())


def test_nothing_without_a_label_has_a_scale():
    x, y, d1, d2 = sample()
    d1, d2 = d1.clone(), d2 * torch.nan
    d1[:, 0, 1] = torch.nan
    value, gradient, hessian = component_scales(x, y, [d1, d2])
    assert value.isfinite().all() and hessian.isinf().all()
    assert gradient.isfinite().tolist() == [[True, False]]


def test_gaps_do_not_count():
    x, y, d1, _ = sample()
    keep = torch.arange(len(x)) % 3 == 0
    gaps = [torch.where(keep.reshape(-1, *(1,) * (t.dim() - 1)), t, torch.nan) for t in (y, d1)]
    spread = y[keep].std(correction=0)
    value, gradient = component_scales(x, gaps[0], gaps[1:])
    assert value.item() == pytest.approx(spread.item())
    assert gradient[0, 0].item() == pytest.approx(d1[keep][:, 0, 0].square().mean().sqrt().item())


def test_without_values_the_derivatives_say_how_much_the_output_varies():
    """Exact for a linear function of independent inputs."""
    x = torch.randn(20000, 2).double() * torch.tensor([2.0, 5.0])
    d1 = torch.tensor([[[3.0, -1.0]]]).double().expand(len(x), 1, 2)
    y = x @ d1[0].T
    assert output_spread(x, y * torch.nan, [d1]).item() == pytest.approx(y.std().item(), rel=0.03)


def test_constants_have_the_scale_one():
    x, y = torch.rand(10, 2), torch.full((10, 1), 5.0)
    assert component_scales(x, y)[0].item() == 1


@given(st.floats(-8, 8), st.floats(-8, 8))
def test_units_of_inputs_and_output_go_through(log_x, log_y):
    """In other units the scaled labels are the same."""
    x, y, d1, d2 = sample()
    a, b = 10.0**log_x, 10.0**log_y
    usual = component_scales(x, y, [d1, d2])
    other = component_scales(a * x, b * y, [b / a * d1, b / a**2 * d2])
    for k in range(3):
        torch.testing.assert_close(other[k], usual[k] * b / a**k, rtol=1e-9, atol=0)
