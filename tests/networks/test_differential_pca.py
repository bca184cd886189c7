"""Directions found from gradients, and derivatives in the user's units behind them."""

import pytest
import torch
from cases import quiet_trainer
from torch import nn

import sobolev
from sobolev import MLP, DifferentialPCA, PathsData, Regressor


def plane(directions=1, inputs=6, samples=400):
    """sin(3 u) + v²: of one or two linear combinations of correlated inputs in different units."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(inputs, inputs, generator=generator, dtype=torch.float64)
    x = torch.randn(samples, inputs, generator=generator, dtype=torch.float64) @ mix * 10.0 ** torch.arange(inputs) + 5
    a, b = torch.randn(2, inputs, generator=generator, dtype=torch.float64) / 10.0 ** torch.arange(inputs)
    u, v = x @ a / 10, x @ b / 10
    y, d1 = torch.sin(3 * u), (3 * torch.cos(3 * u))[:, None] * a / 10
    if directions == 2:
        y, d1 = y + v**2, d1 + (2 * v)[:, None] * b / 10
    return x, y[:, None], d1[:, None], (a, b)


def test_the_directions_span_those_of_the_function():
    for count in (1, 2):
        x, y, d1, combinations = plane(count)
        module = DifferentialPCA(MLP(count), count).double().fit(x, y, [d1])
        spanned = (module.axes / module.input_scale).T
        for combination in combinations[:count]:
            found = spanned @ torch.linalg.lstsq(spanned, combination[:, None]).solution
            torch.testing.assert_close(found[:, 0], combination, rtol=1e-8, atol=0)
        reduced = ((x - module.input_mean) / module.input_scale) @ module.axes.T
        torch.testing.assert_close(reduced.std(0, correction=0), torch.ones(count, dtype=torch.float64))


def test_derivatives_are_by_all_inputs_in_the_users_units():
    x, y, d1, _ = plane()
    module = DifferentialPCA(MLP(1, hidden=(8,))).double().fit(x, y, [d1])
    _, J, H = sobolev.hessian(module, x[:20])
    assert J.shape == (20, 1, 6) and H.shape == (20, 1, 6, 6)
    step = 1e-5 * x.std(0)
    for i in range(6):
        move = torch.eye(6, dtype=torch.float64)[i] * step[i]
        with torch.no_grad():
            slope = (module(x[:20] + move) - module(x[:20] - move)) / (2 * step[i])
        torch.testing.assert_close(J[:, :, i], slope, rtol=1e-6, atol=1e-8 * float(slope.abs().max()))
    torch.testing.assert_close(H, sobolev.hessian(module, x[:20], method="reverse")[2], rtol=1e-8, atol=0)


def test_a_function_of_more_directions_is_refused_with_their_number():
    x, y, d1, _ = plane(2)
    with pytest.raises(ValueError, match=r"1 components would cut off [\d.]+% of the squared gradients.* to 2"):
        DifferentialPCA(MLP(1)).fit(x, y, [d1])
    assert DifferentialPCA(MLP(1), tolerance=1.0).fit(x, y, [d1]).fitted


def test_gradients_are_needed():
    x, y, d1, _ = plane()
    with pytest.raises(ValueError, match="needs gradient labels"):
        DifferentialPCA(MLP(1)).fit(x, y)
    with pytest.raises(ValueError, match="finds no 1 directions"):
        DifferentialPCA(MLP(1)).fit(x, y, [torch.zeros_like(d1)])
    with pytest.raises(ValueError, match="call fit"):
        DifferentialPCA(MLP(1))(x)


def test_rows_without_a_label_do_not_count():
    x, y, d1, _ = plane()
    expected = DifferentialPCA(MLP(1)).fit(x[:300], y[:300], [d1[:300]]).axes
    d1[300:] = torch.nan
    moved = DifferentialPCA(MLP(1)).fit(x, y, [d1]).axes
    assert torch.nn.functional.cosine_similarity(moved, expected).abs() > 0.9


def test_the_network_must_have_as_many_inputs():
    with pytest.raises(ValueError, match=r"keeps 2 components.*give it MLP\(inputs=2\)"):
        DifferentialPCA(MLP(3), components=2)
    DifferentialPCA(nn.Linear(2, 1), components=2)


def test_a_checkpoint_brings_the_directions_back(tmp_path):
    data = PathsData(assets=4, samples=300, validation_samples=20, test_samples=20)
    module, fresh = (DifferentialPCA(MLP(1, hidden=(8,), activation="softplus")) for _ in range(2))
    module = Regressor(module)
    trainer = quiet_trainer(tmp_path, max_epochs=2)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = Regressor.load_from_checkpoint(tmp_path / "a.ckpt", network=fresh)
    x = data.test.inputs.float()
    assert torch.equal(again(x), module(x))
    assert type(again.network) is DifferentialPCA
