"""The table of predictions against sympy's derivatives, over loaders, processes and formats."""

import math
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import sympy
import torch
from cases import quiet_trainer
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from sobolev import MLP, DerivativeMonitor, FunctionData, Regressor, TableData
from sobolev.data.prediction_points import PointsGrid, PointsLoader
from sobolev.report.predictions import PredictionWriter, column_names

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*Total length of|.*num_workers"),
]


class Known(LightningModule):
    """Two outputs of two inputs: sin(x) exp(z / 2) and x² z."""

    def forward(self, x):
        a, b = x.unbind(1)
        return torch.stack([torch.sin(a) * torch.exp(b / 2), a**2 * b], dim=1)

    def predict_step(self, batch):
        return self(batch[0] if isinstance(batch, list | tuple) else batch)


def expected(points):
    """Every column by sympy, at (n, 2) points in float64."""
    x, z = sympy.symbols("x z")
    functions = [sympy.sin(x) * sympy.exp(z / 2), x**2 * z]
    expressions = [x, z, *functions]
    expressions += [f.diff(v) for f in functions for v in (x, z)]
    expressions += [f.diff(*v) for f in functions for v in ((x, x), (x, z), (z, z))]
    values = [sympy.lambdify((x, z), e, "numpy") for e in expressions]
    return torch.tensor([[float(f(*row)) for f in values] for row in points.tolist()], dtype=torch.float64)


