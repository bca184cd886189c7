import pytest
import torch
from lightning.pytorch import Trainer

from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor, ResidualData, ResidualRegressor
from sobolev.cli.command_line import main
from sobolev.cli.lightning_cli import CONFIGS
from sobolev.optimizers import SelfScaledBFGS

QUIET = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip
SMALL = {"validation_samples": 200, "test_samples": 50}


def trained(data, network, epochs, **options):
    """The trainer and the module after some epochs, with the errors of all orders."""
    module, monitor = ResidualRegressor(network, optimizer=SelfScaledBFGS, **options), DerivativeMonitor()
    trainer = Trainer(
        **QUIET, precision="64-true", max_epochs=epochs, callbacks=[monitor], check_val_every_n_epoch=epochs
    )
    trainer.fit(module, datamodule=data)
    return trainer, module, [entry["relative_l2"] for entry in monitor.errors]


def test_an_oscillator_from_its_equation():
    data = ResidualData("d2u_dx2 + u", ["u(0) = 1", "du_dx(0) = 0"], {"x": (0, 4)}, "u", "cos(x)", samples=100, **SMALL)
    trainer, module, errors = trained(data, MLP(hidden=(12,), activation="tanh"), 25)
    assert errors[0] < 1e-5 and errors[1] < 1e-5 and errors[2] < 1e-4
    assert float(trainer.callback_metrics["val/loss"]) < 1e-8
    parts = [float(trainer.callback_metrics[f"val/{part}_loss"]) for part in ("equation", "condition")]
    assert sum(parts) == pytest.approx(float(trainer.callback_metrics["val/loss"]))
    torch.testing.assert_close(module.network.input_mean, torch.tensor([2.0], dtype=torch.float64))
    torch.testing.assert_close(module.network.input_scale, torch.tensor([4 / 12**0.5], dtype=torch.float64))
    (test,) = trainer.test(module, datamodule=data, verbose=False)
    assert test["test/loss"] < 1e-8


@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_units_do_not_matter(unit):
    """A logistic growth of a few, or of millions, over nanoseconds or over days."""
    data = ResidualData(
        f"du_dt = u*({1 / unit!r} - u/{unit**2!r})", [f"u(0) = {unit / 2!r}"], {"t": (0, 3 * unit)},
        reference=f"{unit!r}/(1 + exp(-t/{unit!r}))", samples=60, **SMALL,
    )  # fmt: skip
    *_, errors = trained(data, MLP(hidden=(10,), activation="tanh"), 12)
    assert errors[0] < 1e-4 and errors[1] < 1e-3


def test_a_plane_problem_with_a_mixed_derivative():
    """d²u/dxdt = cos(x) cos(t) from both axes: u = sin(x) sin(t) + x."""
    data = ResidualData(
        "d2u_dxdt = cos(x)*cos(t)", ["u(x, 0) = x", "u(0, t) = 0"], {"x": (0, 1), "t": (0, 1)},
        reference="sin(x)*sin(t) + x", samples=100, condition_samples=20, **SMALL,
    )  # fmt: skip
    *_, errors = trained(data, MLP(2, hidden=(12,), activation="tanh"), 12)
    assert errors[0] < 1e-4 and errors[1] < 1e-3


def test_two_unknowns_in_batches_by_adam_in_single_precision():
    data = ResidualData(
        ["du_dt = v", "dv_dt = -u"], ["u(0) = 1", "v(0) = 0"], {"t": (0, 2)}, ["u", "v"], "cos(t), -sin(t)",
        samples=100, batch_size=50, **SMALL,
    )  # fmt: skip
    module, monitor = ResidualRegressor(MLP(1, 2, hidden=(16, 16), activation="tanh")), DerivativeMonitor(1)
    trainer = Trainer(**QUIET, max_epochs=150, callbacks=[monitor], check_val_every_n_epoch=150, log_every_n_steps=1)
    trainer.fit(module, datamodule=data)
    assert monitor.errors[0]["relative_l2"] < 0.05
    assert float(trainer.callback_metrics["train/loss"]) < 0.01


