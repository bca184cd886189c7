"""Batches, models and tensors that others have thought of: objects, graphs, distributions, classes of tensors."""

import lightning.pytorch
import pytest
import torch
from cases import Plain, quiet_trainer
from torch import nn
from torch.distributions import Normal

import sobolev
from sobolev import DerivativeMonitor

pytestmark = pytest.mark.filterwarnings("ignore:The .val_dataloader. does not have many workers")

QUIET = {"on_finding": "raise", "figure_every_n_epochs": None}
X = torch.linspace(-1, 1, 24).reshape(12, 2)
Y = X.sin().sum(1, keepdim=True)


class Record:
    """A batch of a class of somebody's own."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def to(self, device):
        return Record(self.x.to(device), self.y.to(device))


class Sine(lightning.pytorch.LightningModule):
    """The sum of the sines of all inputs."""

    def forward(self, x):
        return x.sin().flatten(1).sum(1, keepdim=True)

    def validation_step(self, batch, batch_idx):
        pass


class Batches:
    """What Lightning takes for one loader."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def measured(tmp_path, module, monitor, *batches):
    quiet_trainer(tmp_path, monitor).validate(module, Batches(*batches), verbose=False)
    return monitor.errors


def sizes(*points):
    """Root mean squares of value, gradient and Hessian of a sum of sines at some points."""
    x = torch.cat(points).flatten(1).double()
    entries = x.sin().sum(1), x.cos(), torch.diag_embed(x.sin())
    return [e.square().mean().sqrt().item() for e in entries]


@pytest.mark.parametrize("inputs", [None, "x"])
def test_attributes_are_entries(tmp_path, inputs):
    errors = measured(tmp_path, Sine(), DerivativeMonitor(inputs=inputs, **QUIET), Record(X, Y))
    assert errors[0]["rmse"] < 1e-6
    assert [e["rms"] for e in errors[1:]] == pytest.approx(sizes(X)[1:], rel=1e-5)


class OfRecords(Sine):
    def forward(self, batch):
        return batch.x.sin().sum(1, keepdim=True)


class OfWhole(Sine):
    """Reads two of the entries of a batch, and returns more than an energy."""

    def forward(self, batch):
        return {"energy": batch["x"].sin() + batch["t"].sin(), "loss": (batch["x"].sin() - batch["u"]).square()}


class Unpacked(Sine):
    def forward(self, data):
        x, _ = data
        return x.sin().sum(1, keepdim=True)


def test_of_a_whole_batch_what_forward_reads_is_differentiated(tmp_path):
    """Targets are in it, which nobody reads."""
    extra = Record(X, Y)
    extra.weights = torch.rand(12, 1)
    for module, batch in ((OfRecords(), Record(X, Y)), (OfRecords(), extra), (Unpacked(), (X, Y))):
        errors = measured(tmp_path, module, DerivativeMonitor(**QUIET), batch)
        assert errors[0]["rmse"] < 1e-6
        assert [e["rms"] for e in errors[1:]] == pytest.approx(sizes(X)[1:], rel=1e-5)


def test_of_a_whole_batch_outputs_are_told_apart_by_name(tmp_path):
    batch = {"x": X[:, :1], "t": X[:, 1:], "u": Y, "label": Y}
    with pytest.raises(TypeError, match="`output: energy`"):
        measured(tmp_path, OfWhole(), DerivativeMonitor(**QUIET), batch)
    errors = measured(tmp_path, OfWhole(), DerivativeMonitor(output="energy", **QUIET), batch)
    assert errors[0]["rmse"] < 1e-6 and errors[1]["rms"] == pytest.approx(sizes(X)[1], rel=1e-5)


class OfPlane(Sine):
    def forward(self, batch):
        return torch.sin(batch["x"]) + torch.sin(batch["y"])


def test_an_input_with_the_name_of_a_target_is_asked_for(tmp_path):
    batch = {"x": X[:, :1], "y": X[:, 1:], "u": Y}
    with pytest.raises(TypeError, match=r"it reads 'x', 'y', of which y may be a target, or no input; say inputs="):
        measured(tmp_path, OfPlane(), DerivativeMonitor(**QUIET), batch)
    errors = measured(tmp_path, OfPlane(), DerivativeMonitor(inputs=["x", "y"], targets="u", **QUIET), batch)
    assert errors[0]["rmse"] < 1e-6 and errors[1]["rms"] == pytest.approx(sizes(X)[1], rel=1e-5)


class Mine(DerivativeMonitor):
    def inputs_of(self, batch):
        return batch.x

    def outputs_at(self, model, batch, x):
        return model(Record(x, batch.y))


def test_overridden_methods_come_first(tmp_path):
    errors = measured(tmp_path, OfRecords(), Mine(**QUIET), Record(X, Y))
    assert [e["rms"] for e in errors[1:]] == pytest.approx(sizes(X)[1:], rel=1e-5)


class Graphs:
    """What torch_geometric calls a batch: rows for nodes, samples are graphs."""

    def __init__(self, graphs):
        self.pos, self.y = (torch.cat([graph[name] for graph in graphs]) for name in ("pos", "y"))
        counts = torch.tensor([len(graph["pos"]) for graph in graphs])
        self.ptr, self.num_graphs = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]), len(graphs)

    @staticmethod
    def from_data_list(graphs):
        return Graphs(graphs)

    def index_select(self, rows):
        ends = list(zip(self.ptr[:-1].tolist(), self.ptr[1:].tolist(), strict=True))
        return [{"pos": self.pos[ends[i][0] : ends[i][1]], "y": self.y[i : i + 1]} for i in range(len(ends))[rows]]

    def to(self, device):
        return self


