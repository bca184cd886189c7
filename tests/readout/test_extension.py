"""More features than were trained: better where there is something to learn, never worse, kept in checkpoints."""

import os
import subprocess
import sys

import pytest
import torch
from cases import environment
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

import sobolev
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.surrogate import Surrogate
from sobolev.readout import extension, solve_readout
from sobolev.readout.extension import extensible, solve_extended
from sobolev.surrogates.polynomials import Polynomials
from sobolev.surrogates.search import Stage


def drawn(count, seed, function="sin(x)*cos(y)", order=0):
    x = 6 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 3
    return [x, *sobolev.Function(function).tensors(x, order)]


def perceptron(rows, **arguments):
    torch.manual_seed(0)
    network = sobolev.Standardized(sobolev.MLP(2, hidden=(8, 8), **arguments)).double()
    return network.fit(rows[0], rows[1])


@pytest.fixture(autouse=True)
def short_search(monkeypatch):
    """Polynomials of few terms, in the place of all families."""

    def search(labels):
        family = Polynomials(labels.x.shape[1], terms=120, rounds=1)
        family.learn(labels[:300])
        fit = family.fit(labels)
        yield Stage("polynomials", fit.evidence, float(fit.noise.mean()), None, ((1.0, fit),))

    monkeypatch.setattr(extension, "search", search)


def extended(network, training, held_out):
    rows = (lambda: [training], lambda: [held_out])
    before = solve_readout(network, *rows)
    return before, solve_extended(network, before, *rows)


@pytest.mark.parametrize(("activation", "order", "count"), [("silu", 0, 2000), ("tanh", 1, 1000)])
def test_a_smooth_function_gets_many_more_digits(activation, order, count):
    training, held_out = drawn(count, 0, order=order), drawn(300, 1, order=order)
    network = perceptron(training, activation=activation)
    before, result = extended(network, training, held_out)
    x = drawn(200, 2)[0]
    truth = sobolev.Function("sin(x)*cos(y)").tensors(x, 2)[2]
    assert (sobolev.hessian(network, x)[2] - truth).norm() < 1e-4 * truth.norm()
    assert before.after[0] > 1e-3
    assert max(result.after) < 1e-6
    assert result.changed and result.before == before.before
    assert isinstance(network.get_submodule(result.layer), torch.nn.Linear)


def test_features_of_the_evidence_join():
    """A polynomial of five inputs, with a gap in its values."""
    x = 2 * torch.rand(1300, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    y = (x[:, :1] + x[:, 1:2] * x[:, 2:3]) * x[:, 3:4]
    y[5] = torch.nan
    torch.manual_seed(0)
    network = sobolev.Standardized(sobolev.MLP(5, hidden=(8,))).double().fit(x, y)
    before, result = extended(network, [x[:1000], y[:1000]], [x[1000:], y[1000:]])
    assert result.after[0] < 0.1 * before.after[0]
    assert str(result.features) in str(result)
    assert {type(part) for part in network.network.features} >= {ChebyshevFeatures}


def test_what_is_exact_or_no_perceptron_stays():
    training, held_out = drawn(600, 0), drawn(100, 1)
    network = perceptron(training)
    with torch.no_grad():
        training[1], held_out[1] = network(training[0]), network(held_out[0])
    before, result = extended(network, training, held_out)
    assert result is before
    assert type(network.network) is sobolev.MLP
    assert extensible(torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)), "2") is None
    assert extensible(perceptron(training, output_activation="tanh"), "network.4") is None


def test_noise_makes_nothing_worse():
    generator = torch.Generator().manual_seed(0)
    training, held_out = drawn(400, 0), drawn(400, 1)
    for rows in (training, held_out):
        rows[1] = rows[1] + torch.randn(rows[1].shape, generator=generator, dtype=torch.float64)
    network = perceptron(training)
    before, result = extended(network, training, held_out)
    assert result.after[0] <= before.after[0]
    x, truth = drawn(500, 2)
    with torch.no_grad():
        assert (network(x) - truth).square().mean() < truth.var()