def test_a_checkpoint_is_that_of_a_network(tmp_path):
    data = ResidualData("du_dx = u", ["u(0) = 1"], {"x": (0, 1)}, samples=20, **SMALL)
    module = ResidualRegressor(MLP(hidden=(5,), activation="tanh"))
    trainer = Trainer(**QUIET, max_epochs=1)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = ResidualRegressor.load_from_checkpoint(tmp_path / "a.ckpt")
    x = torch.rand(4, 1)
    assert isinstance(loaded, ResidualRegressor) and torch.equal(loaded(x), module(x))


def test_values_are_another_regressors_matter():
    data = FunctionData("x", samples=20, **SMALL)
    with pytest.raises(TypeError, match=r"trains on sobolev\.ResidualData, not on FunctionData"):
        Trainer(**QUIET, max_epochs=1).fit(ResidualRegressor(MLP(hidden=(4,))), datamodule=data)
    assert isinstance(ResidualRegressor(MLP(hidden=(4,))), Regressor)


@pytest.mark.parametrize("text", ["du_dx = u**1.2", "du_dx = sqrt(u)", "du_dx + log(u)"])
@pytest.mark.parametrize("optimizer", [None, SelfScaledBFGS])
def test_an_equation_that_is_no_number_where_the_network_begins_is_named(text, optimizer):
    """No weights become NaN; with abs the same equation is trained."""

    def fit(text):
        torch.manual_seed(0)
        data = ResidualData(text, ["u(0) = -2"], {"x": (0, 1)}, **SMALL)
        module = ResidualRegressor(MLP(hidden=(4,), activation="tanh"), optimizer=optimizer)
        Trainer(**QUIET, max_epochs=3).fit(module, datamodule=data)
        return module

    with pytest.raises(ValueError, match=r"the equation '.*' is not finite at x = .*u = -.*with abs"):
        fit(text)
    assert all(p.isfinite().all() for p in fit(text.replace("u**", "abs(u)**").replace("(u)", "(abs(u))")).parameters())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", ["ode", "heat"])
