import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from cases import environment, loader, quiet_trainer
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sobolev
from sobolev import MLP, FunctionData, Regressor, Standardized
from sobolev.training.schedules import CosineToZero


def train(module, data, val_dataloaders=None, ckpt_path=None, **options):
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    trainer = Trainer(accelerator="cpu", devices=1, **{**quiet, "max_epochs": 2, **options})
    if isinstance(data, DataLoader):
        trainer.fit(module, data, val_dataloaders)
    else:
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
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
    """Also where that comes at every second epoch only."""
    for every in (1, 2):
        module = Regressor(MLP(hidden=(8,)), scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
        trainer = train(module, small_data(), max_epochs=5, check_val_every_n_epoch=every)
        assert trainer.lr_scheduler_configs[0].scheduler.last_epoch == 5 // every


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
    assert errors[0] > errors[1] > errors[2], errors


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
    with pytest.warns(UserWarning, match="leave a constant of y undetermined") as caught:
        train(module, DataLoader(TensorDataset(x, x * torch.nan, 2 * x[..., None]), batch_size=16))
    assert len([w for w in caught if "undetermined" in str(w.message)]) == 1
    assert module(x).isfinite().all()


# Collapse


def forum(seed, **options):
    """The forum post's recipe: raw inputs, unshuffled, ReLU also behind the last layer, constant learning rate."""
    torch.manual_seed(seed)
    module = Regressor(
        MLP(activation="relu", output_activation="relu"),
        standardize=False,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
    )
    train(module, FunctionData("x**2", samples=2000, validation_samples=200, shuffle=False, **options), max_epochs=5)
    return module


def test_a_training_that_collapses_says_so_and_no_other():
    """Some seeds of the post's recipe die: the network is 0 everywhere."""
    x, dead = torch.linspace(-50, 50, 101)[:, None], []
    for seed in range(8):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module = forum(seed)
        said = [str(w.message) for w in caught if "collapsed" in str(w.message)]
        dead.append(bool((module(x) == 0).all()))
        assert len(said) == dead[-1]
        assert all("network.5 (ReLU)" in sentence for sentence in said)
    assert 0 < sum(dead) < len(dead)


@pytest.mark.parametrize("function", ["0*x + 5", "5 + 1e-9*x", "5 + 1e-3*x"])
@pytest.mark.parametrize("standardize", [True, False])
def test_a_function_that_is_nearly_constant_is_no_collapse(function, standardize):
    module = Regressor(MLP(hidden=(8,)), standardize=standardize)
    train(module, FunctionData(function, domain=(-1, 1), samples=500, validation_samples=50, test_samples=50))


def test_noise_around_a_constant_is_no_collapse():
    x = torch.rand(1000, 1)
    data = [DataLoader(TensorDataset(x, torch.randn(1000, 1)), batch_size=100) for _ in range(2)]
    train(Regressor(MLP(hidden=(32,))), data[0], max_epochs=10, val_dataloaders=data[1])


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_a_training_that_diverges_says_so():
    x = torch.rand(64, 1)
    module = Regressor(MLP(hidden=(8,), activation="relu"), optimizer=lambda p: torch.optim.SGD(p, lr=1e6))
    with pytest.warns(UserWarning, match="diverged"):
        train(module, DataLoader(TensorDataset(x, x), batch_size=8), max_epochs=5)


# Derivative labels under Lightning


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "64-true"},
        {"precision": "bf16-mixed"},
        {"accumulate_grad_batches": 3},
        {"gradient_clip_val": 0.1},
        {"precision": "bf16-true"},
    ],
    ids=lambda options: next(iter(options.values())),
)
@pytest.mark.parametrize("second_order", ["full", "random"])
def test_derivative_labels_with(options, second_order):
    module = Regressor(MLP(2, hidden=(8,)), second_order=second_order)
    data = FunctionData(
        "x*y**2", domain=(-1, 1), samples=200, validation_samples=20, test_samples=20, derivative_order=2
    )
    before = [parameter.detach().clone() for parameter in module.parameters()]
    trainer = train(module, data, **options)
    assert all(value.isfinite() for value in trainer.callback_metrics.values())
    assert all((new != old).any() for new, old in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize("compiled", ["network", "module"])
def test_a_compiled_network_learns_from_labels_what_the_plain_one_does(compiled):
    """Derivatives run through the uncompiled code: compiled code cannot be differentiated twice."""
    weights = []
    for compile_it in (False, True):
        torch.manual_seed(0)
        module = Regressor(MLP(hidden=(8,)))
        if compile_it:
            (module.network if compiled == "network" else module).compile(backend="eager")
        train(module, small_data(derivative_order=2))
        weights.append(module.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("second_order", ["auto", "random"])
def test_a_resumed_training_with_labels_is_the_same_bit_for_bit(tmp_path, second_order):
    def data():
        return FunctionData("x*y**2", samples=200, validation_samples=20, test_samples=20, derivative_order=2)

    def module():
        torch.manual_seed(0)
        return Regressor(MLP(2, hidden=(8,)), second_order=second_order)

    whole = module()
    keep = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1, every_n_epochs=1)
    train(whole, data(), max_epochs=4, callbacks=[keep], enable_checkpointing=True)
    resumed = module()
    train(resumed, data(), max_epochs=4, ckpt_path=tmp_path / "epoch=1.ckpt")
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in whole.state_dict().items())


