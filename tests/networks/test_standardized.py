import pytest
import torch
from torch import nn

import sobolev
from sobolev import MLP, Standardized


def test_standardised_derivatives_are_in_the_users_units():
    """With the identity inside, the network is the straight line through the data's scales."""
    pressure = torch.linspace(9e4, 1.1e5, 101, dtype=torch.float64).reshape(-1, 1)
    network = Standardized(nn.Identity()).double().fit(pressure, 3e-6 * pressure + 7)
    y, slope, curvature = sobolev.derivatives(network, pressure)
    torch.testing.assert_close(y, 3e-6 * pressure + 7)
    torch.testing.assert_close(slope, torch.full_like(slope, 3e-6))
    assert (curvature == 0).all()


def test_standardised_inputs_and_outputs_have_mean_0_and_deviation_1():
    x = torch.rand(1000, 2, dtype=torch.float64) * torch.tensor([1e5, 1e-3]) + torch.tensor([1e6, 2.0])
    network = Standardized(nn.Identity()).double().fit(x, x)
    inside = (x - network.input_mean) / network.input_scale
    torch.testing.assert_close(inside.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(inside.std(0, correction=0), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.0, 0.1, 101325.0])
def test_a_constant_column_is_only_shifted(value):
    column = torch.full((100, 1), value)
    network = Standardized(nn.Identity()).fit(column, column)
    assert network.input_scale.item() == 1 and network(column).allclose(column)


def test_a_fresh_module_loads_the_scales_of_any_number_of_inputs():
    saved = Standardized(MLP(3, 2)).fit(torch.rand(10, 3), torch.rand(10, 2))
    loaded = Standardized(MLP(3, 2))
    loaded.load_state_dict(saved.state_dict())
    x = torch.rand(4, 3)
    assert loaded.fitted and torch.equal(loaded(x), saved(x))


def test_one_output_is_not_spread_over_several_columns():
    x = torch.rand(20, 1)
    network = Standardized(torch.nn.Linear(1, 1)).fit(x, torch.cat([x, x**2], 1))
    with pytest.raises(ValueError, match=r"returns shape \(20, 1\), but the data have 2 outputs"):
        network(x)