def predict(folder, loader, module=None, **options):
    writer = PredictionWriter(**{"input_names": ["x", "z"], "output_names": ["u", "v"], **options})
    trainer = Trainer(
        accelerator="cpu", logger=False, default_root_dir=folder, callbacks=[writer],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.predict(module or Known(), loader, return_predictions=False)
    return writer


NAMES = [
    *["x", "z", "u", "v", "du/dx", "du/dz", "dv/dx", "dv/dz"],
    *["d2u/dx2", "d2u/dxdz", "d2u/dz2", "d2v/dx2", "d2v/dxdz", "d2v/dz2"],
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_table_holds_the_derivatives(tmp_path, suffix, dtype):
    points = torch.randn(103, 2, dtype=dtype, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(points), batch_size=10)
    writer = predict(tmp_path, loader, path=tmp_path / f"out{suffix}")
    table = pl.read_csv(writer.written) if suffix == ".csv" else pl.read_parquet(writer.written)
    assert table.columns == NAMES
    read = table.cast(pl.Float64).to_torch()
    assert torch.equal(read[:, :2].to(dtype), points)  # the user's own numbers, to the last bit
    torch.testing.assert_close(read, expected(points.double()), rtol=0, atol=2e-5 if dtype == torch.float32 else 1e-12)
    assert list(tmp_path.iterdir()) == [writer.written]


def test_float32_is_written_as_short_as_it_was_read(tmp_path):
    loader = DataLoader(torch.tensor([[0.1, 2.5]]))
    text = predict(tmp_path, loader, path=tmp_path / "out.csv").written.read_text()
    assert text.splitlines()[1].startswith("0.1,2.5,")


def test_an_earlier_table_stays_unless_told_otherwise(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    loader = DataLoader(torch.zeros(3, 2))
    assert predict(tmp_path, loader, path=path).written == tmp_path / "out_1.csv"
    assert predict(tmp_path, loader, path=path).written == tmp_path / "out_2.csv"
    assert path.read_text() == "mine"
    assert predict(tmp_path, loader, path=path, overwrite=True).written == path
    assert len(pl.read_csv(path)) == 3


def test_default_place_is_the_run_directory(tmp_path):
    assert predict(tmp_path, DataLoader(torch.zeros(3, 2))).written == tmp_path / "logs" / "run_0" / "predictions.csv"


@pytest.mark.filterwarnings("ignore:.*shuffling enabled")
def test_shuffled_loader_comes_back_in_order(tmp_path):
    points = torch.arange(50.0).reshape(25, 2) / 50
    loader = DataLoader(points, batch_size=4, shuffle=True)
    table = pl.read_csv(predict(tmp_path, loader).written)
    assert torch.equal(table.select("x", "z").cast(pl.Float32).to_torch(), points)


def test_iterable_dataset_keeps_its_order(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(torch.arange(14.0).reshape(7, 2))

    table = pl.read_csv(predict(tmp_path, DataLoader(Stream(), batch_size=3)).written)
    assert table["x"].to_list() == [0, 2, 4, 6, 8, 10, 12]


def test_one_input_one_output_without_an_axis_of_their_own(tmp_path):
    class Cube(LightningModule):
        def forward(self, x):
            return x**3

        def predict_step(self, batch):
            return self(batch)

    writer = predict(tmp_path, DataLoader(torch.tensor([1.0, 2.0])), Cube(), input_names=None, output_names=None)
    table = pl.read_csv(writer.written)
    assert table.to_dict(as_series=False) == {
        "x": [1, 2], "y": [1, 8], "dy/dx": [3, 12], "d2y/dx2": [6, 12],
    }  # fmt: skip


def test_dropout_is_off(tmp_path):
    class Dropped(Known):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(super().forward(x))

        def on_predict_model_eval(self):
            self.train()

    points = torch.rand(20, 2)
    module = Dropped()
    table = pl.read_csv(predict(tmp_path, DataLoader(points, batch_size=20), module).written)
    torch.testing.assert_close(table.to_torch().double(), expected(points.double()), rtol=0, atol=1e-5)


def test_a_failure_leaves_nothing_behind(tmp_path):
    loader = DataLoader(torch.zeros(3, 2, dtype=torch.long))
    module = Known()
    module.predict_step = lambda batch: batch
    with pytest.raises(TypeError, match="begin with x"):
        predict(tmp_path, loader, module, path=tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_messages():
    with pytest.raises(ValueError, match=r"ends in .csv or .parquet"):
        PredictionWriter("out.xlsx")
    with pytest.raises(ValueError, match="two columns 'x'"):
        column_names(["x"], ["x"])


def test_names_of_a_wrong_number_are_refused(tmp_path):
    with pytest.raises(ValueError, match="1 input names"):
        predict(tmp_path, DataLoader(torch.zeros(3, 2)), input_names=["x"])


def test_two_dataloaders_are_refused(tmp_path):
    loaders = [DataLoader(torch.zeros(3, 2)), DataLoader(torch.zeros(3, 2))]
    module = Known()
    module.predict_step = lambda batch, batch_idx, dataloader_idx=0: batch
    with pytest.raises(ValueError, match="one predict dataloader, not 2"):
        predict(tmp_path, loaders, module)


def test_a_grid_through_our_loader(tmp_path):
    grid = PointsGrid({"x": (0, 1, 7), "z": (-1, 1, 3)}, ["x", "z"])
    table = pl.read_csv(predict(tmp_path, PointsLoader(grid, 4, torch.float64)).written)
    x, z = torch.meshgrid(torch.linspace(0, 1, 7).double(), torch.linspace(-1, 1, 3).double(), indexing="ij")
    torch.testing.assert_close(table["x"].to_torch(), x.flatten(), rtol=0, atol=1e-7)
    torch.testing.assert_close(table["z"].to_torch(), z.flatten(), rtol=0, atol=1e-7)


SCRIPT = """
import sys, torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset
from sobolev.report.predictions import PredictionWriter
from sobolev.data.loader import BatchLoader, EpochBatches
from sobolev.data.prediction_points import PointsLoader
from sobolev.data.tables import Table
torch.set_num_threads(1)
class Square(LightningModule):
    def forward(self, x): return (x**2).sum(1, keepdim=True)
    def predict_step(self, batch): return self(batch[0])
folder, kind = sys.argv[1:]
writer = PredictionWriter(f"{folder}/{kind}.parquet", input_names=["x"], output_names=["y"])
trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, default_root_dir=folder,
                  callbacks=[writer], enable_progress_bar=False, enable_model_summary=False)
if kind == "torch":
    loader = DataLoader(TensorDataset(torch.arange(101.0)[:, None]), batch_size=8)
elif kind == "tensors":
    loader = BatchLoader([torch.arange(101.0)[:, None]], EpochBatches(101, 8, False, 0, trainer.global_rank, 2))
else:
    source = Table(f"{folder}/points.csv", ["x"])
    loader = PointsLoader(source, 8, torch.float32, trainer.global_rank, 2)
trainer.predict(Square(), loader, return_predictions=False)
torch.distributed.destroy_process_group()  # gloo's threads may abort an interpreter that ends without it
"""


@pytest.mark.parametrize("kind", ["torch", "tensors", "file"])
def test_two_processes_write_every_row_once_in_order(tmp_path, kind):
    (tmp_path / "points.csv").write_text("x\n" + "\n".join(map(str, range(101))))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path), kind],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    table = pl.read_parquet(tmp_path / f"{kind}.parquet")
    assert table["x"].to_list() == list(range(101))
    assert table["y"].to_list() == [x**2 for x in range(101)]
    assert table["dy/dx"].to_list() == [2 * x for x in range(101)]
    assert table["d2y/dx2"].to_list() == [2] * 101
    assert not [path for path in Path(tmp_path).iterdir() if path.name.startswith(".")]


def test_named_derivatives_name_their_columns():
    names = column_names(["s", "v"], ["price"], {"dprice/ds": "delta", "d2price/dsdv": "vanna"})
    assert names == ["s", "v", "price", "delta", "dprice/dv", "d2price/ds2", "vanna", "d2price/dv2"]
    with pytest.raises(ValueError, match="two columns 'price'"):
        column_names(["s"], ["price"], {"dprice/ds": "price"})


def measured_table(tmp_path, rows=120):
    x = 2 * torch.rand(rows, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    text = "\n".join(f"{a!r},{math.sin(2 * a)!r}" for a in x[:, 0].tolist())
    (tmp_path / "table.csv").write_text(f"t,level\n{text}\n")
    (tmp_path / "new.csv").write_text("t\n0.5\n1.5\n9.0\n")
    return TableData(tmp_path / "table.csv", ["t"], ["level"], predict_points=str(tmp_path / "new.csv"))


@pytest.mark.parametrize("deviations", [True, False])
def test_a_table_of_measurements_gets_standard_deviations_and_a_mark_outside(tmp_path, caplog, deviations):
    data, monitor = measured_table(tmp_path), DerivativeMonitor(on_finding="ignore", figure_every_n_epochs=None)
    trainer = quiet_trainer(tmp_path, monitor, max_epochs=20)
    trainer.fit(Regressor(MLP(hidden=(16,))), datamodule=data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    module = Regressor.load_from_checkpoint(tmp_path / "last.ckpt")
    writer = PredictionWriter(tmp_path / "p.csv", deviations=deviations)
    with caplog.at_level("INFO"):
        quiet_trainer(tmp_path, writer).predict(
            module, datamodule=data, ckpt_path=tmp_path / "last.ckpt", weights_only=True, return_predictions=False
        )
    assert ("1 of 3 points lies outside of the rows" in caplog.text) == deviations
    assert "holds no estimate" not in caplog.text
    table = pl.read_csv(tmp_path / "p.csv")
    names = ["level", "dlevel/dt", "d2level/dt2"]
    if not deviations:
        assert table.columns == ["t", *names]
        return
    assert table.columns == ["t", *(column for name in names for column in (name, f"{name}_std")), "outside"]
    assert table["outside"].to_list() == [0, 0, 1]
    truth = [math.sin(1.0), 2 * math.cos(1.0), -4 * math.sin(1.0)]
    for name, exact in zip(names, truth, strict=True):
        assert abs(table[name][0] - exact) < 4 * table[f"{name}_std"][0]
        assert table[f"{name}_std"][2] > table[f"{name}_std"][0]


@pytest.mark.parametrize("known", [True, False])
def test_a_checkpoint_without_an_estimate_is_said_where_one_may_be_looked_for(tmp_path, caplog, known):
    data = FunctionData("t**2", predict_points={"t": [0, 1, 3]}) if known else measured_table(tmp_path)
    module, trainer = Regressor(MLP(hidden=(4,))), quiet_trainer(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    writer = PredictionWriter(tmp_path / "p.csv")
    with caplog.at_level("INFO"):
        quiet_trainer(tmp_path, writer).predict(
            module, datamodule=data, ckpt_path=tmp_path / "last.ckpt", weights_only=True, return_predictions=False
        )
    assert ("last.ckpt holds no estimate, so the table has no standard deviations" in caplog.text) == (not known)
    assert "outside" not in pl.read_csv(tmp_path / "p.csv").columns


class Squares(LightningModule):
    def forward(self, x):
        return x.square().sum(1, keepdim=True)


@pytest.mark.parametrize(("order", "columns"), [(None, 50 + 1 + 50), (1, 101), (2, 101 + 1275)])
def test_second_derivatives_by_many_inputs_are_written_on_request(tmp_path, capsys, caplog, order, columns):
    names = [f"x{i}" for i in range(50)]
    loader = DataLoader(torch.rand(3, 50), batch_size=2)
    with caplog.at_level("INFO"):
        writer = predict(tmp_path, loader, Squares(), input_names=names, output_names=["y"], order=order)
    assert pl.read_csv(writer.written).width == columns
    assert caplog.text.count("1275 columns") == (order is None)


def test_outputs_that_are_no_numbers_are_counted(tmp_path):
    class Root(LightningModule):
        def forward(self, x):
            return x.sqrt()

    writer = predict(tmp_path, DataLoader(torch.tensor([[-1.0], [4.0]])), Root(), input_names=["x"], output_names=["y"])
    assert writer.not_finite == 1
