import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import sobolev
from sobolev.losses.sobolev_loss import SobolevLoss, scaled_squared_error
from sobolev.networks.scales import component_scales


@pytest.mark.parametrize("scale", [1.0, 2.5, torch.tensor([0.5, 4.0])])
def test_agrees_with_numpy(scale):
    predicted, target = torch.randn(20, 2, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    expected = np.mean(((predicted.numpy() - target.numpy()) / np.asarray(scale)) ** 2)
    assert scaled_squared_error(predicted, target, scale).item() == pytest.approx(expected, rel=1e-14)


@given(st.integers(-60, 60))
def test_a_power_of_two_as_unit_changes_no_digit(power):
    """Values, scale and unit together: the loss and its gradient do not know the unit."""
    unit = 2.0**power
    predicted, target = torch.randn(8, 1, requires_grad=True), torch.randn(8, 1)
    plain = scaled_squared_error(predicted, target, 3.0)
    scaled = scaled_squared_error(unit * predicted, unit * target, 3.0 * unit)
    assert torch.equal(plain, scaled)
    assert torch.equal(torch.autograd.grad(plain, predicted)[0], torch.autograd.grad(scaled, predicted)[0])


# Derivatives


def labelled(samples=7, outputs=2, inputs=3, missing=0.2):
    """Points and labels of orders 0, 1, 2 with gaps; the Hessians are symmetric."""
    x = torch.randn(samples, inputs, dtype=torch.float64)
    y, d1 = torch.randn(samples, outputs).double(), torch.randn(samples, outputs, inputs).double() * 5
    d2 = torch.randn(samples, outputs, inputs, inputs).double()
    d2 = d2 + d2.mT
    gaps = torch.rand(d2.shape) < missing
    labels = [y, d1, d2.masked_fill(gaps | gaps.mT, torch.nan)]
    return x, [
        label.masked_fill(torch.rand(label.shape) < missing, torch.nan) if k < 2 else label
        for k, label in enumerate(labels)
    ]


def by_hand(predicted, labels, scales):
    """Component by component, in plain loops: a mean of means over the labels that are there."""
    total, weights = 0.0, 0.0
    for p, label, scale in zip(predicted, labels, scales, strict=True):
        for place in np.ndindex(*scale.shape):
            there = ~np.isnan(label[:, *place])
            if there.any() and np.isfinite(scale[place]):
                total += np.mean(((p[:, *place] - label[:, *place])[there] / scale[place]) ** 2)
                weights += 1
    return total / weights if weights else 0.0


def network(inputs=3, outputs=2):
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs)).double()


def fitted(x, labels, **options):
    loss = SobolevLoss(**options).double()
    loss.fit(x, labels[0], labels[1:])
    return loss


@given(
    st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2), st.floats(0, 0.9), st.integers(0, 99)
)
@settings(max_examples=25)
def test_the_loss_is_the_mean_over_all_components(samples, outputs, inputs, order, missing, seed):
    torch.manual_seed(seed)
    x, labels = labelled(samples, outputs, inputs, missing)
    labels = labels[: order + 1]
    labels[0][0, 0] = 1.0
    labels[0][-1, -1] = torch.nan  # a plain loss would be NaN
    loss, net = fitted(x, labels), network(inputs, outputs)
    predicted = [t.detach().numpy() for t in (net(x), *sobolev.hessian(net, x, method="reverse")[1:])]
    scales = [scale.numpy() for scale in component_scales(x, labels[0], labels[1:])]
    expected = by_hand(predicted[: order + 1], [label.numpy() for label in labels], scales)
    assert loss(net, x, labels).total().item() == pytest.approx(expected, rel=1e-10)


def test_the_weights_are_those_of_differential_machine_learning():
    """Huge & Savine: 1 / (1 + n) for the value, n / (1 + n) for the gradient in units of its RMS."""
    n, (x, (y, d1, _)) = 4, labelled(20, 1, 4, missing=0.0)
    net = network(4, 1)
    value, gradient = sobolev.jacobian(net, x)
    rms = d1.square().mean(0).sqrt()
    expected = (((value - y) / y.std(correction=0)) ** 2).mean() / (1 + n)
    expected = expected + (((gradient - d1) / rms) ** 2).mean() * n / (1 + n)
    torch.testing.assert_close(fitted(x, [y, d1])(net, x, [y, d1]).total(), expected)


