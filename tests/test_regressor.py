import pickle

import pytest
import torch
from cases import quiet_trainer
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


def test_weights_saved_in_float64_are_loaded_so_and_a_buffer_of_float64_makes_no_network_so(tmp_path):
    for double in (True, False):
        module = Regressor(MLP(hidden=(4,)))
        module.network.register_buffer("constant", torch.ones(1, dtype=torch.float64))
        module = module.double() if double else module
        trainer = quiet_trainer(tmp_path)
        trainer.strategy.connect(module)
        trainer.save_checkpoint(tmp_path / "saved.ckpt")
        fresh = Regressor(MLP(hidden=(4,)))
        fresh.network.register_buffer("constant", torch.ones(1, dtype=torch.float64))
        fresh.on_load_checkpoint(torch.load(tmp_path / "saved.ckpt", weights_only=True))
        assert {p.dtype for p in fresh.parameters()} == {torch.float64 if double else torch.float32}
