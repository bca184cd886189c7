"""`DerivativeMonitor` on Lightning modules of all kinds, against sympy and against training without it."""

import copy
import csv
import gc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from cases import Plain, formulas, loader, quiet_trainer, tower
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sobolev
from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor
from sobolev.monitor.weights import differentiable

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:Found 1 module.s. in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:Starting from v1.9.0, `tensorboardX` has been removed"),
]

QUIET = {"on_finding": "ignore", "figure_every_n_epochs": None}


class Batches:
    """What Lightning takes for one loader."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


TARGETS = {1: "x**3 + sin(x)", 2: "x**2*z + cos(z), x*z"}


def tanh_network(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 4), nn.Tanh(), nn.Linear(4, outputs))


def expected(network, inputs, points, order):
    """What is to be logged, by sympy and numpy from the definitions."""
    variables = sympy.symbols("x z")[:inputs]
    truth = [sympy.sympify(formula, locals={"x": variables[0]}) for formula in TARGETS[inputs].split(",")]
    pairs = zip(
        tower(formulas(network, variables), variables, points, order),
        tower(truth, variables, points, order),
        strict=True,
    )
    scalars = {}
    for k, (found, exact) in enumerate(pairs):
        scalars[f"d{k}_rmse"] = np.sqrt(np.mean((found - exact) ** 2))
        scalars[f"d{k}_relative_l2"] = scalars[f"d{k}_rmse"] / np.sqrt(np.mean(exact**2))
        scalars[f"d{k}_max"] = np.abs(found - exact).max()
    return scalars


@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize("verb", ["fit", "validate", "test"])
def test_numbers_are_those_of_sympy_in_every_grad_mode(tmp_path, inputs, verb):
    """Orders 0 to 4, one input and output and several, over batches of unequal sizes, in float64."""
    points = torch.randn(21, inputs, dtype=torch.float64)
    module = Plain(tanh_network(inputs, inputs), lr=0.0).double()
    monitor = DerivativeMonitor(order=4, reference=TARGETS[inputs], **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, precision="64-true")
    batches = loader(points, torch.zeros(21, inputs, dtype=torch.float64))
    trainer.fit(module, batches, batches) if verb == "fit" else getattr(trainer, verb)(module, batches, verbose=False)
    stage = "test" if verb == "test" else "val"
    wanted = {f"{stage}/{name}": value for name, value in expected(module.network, inputs, points, 4).items()}
    assert {name: value.item() for name, value in trainer.callback_metrics.items()} == pytest.approx(wanted, rel=2e-6)
    assert monitor.points == 21


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-true", "16-mixed", "bf16-mixed"])
@pytest.mark.filterwarnings("ignore:.*amp|.*Using 16bit Automatic Mixed Precision")
def test_any_precision_gives_the_derivatives_of_the_weights_as_they_are(tmp_path, precision):
    """Half precision rounds the weights and the points, not the derivatives."""
    points = torch.randn(20, 1)
    points = points.bfloat16().float() if precision == "bf16-true" else points
    module = Plain(tanh_network(1, 1), lr=0.0)
    monitor = DerivativeMonitor(order=2, reference=TARGETS[1], **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, precision=precision)
    trainer.fit(module, loader(points, torch.zeros(20, 1)), loader(points, torch.zeros(20, 1)))
    network = copy.deepcopy(module.network).double()
    for k, entry in enumerate(monitor.errors):
        assert entry["rmse"] == pytest.approx(expected(network, 1, points, 2)[f"d{k}_rmse"], rel=1e-5)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_one_monitor_through_validate_fit_test(tmp_path, inference_mode):
    """What is made in inference mode must not spoil the training after it."""
    data = FunctionData(samples=64, validation_samples=20, test_samples=20)
    module, monitor = Regressor(MLP(hidden=(4,))), DerivativeMonitor(**QUIET)
    trainer = quiet_trainer(tmp_path, monitor, inference_mode=inference_mode)
    for verb in (trainer.validate, trainer.fit, trainer.test, trainer.fit, trainer.validate):
        trainer.fit_loop.max_epochs = trainer.current_epoch + 1
        verb(module, datamodule=data)
        assert {entry["order"] for entry in monitor.errors} == {0, 1, 2}


def test_the_same_names_in_fit_and_validate(tmp_path):
    data, module = FunctionData(samples=64, validation_samples=20), Regressor(MLP(hidden=(4,)))
    trainer = quiet_trainer(tmp_path, DerivativeMonitor(**QUIET))
    trainer.fit(module, datamodule=data)
    in_fit = {name for name in trainer.callback_metrics if name.startswith("val/")}
    (in_validate,) = trainer.validate(module, datamodule=data, verbose=False)
    assert in_fit == set(in_validate)
    assert {f"val/d{k}_{name}" for k in range(3) for name in ("rmse", "relative_l2", "max")} < in_fit


def test_a_reference_is_a_formula_or_a_function_or_the_data_modules(tmp_path):
    data = FunctionData("sin(x)", (0, 1), samples=8, validation_samples=20)
    module, found = Regressor(MLP(hidden=(4,))), []
    for reference in ("sin(x)", sobolev.Function("sin(x)"), None):
        monitor = DerivativeMonitor(reference=reference, **QUIET)
        quiet_trainer(tmp_path, monitor).validate(module, datamodule=data, verbose=False)
        found.append(monitor.errors)
    assert found[0] == found[1] == found[2]


def test_a_reference_for_another_number_of_inputs_is_refused(tmp_path):
    batches = loader(torch.rand(8, 1), torch.rand(8, 1))
    for reference, reason in (("x*z", "needs \\(batch, 2\\)"), ("x, x**2", "the inputs and outputs of the model")):
        trainer = quiet_trainer(tmp_path, DerivativeMonitor(reference=reference, **QUIET))
        with pytest.raises(ValueError, match=reason):
            trainer.validate(Plain(), batches, verbose=False)


def test_without_a_reference_the_derivatives_own_size_is_logged(tmp_path):
    points = torch.randn(20, 1, dtype=torch.float64)
    module = Plain(tanh_network(1, 1)).double()
    monitor = DerivativeMonitor(order=1, **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, precision="64-true")
    (logged,) = trainer.validate(module, loader(points, torch.zeros_like(points)), verbose=False)
    x = sympy.Symbol("x")
    y, slope = tower(formulas(module.network, [x]), [x], points, 1)
    assert logged == pytest.approx(
        {
            "val/d0_rmse": np.sqrt(np.mean(y**2)),
            "val/d0_relative_l2": np.inf,  # the targets are 0
            "val/d0_max": np.abs(y).max(),
            "val/d1_rms": np.sqrt(np.mean(slope**2)),
            "val/d1_max": np.abs(slope).max(),
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_labels_in_the_batch_count_where_they_are_known(tmp_path, batch_size):
    """Labels for every third row only: some batches hold none at all, the last one among them."""
    x = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(-1, 1)
    y, slope = torch.sin(x), torch.full((10, 1, 1), torch.nan, dtype=torch.float64)
    slope[:8:3, :, 0] = torch.cos(x[:8:3])
    module = Plain(tanh_network(1, 1)).double()
    monitor = DerivativeMonitor(order=2, **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, precision="64-true")
    trainer.validate(module, loader(x, y, slope, batch_size=batch_size), verbose=False)
    found = sobolev.derivatives(module, x)[1].detach()[:8:3] - torch.cos(x[:8:3])
    assert monitor.errors[1]["rmse"] == pytest.approx(found.square().mean().sqrt().item(), rel=1e-12)
    assert monitor.errors[1]["max"] == pytest.approx(found.abs().max().item(), rel=1e-12)
    assert "rms" in monitor.errors[2] and "rmse" not in monitor.errors[2]


def test_what_is_no_label_is_not_taken_for_one(tmp_path):
    """Class numbers, weights of the samples, and texts behind the inputs."""
    x = torch.rand(8, 2)
    for others in ([torch.arange(8)], [torch.rand(8, 1), torch.rand(8)], [torch.rand(8, 5)], [list("abcdefgh")]):
        monitor = DerivativeMonitor(order=1, **QUIET)
        quiet_trainer(tmp_path, monitor).validate(Plain(tanh_network(2, 1)), Batches([x, *others]), verbose=False)
        assert "rms" in monitor.errors[1]
        assert ("rmse" in monitor.errors[0]) == (
            others[0][0] is not None and getattr(others[0], "shape", None) == (8, 1)
        )


@pytest.mark.parametrize("batch", [{"a": torch.rand(4, 1), "b": torch.rand(4, 1)}, [], "text"])
def test_a_batch_without_inputs_is_refused_with_the_remedy(tmp_path, batch):
    with pytest.raises(TypeError, match=r"Name the entries|override the method `inputs_of"):
        quiet_trainer(tmp_path, DerivativeMonitor(**QUIET)).validate(Plain(), Batches(batch), verbose=False)


def test_other_batches_through_an_overridden_method(tmp_path):
    class OfDictionaries(DerivativeMonitor):
        def inputs_of(self, batch):
            return batch["x"]

    monitor = OfDictionaries(reference="x**2", **QUIET)
    quiet_trainer(tmp_path, monitor).validate(Plain(), Batches(*[{"x": torch.rand(4, 1)}] * 3), verbose=False)
    assert monitor.points == 12 and monitor.errors[2]["rmse"] > 0


class Convolution(nn.Module):
    """(batch, 1, 6) to (batch, 2), through convolution, normalisation, pooling."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3), nn.GELU(), nn.AvgPool1d(2), nn.Flatten())
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.features(x))