def test_a_checkpoint_brings_the_features_back_and_is_finished(tmp_path):
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    rows = [DataLoader(TensorDataset(*drawn(count, seed)), batch_size=100) for count, seed in ((1500, 0), (200, 1))]

    def regressor():
        return sobolev.Regressor(sobolev.MLP(2, hidden=(8, 8))).double()

    readout = sobolev.LeastSquaresReadout("float64", evidence=True)
    trainer = Trainer(max_epochs=2, enable_checkpointing=False, callbacks=[readout], **options)
    module = regressor()
    trainer.fit(module, *rows)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    assert isinstance(module.network.network, Surrogate)
    assert readout.result.after[0] < 1e-6
    assert trainer.callback_metrics["val/loss"] < 1e-12  # validated with what it has become
    again = sobolev.Regressor.load_from_checkpoint(tmp_path / "kept.ckpt")
    x = drawn(100, 2)[0]
    assert torch.equal(again(x), module(x))
    with pytest.raises(ValueError, match="this network is finished"):
        Trainer(max_epochs=3, enable_checkpointing=False, **options).fit(
            regressor(), *rows, ckpt_path=tmp_path / "kept.ckpt", weights_only=True
        )


def test_curvature_is_not_paid_with_for_values():
    """A rounded kink, then more features: nearer to the kink, and bent in all places."""
    training, held_out = drawn(2000, 0, "abs(x-y)"), drawn(500, 1, "abs(x-y)")
    network = sobolev.Standardized(sobolev.MLP(2, hidden=(2,), activation="softplus")).double().fit(*training)
    width = 0.4 * network.output_scale  # softplus(u) + softplus(-u) is |u|, rounded
    with torch.no_grad():
        first, last = network.network[0], network.network[2]
        first.weight.copy_(torch.tensor([[1.0], [-1.0]]) * torch.tensor([1.0, -1.0]) * network.input_scale / width)
        first.bias.copy_((first.weight / network.input_scale) @ network.input_mean)
        last.weight.copy_((width / network.output_scale).expand(1, 2))
        last.bias.copy_(-network.output_mean / network.output_scale)
    before, result = extended(network, training, held_out)
    x = drawn(500, 2)[0]
    assert type(network.network) is sobolev.MLP
    assert result.after == before.after
    assert "kink" in str(result) and "not taken" in str(result)
    assert sobolev.hessian(network, x)[2].square().mean().sqrt() < 2


def test_a_function_that_oscillates_faster_and_faster():
    formula = "sin(2*x**2)*cos(y)"
    training, held_out = drawn(3000, 0, formula), drawn(300, 1, formula)
    network = perceptron(training)
    before, result = extended(network, training, held_out)
    assert before.after[0] > 0.3 > 1e-3 > result.after[0]
    x, _, _, truth = drawn(200, 2, formula, order=2)
    assert (sobolev.hessian(network, x)[2] - truth).norm() < 1e-2 * truth.norm()


def test_what_many_rows_do_not_teach_is_said():
    noise = [torch.randn(count, 3, generator=torch.Generator().manual_seed(count)) for count in (300, 100)]
    rows = [DataLoader(TensorDataset(part[:, :2], part[:, 2:]), batch_size=100) for part in noise]
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    readout = sobolev.LeastSquaresReadout("float64", evidence=True)
    trainer = Trainer(max_epochs=1, enable_checkpointing=False, callbacks=[readout], **options)
    with pytest.warns(UserWarning, match=r"explains \d+% of the variance of held-out rows: give more"):
        trainer.fit(sobolev.Regressor(sobolev.MLP(2, hidden=(8, 8))), *rows)


TWO = """
import sys, torch, warnings
warnings.simplefilter("ignore")
from lightning.pytorch import Trainer
from sobolev import MLP, FunctionData, LeastSquaresReadout, Regressor, hessian

devices, folder = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
readout = LeastSquaresReadout("float64", evidence=True)
module = Regressor(MLP(2, 2, hidden=(8, 8)), optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
data = FunctionData("sin(7*x)*cos(5*y), x*y+cos(9*y)", (-2, 2), samples=601, validation_samples=203, batch_size=50)
strategy = {"strategy": "ddp", "devices": devices} if devices > 1 else {"devices": 1}
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[readout], default_root_dir=folder, **quiet, **strategy)
trainer.fit(module, datamodule=data)
derivatives = hessian(module, torch.rand(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
torch.save({"weights": module.state_dict(), "features": readout.result.features, "after": readout.result.after,
            "derivatives": derivatives}, f"{folder}/{devices}-{trainer.global_rank}.pt")
if devices > 1:
    torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
def test_two_processes_find_what_one_finds(tmp_path):
    """Of two outputs that oscillate; both processes have the very same weights, as those of the first are taken."""
    (tmp_path / "two.py").write_text(TWO)
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, "two.py", str(devices), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True,
            timeout=200, env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", "")),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, first, second = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("1-0", "2-0", "2-1"))
    assert all(torch.equal(second["weights"][name], value) for name, value in first["weights"].items())
    for a, b in zip(one["derivatives"], first["derivatives"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert one["features"] == first["features"] > 0
    assert max(one["after"]) < 1e-9