class OfGraphs(Sine):
    def forward(self, graphs):
        of_nodes = graphs.pos.sin().sum(1, keepdim=True)
        return torch.stack([part.sum(0) for part in of_nodes.split(graphs.ptr.diff().tolist())])


def test_samples_of_graphs_are_graphs(tmp_path):
    """Positions of molecules of one size, (molecules, atoms, 3), from rows of atoms."""
    batches = []
    for count in (5, 3):
        points = torch.rand(count, 4, 3)
        batches.append(Graphs([{"pos": p, "y": p.sin().sum().reshape(1, 1)} for p in points]))
    monitor = DerivativeMonitor(inputs="pos", **QUIET)
    errors = measured(tmp_path, OfGraphs(), monitor, *batches)
    assert monitor.points == 8 and errors[0]["rmse"] < 1e-6
    wanted = sizes(*(batch.pos.reshape(-1, 4, 3) for batch in batches))
    assert [e["rms"] for e in errors[1:]] == pytest.approx(wanted[1:], rel=1e-5)


class Uncertain(Sine):
    def forward(self, x):
        return Normal(x.sin().sum(1, keepdim=True), 1 + x.square().sum(1, keepdim=True))


def test_of_a_distribution_the_mean_is_measured_or_what_is_named(tmp_path):
    assert measured(tmp_path, Uncertain(), DerivativeMonitor(**QUIET), (X, Y))[0]["rmse"] < 1e-6
    (_, slope, bend) = measured(tmp_path, Uncertain(), DerivativeMonitor(output="scale", **QUIET), (X, Y))
    assert slope["rms"] == pytest.approx((2 * X).square().mean().sqrt().item(), rel=1e-5)
    assert bend["rms"] == pytest.approx(2**0.5, rel=1e-5)


class MeanAndSpread(Sine):
    def forward(self, x):
        return torch.cat([x.sin().sum(1, keepdim=True), x.exp().sum(1, keepdim=True)], 1)


def test_a_column_of_the_output_may_be_named(tmp_path):
    assert measured(tmp_path, MeanAndSpread(), DerivativeMonitor(output=0, **QUIET), (X, Y))[0]["rmse"] < 1e-6
    with pytest.raises(ValueError, match=r"output=0, or targets=\[None\]"):
        measured(tmp_path, MeanAndSpread(), DerivativeMonitor(targets=1, **QUIET), (X, Y))


@pytest.mark.filterwarnings("ignore:The number of training batches", "ignore:Found 1 module.s. in eval mode")
def test_two_columns_for_one_target_end_no_training(tmp_path):
    monitor = DerivativeMonitor(figure_every_n_epochs=None, on_finding="ignore")
    module = Plain(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)))
    module.training_step = lambda batch, batch_idx: module(batch[0]).square().mean()
    quiet_trainer(tmp_path, monitor).fit(module, Batches((X, Y)), Batches((X, Y)))
    assert len(monitor.errors) == 3 and "the targets have 1 values a row, the model 2" in monitor.estimation.remark


class Named(torch.Tensor):
    """A tensor whose columns have names, without which it cannot even be copied."""

    def clone(self, *args, **kwargs):
        return named(super().clone(*args, **kwargs).as_subclass(torch.Tensor), self.names_of_columns)


def named(x, names):
    x = x.as_subclass(Named)
    x.names_of_columns = names
    return x


class OfNamed(Sine):
    def forward(self, x):
        plain = x.as_subclass(torch.Tensor) if isinstance(x, Named) else x
        return plain[:, [x.names_of_columns.index("x")]].sin() + plain[:, [x.names_of_columns.index("t")]].sin()


@pytest.mark.parametrize("points", [None, {"x": [-1, 1, 3], "t": [-1, 1, 3]}])
def test_tensors_of_a_class_of_somebodys_own(tmp_path, points):
    monitor = DerivativeMonitor(points=points, **QUIET)
    quiet_trainer(tmp_path, monitor).validate(OfNamed(), Batches((named(X.clone(), ["x", "t"]), Y)), verbose=False)
    at = X if points is None else torch.cartesian_prod(*[torch.linspace(-1, 1, 3)] * 2)
    assert [e["rms"] for e in monitor.errors[1:]] == pytest.approx(sizes(at)[1:], rel=1e-5)


def test_forces_are_minus_the_gradient(tmp_path):
    batch = {"x": X, "energy": Y, "forces": -1000 * X.cos(), "bends": torch.diag_embed(-X.sin())}
    targets = {0: "energy", 1: "-0.001 * forces", 2: "bends"}
    errors = measured(tmp_path, Sine(), DerivativeMonitor(targets=targets, **QUIET), batch)
    assert max(e["relative_l2"] for e in errors) < 1e-6


def test_what_was_measured_outlives_a_prediction(tmp_path):
    class Predicting(Sine):
        def predict_step(self, batch, batch_idx):
            return self(batch[0])

    monitor = DerivativeMonitor(figure_every_n_epochs=None)
    trainer = quiet_trainer(tmp_path, monitor)
    trainer.validate(Predicting(), Batches((X, Y)), verbose=False)
    trainer.predict(trainer.lightning_module, Batches((X, Y)))
    assert len(monitor.errors) == 3


def test_without_a_trainer_the_monitor_says_what_does_its_work():
    monitor = DerivativeMonitor()
    for arguments in ((), (object(), Sine(), (X, Y), 0)):
        with pytest.raises(TypeError, match=r"Fabric, sobolev.metrics.DerivativeError"):
            monitor.on_validation_batch_end(*arguments)
    assert hasattr(sobolev.metrics, "DerivativeError")