def test_a_convolution_against_nested_reverse_mode(tmp_path):
    module = Plain(Convolution())
    x = torch.randn(5, 1, 6)
    monitor = DerivativeMonitor(order=2, **QUIET)
    quiet_trainer(tmp_path, monitor).validate(module, loader(x, torch.rand(5, 2)), verbose=False)
    twin = copy.deepcopy(module).double().eval()
    second = torch.stack([
        torch.stack([torch.autograd.functional.hessian(lambda p, o=o: twin(p[None])[0, o], point) for o in range(2)])
        for point in x.double()
    ])  # fmt: skip
    assert monitor.errors[2]["rms"] == pytest.approx(second.square().mean().sqrt().item(), rel=1e-4)


class Troublesome(nn.Module):
    """Dropout, batch normalisation, random numbers even in eval mode, a count of its calls, a frozen layer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 16), nn.SiLU()
        )
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.last = nn.Linear(16, 1)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.replaced = self.replaced + x.mean()
        noise = 1e-6 * torch.randn(()) * self.calls
        return self.last(self.frozen(self.layers(x)) + noise)


class States(Callback):
    """The random state and the flags of the modules at the end of each validation."""

    def __init__(self):
        self.seen = []

    def on_validation_epoch_end(self, trainer, pl_module):
        flags = [(module.training, *(p.requires_grad for p in module.parameters())) for module in pl_module.modules()]
        # not Python's random numbers: beartype, which checks shapes in these tests, draws some
        self.seen.append((torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), flags))  # noqa: NPY002


def trained(folder, *callbacks):
    """Weights and buffers after four epochs, and the states on the way."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    module, states = Plain(Troublesome()), States()
    module.network.layers[3].eval()  # one flag that is not the others'
    x = torch.rand(64, 1)
    batches = loader(x, x**2, shuffle=True)
    trainer = quiet_trainer(folder, *callbacks, states, max_epochs=4)
    trainer.fit(module, batches, loader(x, x**2))
    return module.state_dict(), states.seen