@pytest.mark.parametrize(
    ("inputs", "outputs", "order", "options"),
    [
        (3, 2, 2, {}),
        (9, 1, 1, {}),  # gradients by reverse mode
        (3, 2, 2, {"second_order": "diagonal"}),
        (3, 2, 2, {"second_order": "random"}),
        (3, 2, 2, {"second_order": "random", "first_order": "random"}),
        (3, 2, 1, {"first_order": "random"}),
    ],
)
def test_the_gradient_is_that_of_finite_differences(inputs, outputs, order, options):
    x, labels = labelled(7, outputs, inputs)
    labels = labels[: order + 1]
    net = nn.Sequential(nn.Linear(inputs, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, outputs)).double()
    loss = fitted(x, labels, **options)
    loss(net, x, labels, seed=3).total().backward()
    for parameter in net.parameters():
        for i in range(parameter.numel()):
            entry, step = parameter.data.view(-1)[i : i + 1], 1e-4
            there = entry.clone()
            values = []
            for shift in (-2, -1, 1, 2):
                entry.copy_(there + shift * step)
                values.append(loss(net, x, labels, seed=3).total().item())
            entry.copy_(there)
            slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
            assert parameter.grad.view(-1)[i].item() == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("order", "options"),
    [
        (1, {"first_order": "random"}),
        (2, {"second_order": "random"}),
        (2, {"first_order": "random", "second_order": "random"}),
    ],
)
def test_all_outputs_and_columns_in_turn_make_up_the_full_loss(order, options):
    """Each of 4 points twelve times, for 2 outputs and 2 or 3 columns; the labels lack an output and a column."""
    x, labels = labelled(4, 2, 3, missing=0.0)
    labels[1][:, 1, 2] = torch.nan
    labels[2][..., 1] = torch.nan
    labels = labels[: order + 1]
    full = fitted(x, labels, first_order="full", second_order="full")
    part = fitted(x, labels, **options)
    many = [tensor.repeat_interleave(12, 0) for tensor in (x, *labels)]
    net = network()
    torch.testing.assert_close(part(net, many[0], many[1:]).total(), full(net, x, labels).total())


def test_random_columns_differ_from_step_to_step_and_agree_in_the_mean():
    x, labels = labelled(40, 1, 5, missing=0.0)
    net, loss = network(5, 1), fitted(x, labels, second_order="random")
    with torch.no_grad():
        drawn = torch.stack([loss(net, x, labels, seed=seed).total() for seed in range(100)])
        again = loss(net, x, labels, seed=0).total()
        expected = fitted(x, labels)(net, x, labels).total()
    assert again == drawn[0] and drawn.std() > 0
    assert abs(drawn.mean() - expected) < 4 * drawn.std() / 10


@pytest.mark.parametrize(("inputs", "kind"), [(10, (10, 100)), (11, (11, 11))])
def test_beyond_ten_inputs_one_column_of_the_hessian_is_enough(inputs, kind):
    x, labels = labelled(4, 1, inputs, missing=0.0)
    assert fitted(x, labels)(network(inputs, 1), x, labels).sizes == (1, *kind)


def test_each_order_has_a_part_and_the_total_is_their_weighted_mean():
    x, labels = labelled(50, 1, 2, missing=0.0)
    loss, net = fitted(x, labels), network(2, 1)
    parts = loss(net, x, labels)
    d0, d1, d2 = parts.orders().values()
    torch.testing.assert_close(parts.total(), (d0 + 2 * d1 + 4 * d2) / 7)


def test_a_label_of_another_shape_is_explained():
    x, (y, d1, _) = labelled(5, 1, 3)
    with pytest.raises(ValueError, match=r"item 3 .*\(5, 2\).*order 1 have \(5, 1, 3\).*derivative_order=0"):
        fitted(x, [y, d1])(network(3, 1), x, [y, d1[:, 0, :2]])


@pytest.mark.parametrize("options", [{"derivative_order": 3}, {"first_order": "diagonal"}, {"second_order": "some"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        SobolevLoss(**options)


def test_only_the_diagonal_has_labels():
    """Then only that is computed; the loss is the same as with the full Hessian."""
    x, (y, d1, d2) = labelled(9, 2, 3, missing=0.0)
    d2 = torch.where(torch.eye(3, dtype=torch.bool), d2, torch.nan)
    net = network()
    auto, full = fitted(x, [y, d1, d2]), fitted(x, [y, d1, d2], second_order="full")
    torch.testing.assert_close(auto(net, x, [y, d1, d2]).total(), full(net, x, [y, d1, d2]).total())
    assert auto(net, x, [y, d1, d2]).sizes == (2, 6, 6) and full(net, x, [y, d1, d2]).sizes == (2, 6, 18)


def test_without_any_value_every_parameter_has_a_gradient():
    """The last bias gets zeros: processes that average gradients need one of every parameter."""
    x, (y, d1, d2) = labelled(missing=0.0)
    net = network()
    fitted(x, [y * torch.nan, d1, d2])(net, x, [y * torch.nan, d1, d2]).total().backward()
    assert (net[2].bias.grad == 0).all() and (net[0].weight.grad != 0).all()
