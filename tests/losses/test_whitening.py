"""Joint weights of the entries of a gradient."""

import pytest
import torch

from sobolev import MLP, PathsData, Regressor
from sobolev.losses.sobolev_loss import SobolevLoss
from sobolev.losses.whitening import gradient_whitening


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ones(*shape):
    return torch.ones(*shape, dtype=torch.float64)


def test_collinear_gradients_weigh_as_before_along_and_11_times_as_much_across():
    direction = torch.nn.functional.normalize(ones(4), dim=0)
    labels = normal(500, 1, 1) * direction
    W = gradient_whitening([labels], ones(1, 4))
    across = torch.tensor([1.0, -1, 0, 0], dtype=torch.float64) / 2**0.5
    assert (W @ direction).square().sum() == pytest.approx(1)
    assert (W @ across).square().sum() == pytest.approx(11)


def test_gradients_that_point_everywhere_alike_are_left_alone():
    """Rows ±e_j: the matrix of second moments is a multiple of the identity."""
    labels = torch.cat([torch.eye(5), -torch.eye(5)]).double()[:, None] * 5**0.5
    torch.testing.assert_close(gradient_whitening([labels], ones(1, 5)), torch.eye(5).double())


def test_the_labels_weigh_as_much_as_before():
    mix = normal(6, 6, seed=1)
    labels, scale = (normal(300, 6) @ mix).reshape(300, 2, 3), normal(2, 3, seed=2).abs() + 0.1
    rows = (labels / scale).flatten(1)
    W = gradient_whitening([labels], scale)
    assert (rows @ W).square().sum() == pytest.approx(float(rows.square().sum()))


def test_a_missing_entry_is_refused():
    labels = normal(10, 1, 3)
    labels[4, 0, 1] = torch.nan
    for given in ([labels], []):
        with pytest.raises(ValueError, match="use 'separate'"):
            gradient_whitening(given, ones(1, 3))


def test_the_loss_is_the_quadratic_form():
    """By hand for a linear model: value part 1 / (1 + n), gradient part the mean over samples of |W e|² / (1 + n)."""
    x, y, d1 = normal(40, 3), normal(40, 1, seed=1), normal(40, 1, 3, seed=2)
    loss = SobolevLoss(gradient_weights="joint")
    loss.double().fit(x, y, [d1])
    weight = normal(3, seed=3)
    parts = loss(lambda x: x @ weight[:, None], x, (y, d1))
    scale = d1.square().mean(0).sqrt()
    W = gradient_whitening([d1], scale)
    gradient = (((weight - d1[:, 0]) / scale) @ W).square().sum(1).mean()
    value = ((x @ weight - y[:, 0]) / y.std(correction=0)).square().mean()
    assert float(parts.total()) == pytest.approx(float((value + gradient) / 4))


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="gradient_weights is 'full'; choose 'separate', 'joint'"):
        Regressor(MLP(), gradient_weights="full")


def test_it_takes_noise_out_of_the_fit_to_a_basket(tmp_path):
    """The gradient found from the same simulated labels is nearer to the closed form's."""
    from cases import quiet_trainer

    errors = {}
    for weights in ("separate", "joint"):
        torch.manual_seed(0)
        data = PathsData(assets=10, samples=1024, batch_size=64, seed=7, validation_samples=10)
        module = Regressor(MLP(10, hidden=(20, 20), activation="softplus"), gradient_weights=weights)
        trainer = quiet_trainer(tmp_path, max_epochs=60, limit_val_batches=0)
        trainer.fit(module, datamodule=data)
        x = data.test.inputs.float().requires_grad_()
        (gradient,) = torch.autograd.grad(module(x).sum(), x)
        errors[weights] = (gradient - data.test.labels[0][:, 0]).norm().item()
    assert errors["joint"] < 0.9 * errors["separate"], errors