def test_training_is_the_same_to_the_last_bit(tmp_path):
    """Parameters, buffers, names in the checkpoint, random numbers, flags."""
    alone, states = trained(tmp_path)
    watched, states_watched = trained(
        tmp_path, DerivativeMonitor(reference="x**2", figure_every_n_epochs=1, on_finding="ignore")
    )
    assert list(alone) == list(watched)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)
    assert states == states_watched


@pytest.mark.filterwarnings("ignore:.*(cross|sample|random|calls|differ)")
def test_the_audit_leaves_the_training_alone_as_well(tmp_path):
    alone, states = trained(tmp_path)
    monitor = DerivativeMonitor(reference="x**2", figure_every_n_epochs=None)
    with pytest.warns(UserWarning):
        watched, states_watched = trained(tmp_path, monitor)
    assert monitor.findings
    assert all(torch.equal(alone[name], watched[name]) for name in alone)
    assert states == states_watched


def test_gradients_are_left_alone(tmp_path):
    """A validation between two backward passes of one accumulated step."""

    class Gradients(Callback):
        compared = False

        def on_validation_epoch_start(self, trainer, pl_module):
            self.before = [None if p.grad is None else p.grad.clone() for p in pl_module.parameters()]

        def on_validation_epoch_end(self, trainer, pl_module):
            after = [p.grad for p in pl_module.parameters()]
            assert all((a is None and b is None) or torch.equal(a, b) for a, b in zip(self.before, after, strict=True))
            self.compared |= any(b is not None for b in self.before)

    x, gradients = torch.rand(64, 1), Gradients()
    trainer = quiet_trainer(
        tmp_path, DerivativeMonitor(**QUIET), gradients, accumulate_grad_batches=4, val_check_interval=0.5
    )
    trainer.fit(Plain(), loader(x, x), loader(x, x))
    assert gradients.compared