def test_the_configurations_run(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sobolev"])
    few = [
        "--trainer.max_epochs",
        "2",
        "--trainer.check_val_every_n_epoch",
        "1",
        "--data.validation_samples",
        "20",
        "--data.test_samples",
        "20",
    ]
    main(["fit", "--config", str(CONFIGS / f"{config}.yaml"), *few, "--data.samples", "40", "--data.batch_size", "40"])
    last = tmp_path / f"logs/{config}/version_0/checkpoints/last.ckpt"
    main(["predict", "--config", str(CONFIGS / f"{config}.yaml"), *few, "--ckpt_path", str(last)])
    assert (tmp_path / f"logs/{config}/version_0/report.json").is_file()
    (table,) = tmp_path.rglob("predictions.csv")
    assert table.read_text().startswith({"ode": "x,u,du/dx", "heat": "x,t,u,du/dx"}[config])


def test_a_coefficient_is_learnt_with_the_solution(tmp_path):
    """Exponential decay at an unknown rate, from a dozen measurements; it comes back with the checkpoint."""
    t = torch.linspace(0, 2, 12).double()
    rows = "\n".join(f"{x:.6f},{y:.9f}" for x, y in zip(t.tolist(), (-0.7 * t).exp().tolist(), strict=True))
    (tmp_path / "decay.csv").write_text(f"t,u\n{rows}\n")
    data = ResidualData(
        "du_dt = -k*u", ["u(0) = 1"], {"t": (0, 2)}, samples=50, coefficients={"k": 2.0},
        measurements=str(tmp_path / "decay.csv"), **SMALL,
    )  # fmt: skip
    module = ResidualRegressor(MLP(hidden=(8,), activation="tanh"), optimizer=SelfScaledBFGS)
    trainer = Trainer(**QUIET, precision="64-true", max_epochs=25, check_val_every_n_epoch=25)
    trainer.fit(module, datamodule=data)
    assert module.coefficients["k"].detach().item() == pytest.approx(0.7, rel=1e-4)
    assert float(trainer.callback_metrics["coefficient/k"]) == pytest.approx(0.7, rel=1e-4)
    assert float(trainer.callback_metrics["val/measurement_loss"]) < 1e-7
    trainer.save_checkpoint(tmp_path / "decay.ckpt")
    loaded = ResidualRegressor.load_from_checkpoint(tmp_path / "decay.ckpt")
    assert loaded.coefficients["k"].item() == module.coefficients["k"].item()
    violations = module.violated(torch.rand(20, 1).double())
    assert [v.statement for v in violations] == ["du_dt = -k*u", "u(0) = 1"]
    assert all(v.share < 1e-2 and v.max >= v.rms for v in violations)


def layer(**options):
    """u = tanh(20 x): nearly all that happens does so in a tenth of the domain."""
    return ResidualData(
        "d2u_dx2 = -800*tanh(20*x)/cosh(20*x)**2", ["u(-1) = -1", "u(1) = 1"], {"x": (-1, 1)},
        reference="tanh(20*x)", samples=30, **SMALL, **options,
    )  # fmt: skip


def test_points_that_follow_the_residual_find_a_steep_layer():
    data = layer(adapt_every_n_epochs=4)
    torch.manual_seed(0)
    _, _, errors = trained(data, MLP(hidden=(16, 16), activation="tanh"), 40)
    assert errors[0] < 1e-2 and errors[2] < 1e-2
    assert data.state_dict()["points"].shape == (30, 1)


def test_a_resumed_training_goes_on_at_the_points_that_were_drawn(tmp_path):
    model = ResidualRegressor(MLP(hidden=(8,), activation="tanh"), optimizer=SelfScaledBFGS)
    data = layer(adapt_every_n_epochs=2)
    trainer = Trainer(**QUIET, precision="64-true", max_epochs=3, limit_val_batches=0)
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = layer(adapt_every_n_epochs=2)
    first = layer()
    first.setup()
    trainer = Trainer(**QUIET, precision="64-true", max_epochs=4, limit_val_batches=0)
    trainer.fit(model, datamodule=again, ckpt_path=tmp_path / "a.ckpt")
    assert torch.equal(again.training_inputs, data.training_inputs)
    assert not torch.equal(again.training_inputs, first.training_inputs)


def test_a_ring_given_by_its_points_with_a_value_outside_and_a_flux_inside(tmp_path):
    """u = log(r) for .4 < r < 1: 0 on the rim, of slope 1 / .4 along the normal on the hole."""
    points = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    radius = points.norm(dim=1)
    write(tmp_path / "ring.csv", "x,y", points[(radius > 0.4) & (radius < 1)])
    angle = torch.linspace(0, 6.2, 40, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    rim = torch.cat([circle, circle, torch.ones(40, 1)], 1)
    hole = torch.cat([0.4 * circle, circle, torch.zeros(40, 1)], 1)
    write(tmp_path / "edge.csv", "x,y,nx,ny,rim", torch.cat([rim, hole]))
    data = ResidualData(
        "laplacian(u) = 0",
        ["rim*u(x, y) = 0", "(1 - rim)*(nx*du_dx(x, y) + ny*du_dy(x, y)) = (1 - rim)/0.4"],
        {"x": (-1, 1), "y": (-1, 1)}, reference="log(x**2 + y**2)/2",
        points=str(tmp_path / "ring.csv"), boundary=str(tmp_path / "edge.csv"),
    )  # fmt: skip
    torch.manual_seed(0)
    trainer, _, errors = trained(data, MLP(2, hidden=(16, 16), activation="tanh"), 15)
    assert errors[0] < 1e-2 and errors[1] < 3e-2
    assert len(data.training_inputs) + len(data.validation.inputs) + len(data.test.inputs) == len(data.points)
    figure = next(c for c in trainer.callbacks if isinstance(c, DerivativeMonitor)).figure(trainer)
    assert figure.axes[0].get_title(loc="left") or figure.axes[0].get_title()


def write(path, header, rows):
    path.write_text(header + "\n" + "\n".join(",".join(f"{v:.17g}" for v in row) for row in rows.tolist()))
