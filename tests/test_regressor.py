import pickle

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sobolev
from sobolev import MLP, FunctionData, Regressor, Standardized
from sobolev.regressor import CosineToZero


def train(module, data, **options):
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    trainer = Trainer(accelerator="cpu", devices=1, **{**quiet, "max_epochs": 2, **options})
    if isinstance(data, DataLoader):
        trainer.fit(module, data)
    else:
        trainer.fit(module, datamodule=data)
    return trainer


def small_data(**options):
    return FunctionData("x**2", samples=500, validation_samples=50, test_samples=50, **options)


def test_scales_come_from_the_training_data_before_the_first_step():
    data, module = small_data(), Regressor(MLP(hidden=(8,)))
    train(module, data)
    torch.testing.assert_close(module.network.input_mean.double(), data.training_inputs.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        module.network.output_scale.double(), data.training_targets.std(0, correction=0), rtol=1e-6, atol=0
    )


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_scales_come_from_any_dataloader():
    x = torch.rand(64, 2) * 1000
    module = Regressor(MLP(2, hidden=(8,)))
    train(module, DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16))
    torch.testing.assert_close(module.network.input_mean, x.mean(0))


def test_the_learning_rate_ends_at_zero():
    module = Regressor(MLP(hidden=(8,)))
    trainer = train(module, small_data(batch_size=100), max_epochs=3)
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    assert isinstance(scheduler, CosineToZero) and scheduler.T_max == 15
    assert scheduler.get_last_lr() == [pytest.approx(0, abs=1e-12)]


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_the_unit_of_the_output_does_not_matter(unit):
    """The same training, bit for bit up to rounding: the loss is free of units."""
    torch.manual_seed(0)
    module = Regressor(MLP(hidden=(8,)))
    train(module, FunctionData(lambda x: unit * x.square(), samples=500, validation_samples=50, test_samples=50))
    torch.manual_seed(0)
    usual = Regressor(MLP(hidden=(8,)))
    train(usual, small_data())
    x = torch.linspace(-50, 50, 11).reshape(-1, 1)
    torch.testing.assert_close(module(x) / unit, usual(x), rtol=1e-2, atol=20)


def test_a_plateau_scheduler_follows_the_validation_loss():
    module = Regressor(MLP(hidden=(8,)), scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
    train(module, small_data())


def test_a_checkpoint_gives_the_derivatives_back(tmp_path):
    module = Regressor(MLP(hidden=(8, 4), activation="tanh"))
    trainer = train(module, small_data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = Regressor.load_from_checkpoint(tmp_path / "a.ckpt")
    assert not loaded.training
    x = torch.linspace(-50, 50, 7).reshape(-1, 1)
    for again, before in zip(sobolev.derivatives(loaded, x), sobolev.derivatives(module, x), strict=True):
        assert torch.equal(again, before)


def test_a_network_of_ones_own_is_given_again(tmp_path):
    network = nn.Linear(1, 1)
    trainer = train(Regressor(network), small_data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = Regressor.load_from_checkpoint(tmp_path / "a.ckpt", network=nn.Linear(1, 1))
    assert isinstance(loaded.network, Standardized)
    assert torch.equal(loaded.network.network.weight, network.weight)


class Harmful:
    def __reduce__(self):
        return (print, ("this must not be printed",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_could_run_code_is_refused(tmp_path, capsys):
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"state_dict": Harmful()}))
    torch.save({"state_dict": Harmful()}, tmp_path / "evil2.ckpt")
    for name in ("evil.ckpt", "evil2.ckpt"):
        with pytest.raises(ValueError, match=f"{name} is refused"):
            Regressor.load_from_checkpoint(tmp_path / name)
    assert "must not" not in capsys.readouterr().out


# Derivative labels


def test_derivative_labels_are_used_and_help():
    errors = []
    for order in (0, 1, 2):
        torch.manual_seed(0)
        data, module = small_data(derivative_order=order, batch_size=50), Regressor(MLP(hidden=(16,)))
        trainer = train(module, data, max_epochs=20)
        logged = {name for name in trainer.callback_metrics if name.startswith("val/d")}
        assert logged == ({f"val/d{k}_loss" for k in range(order + 1)} if order else set())
        x = data.test_points.float()
        errors.append((sobolev.derivatives(module, x)[2] - 2).square().mean().sqrt().item())
    assert errors[0] > errors[1] > 1.5 * errors[2], errors


@pytest.mark.parametrize("order", [0, 1])
def test_labels_above_derivative_order_change_nothing(order):
    weights = []
    for labels, limit in ((order, None), (2, order)):
        torch.manual_seed(0)
        module = Regressor(MLP(hidden=(8,)), derivative_order=limit)
        train(module, small_data(derivative_order=labels))
        weights.append(module.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_scales_of_labels_are_fitted_once_and_kept_in_the_checkpoint(tmp_path):
    data, module = small_data(derivative_order=2), Regressor(MLP(hidden=(8,)))
    trainer = train(module, data)
    rms = [label.square().mean(0).sqrt().float() for label in data.training.labels]
    torch.testing.assert_close(module.sobolev_loss.scales[1:], rms)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = Regressor.load_from_checkpoint(tmp_path / "a.ckpt")
    train(loaded.train(), small_data(derivative_order=2, seed=7))
    torch.testing.assert_close(loaded.sobolev_loss.scales, module.sobolev_loss.scales, rtol=0, atol=0)


def test_a_checkpoint_without_scales_of_labels_loads():
    state = {k: v for k, v in Regressor(MLP()).state_dict().items() if "sobolev_loss" not in k}
    Regressor(MLP()).load_state_dict(state)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_without_any_value_it_says_that_the_constant_is_open():
    x = torch.rand(64, 1)
    module = Regressor(MLP(hidden=(8,)))
    with pytest.warns(UserWarning, match="constant undetermined") as caught:
        train(module, DataLoader(TensorDataset(x, x * torch.nan, 2 * x[..., None]), batch_size=16))
    assert len([w for w in caught if "undetermined" in str(w.message)]) == 1
    assert module(x).isfinite().all()