def test_no_tensor_stays_behind_over_many_epochs(tmp_path):
    """200 epochs: as many living tensors in the end as after the tenth."""

    class Count(Callback):
        def __init__(self):
            self.tensors = []

        def on_validation_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch % 50 == 10:
                gc.collect()
                self.tensors.append(sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()))

    count, x = Count(), torch.rand(16, 1)
    monitor = DerivativeMonitor(reference="x**2", **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, count, max_epochs=200)
    trainer.fit(Plain(), loader(x, x**2), loader(x, x**2))
    assert len(count.tensors) == 4 and max(count.tensors) <= count.tensors[0]


@pytest.mark.parametrize("logger", [CSVLogger, TensorBoardLogger])
def test_loggers_get_the_scalars(tmp_path, logger):
    data, module = FunctionData(samples=64, validation_samples=20), Regressor(MLP(hidden=(4,)))
    trainer = quiet_trainer(
        tmp_path, DerivativeMonitor(figure_every_n_epochs=1), logger=logger(tmp_path), max_epochs=2, log_every_n_steps=1
    )
    trainer.fit(module, datamodule=data)
    folder = trainer.log_dir
    if logger is CSVLogger:
        rows = csv.DictReader(Path(folder, "metrics.csv").read_text().splitlines())
        logged = [float(row["val/d2_rmse"]) for row in rows if row["val/d2_rmse"]]
        assert len(logged) == 2 and logged[-1] == pytest.approx(trainer.callback_metrics["val/d2_rmse"].item())
        return
    events = EventAccumulator(folder)
    events.Reload()
    assert [event.value for event in events.Scalars("val/d2_rmse")][-1] == trainer.callback_metrics["val/d2_rmse"]
    assert [event.step for event in events.Images("derivatives")] == [1, 2]
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_checkpoints_and_early_stopping_follow_the_second_derivative(tmp_path):
    data, module = FunctionData(samples=64, validation_samples=20, batch_size=8), Regressor(MLP(hidden=(4,)))
    best = ModelCheckpoint(tmp_path / "best", monitor="val/d2_rmse", filename="{epoch}")
    stop = EarlyStopping("val/d2_rmse", min_delta=1e6, patience=3)  # nothing is that much better
    seen = []

    class Values(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            seen.append(monitor.errors[2]["rmse"])

    monitor = DerivativeMonitor(**QUIET)
    trainer = quiet_trainer(
        tmp_path, monitor, Values(), best, stop, enable_checkpointing=True, max_epochs=50, num_sanity_val_steps=0
    )
    trainer.fit(module, datamodule=data)
    assert len(seen) == 4
    assert best.best_model_score.item() == pytest.approx(min(seen))
    assert best.best_model_path.endswith(f"epoch={seen.index(min(seen))}.ckpt")


@pytest.mark.parametrize("max_points", ["auto", None])
def test_a_training_that_stops_early_logs_each_validation_once(tmp_path, max_points):
    """At the end the weights are those of the last validation, whether anybody knew that it was the last or not."""
    data, module = FunctionData(samples=64, validation_samples=20), Regressor(MLP(hidden=(4,)))
    monitor, stop = (
        DerivativeMonitor(max_points=max_points, **QUIET),
        EarlyStopping("val/d2_rmse", patience=1, min_delta=1e6),
    )
    options = {"logger": TensorBoardLogger(tmp_path), "max_epochs": 50, "num_sanity_val_steps": 0}
    trainer = quiet_trainer(tmp_path, monitor, stop, **options)
    trainer.fit(module, datamodule=data)
    events = EventAccumulator(trainer.log_dir)
    events.Reload()
    assert [event.step for event in events.Scalars("val/d2_rmse")] == [0, 1]
    assert events.Scalars("val/d2_rmse")[-1].value == pytest.approx(monitor.errors[2]["rmse"])


def test_the_sanity_check_is_no_result(tmp_path):
    """Nothing was validated after it: no errors of untrained weights are left for a report."""
    x, monitor = torch.rand(16, 1), DerivativeMonitor(**QUIET)
    trainer = quiet_trainer(tmp_path, monitor, check_val_every_n_epoch=5, max_epochs=2)
    trainer.fit(Plain(), loader(x, x), loader(x, x))
    assert monitor.errors == [] and monitor.points == 0


def test_two_monitors_need_names(tmp_path):
    x = torch.rand(16, 1)
    with pytest.raises(ValueError, match="a name of its own"):
        quiet_trainer(tmp_path, DerivativeMonitor(), DerivativeMonitor(3)).validate(
            Plain(), loader(x, x), verbose=False
        )
    monitors = DerivativeMonitor(1, "x**2", **QUIET), DerivativeMonitor(3, "sin(x)", name="sine", **QUIET)
    trainer = quiet_trainer(tmp_path, *monitors)
    (logged,) = trainer.validate(Plain(), loader(x, x), verbose=False)
    assert logged["val/d1_rmse"] == pytest.approx(monitors[0].errors[1]["rmse"])
    assert logged["val/sine/d1_rmse"] == pytest.approx(monitors[1].errors[1]["rmse"])
    assert "val/d3_rmse" not in logged and "val/sine/d3_rmse" in logged


def test_a_model_with_other_sizes_may_follow(tmp_path):
    monitor = DerivativeMonitor(order=1, **QUIET)
    for inputs in (1, 2):
        batches = loader(torch.rand(8, inputs), torch.rand(8, 1))
        quiet_trainer(tmp_path, monitor).validate(Plain(tanh_network(inputs, 1)), batches, verbose=False)
        assert len(monitor.errors[1]["at"]) == inputs


def test_a_negative_order_is_refused():
    with pytest.raises(ValueError, match="order is -1"):
        DerivativeMonitor(order=-1)


# One module, one batch


class Scaled(Plain):
    def forward(self, x, factor):
        return factor * x**3


FACTOR = torch.rand(300, 1, dtype=torch.float64)
ROWS = torch.rand(300, 1, dtype=torch.float64)


class NoTrainer:
    datamodule = None


def measured(module, sample, **options):
    monitor = DerivativeMonitor(**options)
    with differentiable(module):
        monitor._differentiate(NoTrainer, module, sample)
    return monitor


def test_every_row_is_differentiated_with_its_own_entries():
    """In blocks, because of those entries."""
    monitor = measured(Scaled().double(), ((ROWS, FACTOR), None), order=1, inputs=0, targets=[None])
    errors, points = monitor.measurement.errors()
    assert points == 300
    assert errors[1]["rms"] == pytest.approx((3 * FACTOR * ROWS**2).square().mean().sqrt().item())


def test_at_given_points_the_first_sample_counts():
    given, options = torch.tensor([[1.0], [2.0]]), {"inputs": 0, "targets": [None]}
    monitor = measured(Scaled().double(), ((ROWS, FACTOR), given), order=1, reference="x**3", **options)
    errors, _ = monitor.measurement.errors()
    assert errors[1]["rmse"] == pytest.approx((1 - FACTOR[0].item()) * ((9 + 144) / 2) ** 0.5)


def test_an_order_that_is_too_high_is_said_once():
    monitor = DerivativeMonitor(order=2)
    module = Plain(nn.Linear(300, 1))
    batch = (torch.rand(2, 300), torch.rand(2, 1))
    with differentiable(module), pytest.warns(UserWarning, match="90000 entries") as warned:
        for _ in range(2):
            monitor._differentiate(NoTrainer, module, (batch, None))
    assert len(warned) == 1 and len(monitor.measurement.errors()[0]) == 2


def test_a_jacobian_of_too_many_outputs_is_said_once():
    monitor, module, field = DerivativeMonitor(order=1), Plain(nn.Tanh()), torch.rand(2, 1, 30, 30)
    with differentiable(module), pytest.warns(UserWarning, match="of 900 outputs by 900 inputs has 810000") as warned:
        for _ in range(2):
            monitor._differentiate(NoTrainer, module, ((field, field), None))
    assert len(warned) == 1 and len(monitor.measurement.errors()[0]) == 1


# The last look


class Exactly(Plain):
    """x² + z, with an error of 1 at a single point; nothing is learnt."""

    def __init__(self, at):
        super().__init__(nn.Linear(2, 1))
        self.at = at

    def forward(self, x):
        wrong = (x - self.at).abs().amax(1, keepdim=True) < 1e-9
        return x[:, :1] ** 2 + x[:, 1:] + wrong + 0 * self.network(x)


def plane(rows):
    x = torch.rand(rows, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, x[:, :1] ** 2 + x[:, 1:]


@pytest.mark.parametrize(("max_points", "points"), [("auto", 900), (40, 40)])
def test_in_the_end_all_validation_points_are_measured_unless_a_number_is_asked_for(tmp_path, max_points, points):
    x, y = plane(900)
    monitor = DerivativeMonitor(order=1, reference="x**2 + z", max_points=max_points, **QUIET)
    quiet_trainer(tmp_path, monitor).fit(Exactly(x[457]).double(), loader(x, y), loader(x, y, batch_size=128))
    assert monitor.points <= points and monitor.points > points - 12
    assert monitor.errors[0]["max"] == pytest.approx(1.0 if max_points == "auto" else 0.0, abs=1e-9)


def test_a_known_function_of_two_inputs_is_drawn_on_a_grid(tmp_path):
    x, y = plane(200)
    monitor = DerivativeMonitor(order=1, reference="x**2 + z", **QUIET)
    trainer = quiet_trainer(tmp_path, monitor)
    trainer.fit(Exactly(x[0]).double(), loader(x, y), loader(x, y))
    points, predicted, exact = monitor._drawn(trainer, monitor.measurement.figure_data()[2]).figure_data()
    assert [len(column.unique()) for column in points.unbind(1)] == [53, 53] and len(points) == 53 * 53
    torch.testing.assert_close(predicted[1], exact[1])
    assert torch.equal(points.amin(0), x.amin(0)) and torch.equal(points.amax(0), x.amax(0))


def test_a_table_of_two_inputs_is_drawn_on_a_grid_and_its_labels_at_their_rows(tmp_path, monkeypatch):
    x, y = plane(64)
    slopes, shown = torch.cat([2 * x[:, :1], torch.ones_like(y)], 1)[:, None], {}
    monkeypatch.setattr("sobolev.plots.derivatives_figure", lambda *a, **k: shown.update(drawn=a, **k))
    for labels in ((y,), (y, slopes)):
        trainer = quiet_trainer(tmp_path, monitor := DerivativeMonitor(order=1, **QUIET))
        trainer.fit(Exactly(x[0]).double(), loader(x, *labels), loader(x, *labels))
        monitor.figure(trainer)
        assert len(shown["drawn"][0]) == 53 * 53 and shown["drawn"][2] == [None, None]
        rows, _, exact = shown["measured"]
        assert torch.equal(rows, x) and torch.equal(exact[0], y)
        assert (exact[1] is None) == (len(labels) == 1)


def test_in_epochs_without_a_measurement_the_last_values_are_there_for_other_callbacks(tmp_path):
    class Seen(Callback):
        def __init__(self):
            self.values = []

        def on_validation_end(self, trainer, pl_module):
            self.values.append(trainer.callback_metrics["val/d2_rmse"].item())

    x, seen = torch.rand(16, 1), Seen()
    stop = EarlyStopping("val/d2_rmse", patience=9)
    monitor = DerivativeMonitor(reference="x**2", every_n_epochs=2, **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, stop, seen, max_epochs=4, num_sanity_val_steps=0)
    trainer.fit(Plain(), loader(x, x**2), loader(x, x**2))
    first, again, third, last = seen.values
    assert first == again != third == last


@pytest.mark.parametrize(("every", "least", "most"), [("auto", 16, 99), (1, 100, 100)])
def test_of_epochs_shorter_than_a_measurement_some_are_measured(tmp_path, every, least, most):
    x = torch.rand(16, 1)
    monitor = DerivativeMonitor(reference="x**2", every_n_epochs=every, **QUIET)
    trainer = quiet_trainer(tmp_path, monitor, max_epochs=100)
    trainer.fit(Plain(), loader(x, x**2), loader(x, x**2))
    assert least <= len(monitor.history) <= most
    gaps = [b - a for a, b in pairwise(sorted(monitor.history))]
    assert {1, 100} <= monitor.history.keys() and max(gaps) <= 7
    assert monitor.errors[2]["rmse"] == pytest.approx(trainer.callback_metrics["val/d2_rmse"].item())
    assert 0 < monitor.seconds_once < monitor.seconds


def test_every_epoch_of_forty_steps_is_measured(tmp_path):
    x = torch.rand(40, 1)
    monitor = DerivativeMonitor(reference="x**2", **QUIET)
    short = DataLoader(TensorDataset(x, x**2), batch_size=1)
    quiet_trainer(tmp_path, monitor, max_epochs=25).fit(Plain(), short, loader(x, x**2))
    assert list(monitor.history) == list(range(1, 26))


@pytest.mark.parametrize("every", [2, 5])
@pytest.mark.parametrize("logger", [False, True])
def test_what_waits_for_a_value_finds_one_at_every_epoch(tmp_path, every, logger):
    """EarlyStopping and checkpoints look at each validation, also where nothing was measured."""
    x, y = plane(64)
    waiting = EarlyStopping("val/d1_rmse", patience=50), ModelCheckpoint(tmp_path / "saved", monitor="val/d1_rmse")
    monitor = DerivativeMonitor(order=1, reference="x**2 + z", every_n_epochs=every, **QUIET)
    options = {"max_epochs": 4, "enable_checkpointing": True, "logger": CSVLogger(tmp_path) if logger else False}
    trainer = quiet_trainer(tmp_path, monitor, *waiting, **options)
    trainer.fit(Plain(nn.Linear(2, 1)).double(), loader(x, y), loader(x, y))
    assert trainer.current_epoch == 4 and waiting[1].best_model_score is not None


# A training is worth more than its monitor


class Energy(Plain):
    """Computes forces in forward, with a graph in training only: the usual idiom."""

    def forward(self, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.clone().requires_grad_()
            energy = self.network(x)
            (force,) = torch.autograd.grad(energy.sum(), x, create_graph=self.training)
        return energy + 0 * force

    def validation_step(self, batch, batch_idx):
        pass


class Remembering(Plain):
    """Keeps its state from batch to batch, as recurrent cells do: of 16 rows in training, of 12 in validation."""

    def __init__(self):
        super().__init__(nn.Linear(1, 1))
        self.h = None

    def forward(self, x):
        h = torch.zeros_like(x) if self.h is None else self.h
        y = self.network(x + h)
        self.h = 0.1 * y.detach()
        return y

    def on_validation_epoch_start(self):
        self.h = None

    on_train_epoch_start = on_validation_epoch_start

    def validation_step(self, batch, batch_idx):
        self(batch[0])


class Unguessable(Plain):
    def forward(self, first, second, third):
        return super().forward(first)

    def training_step(self, batch, batch_idx):
        return self(batch["a"], batch["b"], 1.0).square().mean()

    def validation_step(self, batch, batch_idx):
        pass


def weights_after(folder, module, batches, *callbacks):
    torch.manual_seed(0)
    module = module()
    trainer = quiet_trainer(folder, *callbacks, max_epochs=2)
    trainer.fit(module, batches, batches)
    return module.state_dict()


@pytest.mark.filterwarnings("ignore:(the inputs|f varies|derivative)")
def test_forces_in_forward_are_differentiated(tmp_path):
    x = torch.rand(48, 1)
    batches, monitor = loader(x, x), DerivativeMonitor(on_finding="raise", figure_every_n_epochs=None)
    alone, watched = weights_after(tmp_path, Energy, batches), weights_after(tmp_path, Energy, batches, monitor)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)
    module = Energy()
    module.load_state_dict(watched)
    (_, _, bend) = sobolev.derivatives(module.network.double(), x.double())
    assert monitor.errors[2]["rms"] == pytest.approx(bend.square().mean().sqrt().item(), rel=1e-4)


@pytest.mark.filterwarnings("ignore:.*(the graph|gradient|differ|calls|f is)")
def test_a_state_that_is_kept_from_batch_to_batch_is_left_alone(tmp_path):
    x = torch.rand(48, 1)
    alone = weights_after(tmp_path, Remembering, loader(x, x))
    monitor = DerivativeMonitor(figure_every_n_epochs=None)
    watched = weights_after(tmp_path, Remembering, loader(x, x), monitor)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)
    slope = watched["network.weight"].abs().item()
    assert monitor.errors[1]["rms"] == pytest.approx(slope, rel=1e-5) and monitor.errors[2]["rms"] == 0


@pytest.mark.filterwarnings("ignore:.*(the graph|gradient|differ|calls|f is)")
def test_what_cannot_be_measured_is_said_and_the_training_goes_on(tmp_path):
    x = torch.rand(48, 1)
    batches = DataLoader([{"a": row, "b": row} for row in x], batch_size=16)
    alone = weights_after(tmp_path, Unguessable, batches)
    with pytest.warns(UserWarning, match="measures nothing, and the training goes on"):
        watched = weights_after(
            tmp_path, Unguessable, batches, monitor := DerivativeMonitor(figure_every_n_epochs=None)
        )
    assert not monitor.errors and all(torch.equal(alone[name], watched[name]) for name in alone)
    with pytest.raises((TypeError, RuntimeError)):
        weights_after(tmp_path, Unguessable, batches, DerivativeMonitor(on_finding="raise"))