def test_labels_that_come_with_the_second_training_get_their_scales(tmp_path):
    """A network trained on values goes on with derivative labels."""
    torch.manual_seed(0)
    trainer = train(Regressor(MLP(hidden=(8,))), small_data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    module = Regressor(MLP(hidden=(8,)))
    train(module, small_data(derivative_order=2), max_epochs=3, ckpt_path=tmp_path / "a.ckpt")
    assert len(module.sobolev_loss.scales) == 3


def test_batch_normalisation_and_derivative_labels_do_not_go_together():
    network = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    train(Regressor(network), small_data())
    with pytest.warns(UserWarning, match="batch normalisation mixes.*LayerNorm"):
        train(Regressor(network), small_data(derivative_order=1))


def test_batches_with_something_else_behind_the_values_are_refused():
    x = torch.rand(64, 1)
    loader = DataLoader(TensorDataset(x, x, torch.ones(64)), batch_size=16)
    with pytest.raises(ValueError, match=r"item 3 of a batch has shape \(64,\).*derivative_order=0"):
        train(Regressor(MLP()), loader, loader)
    train(Regressor(MLP(), derivative_order=0), loader, loader)


DDP = """
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset
from sobolev import MLP, Regressor

if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.rand(101, 1)
    loaders = [DataLoader(TensorDataset(x, x * torch.nan, 2 * x[..., None]), batch_size=16) for _ in range(2)]
    module = Regressor(MLP(hidden=(8,)))
    start = [parameter.detach().clone() for parameter in module.parameters()]
    options = dict(accelerator="cpu", devices=2, max_epochs=2, logger=False, enable_checkpointing=False)
    trainer = Trainer(**options, enable_progress_bar=False, enable_model_summary=False, strategy="ddp")
    trainer.fit(module, *loaders)
    torch.save((start, module.state_dict()), f"rank{trainer.global_rank}.pt")
    torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over localhost is not set up everywhere on Windows")
def test_two_processes_learn_from_slopes_alone(tmp_path):
    """The last bias has no part in the loss, the processes see different rows; weights and scales are the same."""
    (tmp_path / "slopes.py").write_text(DDP)
    done = subprocess.run(
        [sys.executable, "slopes.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a constant of y undetermined") == 1
    (start, first), (_, second) = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert first["sobolev_loss.gradient_scale"].isfinite().all()
    *others, last_bias = [name for name, _ in Regressor(MLP(hidden=(8,))).named_parameters()]
    assert torch.equal(first[last_bias], start[-1])
    assert all((first[name] != old).any() for name, old in zip(others, start, strict=False))


def test_a_table_with_few_values_and_some_derivatives(tmp_path):
    """y = a² b from two values, slopes in a, curvatures on the diagonal, each with gaps, and slopes in b."""
    a, b = torch.rand(2, 600).double() * torch.tensor([[10.0], [0.1]])
    rows = [f"{x},{z},{x * x * z if i % 100 == 0 else ''},{2 * x * z if i % 3 else ''},{x * x},{2 * z}"
            for i, (x, z) in enumerate(zip(a.tolist(), b.tolist(), strict=True))]  # fmt: skip
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y,ya,yb,yaa", *rows]))
    labels = {"dy/da": "ya", "dy/db": "yb", "d2y/da2": "yaa"}
    data = sobolev.TableData(tmp_path / "t.csv", ["a", "b"], ["y"], labels, batch_size=20)
    errors = []
    for order in (None, 0):
        torch.manual_seed(0)
        module = Regressor(MLP(2, hidden=(32,)), derivative_order=order)
        train(module, data, max_epochs=40)
        a, b = data.test_points.float().T
        y, d1 = sobolev.jacobian(module, data.test_points.float())
        wrong = [y[:, 0] - a**2 * b, d1[:, 0, 0] - 2 * a * b, d1[:, 0, 1] - a**2]
        errors.append(torch.stack(wrong, 1).square().mean(0).sqrt())
    assert (errors[0] < errors[1] / 10).all(), errors


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


@pytest.mark.parametrize("orders", [0, 1])
def test_targets_without_an_axis_for_their_one_output_have_the_same_loss(tmp_path, orders):
    x = torch.linspace(-1, 1, 16)[:, None]
    columns, weights = [x.square(), 2 * x[:, :, None]][: orders + 1], []
    for labels in (columns, [label.squeeze(1) for label in columns]):
        torch.manual_seed(0)
        module = Regressor(MLP(hidden=(4,)))
        batches = loader(x, *labels, batch_size=8)
        quiet_trainer(tmp_path, max_epochs=2, log_every_n_steps=1).fit(module, batches, batches)
        weights.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    assert torch.equal(*weights)


def test_targets_for_another_number_of_outputs_are_refused_with_both_shapes(tmp_path):
    module = Regressor(nn.Linear(1, 2), standardize=False)
    batches = loader(torch.rand(8, 1), torch.rand(8), batch_size=8)
    with pytest.raises(ValueError, match=r"\(8, 2\).*\(8, 1\)"):
        quiet_trainer(tmp_path).fit(module, batches, batches)
