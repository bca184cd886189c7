"""`PredictionWriter`: a table of predictions with first and second derivatives."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import torch
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from sobolev.autodiff import hessian, jacobian
from sobolev.autodiff.engine import ChunkSize, Method
from sobolev.autodiff.guard import evaluating
from sobolev.callbacks.base import Callback
from sobolev.callbacks.processes import gathered
from sobolev.data.description import names_in
from sobolev.estimates.estimate import KEY, DerivativeEstimate
from sobolev.functions.notation import derivative_notation
from sobolev.report.column_units import column_units, known_units, write_units
from sobolev.report.joining import PartWriter, join
from sobolev.report.run_directory import as_typed, free_path, run_directory
from sobolev.training.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


_MOST_SECOND = 1000
"""More columns of second derivatives for each output are written on request only."""


class PredictionWriter(Callback):
    """In `predict`, write inputs, predictions and all first and second derivatives to a table.

    The columns are named `x`, `y`, `dy/dx`, `d2y/dx2`, `d2y/dxdz`, mixed pairs once, or as the data module's
    `derivative_names` say. Where the checkpoint holds an estimate of the errors (`DerivativeMonitor`), `y_std`,
    `dy/dx_std`, ... beside each are the standard deviations of its error, and `outside` is 1 for points that lie
    outside of the rows that were trained on. Units that are known go to `predictions.units.json` beside the table. Rows
    come in the order of the data whatever the number of processes, all of which must see the table's folder. One batch
    is in memory at a time. The module's forward maps (batch, inputs) to (batch, outputs); a batch is x or begins with
    x.

    Args:
        path: ends in `.csv` or `.parquet`; None: `predictions.csv` in the run's log directory.
        overwrite: replace an existing file; otherwise the table is written beside it, as `name_1.csv`.
        input_names: None takes the data module's, or `x`, or `x1`, `x2`, ....
        output_names: None takes the data module's, or `y`, or `y1`, `y2`, ....
        method: see `sobolev.hessian`.
        chunk_size: see `sobolev.hessian`.
        deviations: write the standard deviations and `outside`, where they are known; on the command line without
            them: `--trainer.callbacks+=PredictionWriter --trainer.callbacks.deviations=false`.
        order: of the highest derivatives, 1 or 2; None: 2, unless that were more than 1000 columns.

    Attributes:
        written: where the last table lies.
        not_finite: how many outputs of this process are no finite numbers.

    Raises:
        ValueError: another suffix; names that do not fit the tensors.
        TypeError: a batch that does not begin with a tensor.

    Examples:
        >>> import lightning, pathlib, sobolev
        >>> trainer = lightning.Trainer(callbacks=[sobolev.PredictionWriter("mine.csv")])
        >>> data = sobolev.FunctionData("x**2", domain=(-1, 1), predict_points={"x": [-1, 1, 3]})
        >>> predicted = trainer.predict(sobolev.Regressor(sobolev.MLP()), data)
        >>> pathlib.Path("mine.csv").read_text().splitlines()[0]
        'x,y,dy/dx,d2y/dx2'
    """

    def __init__(
        self,
        path: str | Path | None = None,
        overwrite: bool = False,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        method: Method = "auto",
        chunk_size: ChunkSize = "auto",
        deviations: bool = True,
        order: Literal[1, 2] | None = None,
    ) -> None:
        if path is not None and Path(path).suffix not in (".csv", ".parquet"):
            raise ValueError(f"path is {str(path)!r}; a table of predictions ends in .csv or .parquet")
        self.path, self.overwrite = path, overwrite
        self.input_names, self.output_names = input_names, output_names
        self.method: Method = method
        self.chunk_size: ChunkSize = chunk_size
        self.deviations = deviations
        self._estimate: DerivativeEstimate | None = None
        self.order = order
        self.written: Path | None = None
        self._scratch: Path | None = None
        self.not_finite = 0

    @override
    def on_predict_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Open this process's part of the table."""
        self._rows = row_numbers(_only(trainer.predict_dataloaders))
        if self._rows is None and trainer.world_size > 1:
            rank_zero_warn(
                "the predict dataloader does not tell the numbers of its rows: the table holds the rows of "
                "process 0, then those of process 1, and so on. Predict with one process to keep their order."
            )
        self._target = Path(self.path or run_directory(trainer) / "predictions.csv").absolute()
        self._scratch = self._target.parent / f".{self._target.stem}-{trainer.strategy.broadcast(uuid4().hex[:8])}"
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._part = PartWriter(self._scratch, trainer.global_rank, numbered=self._rows is not None)
        self._counted = self._outside = self.not_finite = 0
        self._columns: list[str] = []
        self._units: dict[str, str] = {}
        self._estimate = _estimate_of(trainer, pl_module, self.method) if self.deviations else None

    @override
    def on_predict_batch_end(
        self,
        trainer: "Trainer",
        pl_module: "LightningModule",
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Differentiate this batch and append it to this process's part."""
        x = _inputs(batch)
        with torch.no_grad(), evaluating(pl_module):
            tensors = self._differentiated(pl_module, x)
        n, inputs, order = len(x), x.shape[1:].numel(), len(tensors) - 1
        columns = _entries(tensors, n, inputs)
        names, self._units = self._names(trainer, pl_module, inputs, tensors[0].shape[1:].numel(), order)
        if self._estimate is not None:
            found = self._estimate.at(pl_module, x, order, method=self.method)
            deviations = _entries(found.deviations[: order + 1], n, inputs).to(columns)
            columns = torch.stack([columns, deviations], 2).flatten(1)
            columns = torch.cat([columns, found.outside[:, None].to(columns)], 1)
            self._outside += int(found.outside.sum())
            names = with_deviations(names, inputs)
        columns, self._columns = torch.cat([x.reshape(n, -1), columns], dim=1), names
        self._part.append(self._numbers(batch_idx, n), columns, names)
        self._counted += n
        self.not_finite += int((~tensors[0].isfinite()).sum())

    def _differentiated(self, model: "LightningModule", x: Tensor) -> tuple[Tensor, ...]:
        """y, the first and, where they are wanted, the second derivatives."""
        inputs, options = x.shape[1:].numel(), {"method": self.method, "chunk_size": self.chunk_size}
        seconds = inputs * (inputs + 1) // 2
        if self.order is None and seconds > _MOST_SECOND and not self._counted:
            rank_zero_info(
                f"second derivatives by {inputs} inputs are {seconds} columns for each output, which are left out of "
                "the table of predictions; PredictionWriter(order=2) writes them (--trainer.callbacks+="
                "sobolev.PredictionWriter --trainer.callbacks.order=2)"
            )
        few = self.order == 2 or (self.order is None and seconds <= _MOST_SECOND)
        return hessian(model, x, **options) if few else jacobian(model, x, **options)

    @override
    def on_predict_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Join the parts of all processes in the order of the data."""
        self._part.finish()
        trainer.strategy.barrier("predictions")
        if trainer.is_global_zero and self._scratch:
            unfinished = self._scratch / f"table{self._target.suffix}"
            join(self._scratch, trainer.world_size, unfinished)
            self.written = self._target if self.overwrite else free_path(self._target)
            unfinished.replace(self.written)
            self._discard()
            if beside := write_units(self.written, self._units, self._columns):
                rank_zero_info(f"Units of its columns: {as_typed(beside)}")
        self.written = trainer.strategy.broadcast(self.written)
        assert self.written is not None
        counted, outside = map(sum, zip(*gathered((self._counted, self._outside)), strict=True))
        rank_zero_info(f"Predictions: {as_typed(self.written)}")
        if outside:
            lie = "lies" if outside == 1 else "lie"
            rank_zero_info(
                f"{outside} of {counted} points {lie} outside of the rows that were trained on (`outside` is 1): what "
                "the table says there is extrapolation"
            )
        if self.deviations and self._estimate is None and _missed(trainer):
            rank_zero_info(
                f"{as_typed(Path(str(trainer.ckpt_path)).absolute())} holds no estimate, so the table has no standard "
                "deviations and no column `outside`: the training had a truth to compare with, no DerivativeMonitor "
                "(`--monitor false`), or too few rows; train with DerivativeMonitor(estimate='always'), or give the "
                "rows to DerivativeEstimate.fit"
            )

    @override
    def on_exception(self, trainer: "Trainer", pl_module: "LightningModule", exception: BaseException) -> None:
        """Leave no unfinished part behind."""
        self._discard()

    def _discard(self) -> None:
        if self._scratch is not None:
            self._part.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _numbers(self, batch: int, count: int) -> Sequence[int]:
        """The numbers of the rows of this batch."""
        if self._rows is None:
            return range(self._counted, self._counted + count)
        rows = [int(row) for row in self._rows(batch)][:count]
        if len(rows) != count:
            raise ValueError(f"batch {batch} has {count} rows, but its sampler names {len(rows)}; they must agree")
        return rows

    def _names(
        self, trainer: "Trainer", pl_module: "LightningModule", inputs: int, outputs: int, order: int
    ) -> tuple[list[str], dict[str, str]]:
        """Of the columns, and the units of those that have one."""
        data, trained_on = getattr(trainer, "datamodule", None), getattr(pl_module, "trained_on", None)
        known = {kind: names_in(trained_on, kind) if trained_on else None for kind in ("inputs", "outputs")}
        given = self.input_names or getattr(data, "input_names", known["inputs"])
        given_outputs = self.output_names or getattr(data, "output_names", known["outputs"])
        ins, outs = _named(given, inputs, "x", "input"), _named(given_outputs, outputs, "y", "output")
        called = getattr(data, "derivative_names", {})
        units = column_units(ins, outs, known_units(data, trained_on), called, order)
        return column_names(ins, outs, called, order), units


def column_names(
    inputs: Sequence[str],
    outputs: Sequence[str],
    derivative_names: Mapping[str, str] | None = None,
    order: int = 2,
) -> list[str]:
    """Inputs, outputs, then per output the first, then the second derivatives: `dy/dx`, `d2y/dx2`, `d2y/dxdz`.

    `derivative_names`, `{"dy/dx": "slope"}`, name some of them otherwise.

    Raises:
        ValueError: two columns would have the same name.
    """
    derivatives = [
        derivative_notation(y, by)
        for times in range(1, order + 1)
        for y in outputs
        for by in combinations_with_replacement(inputs, times)
    ]
    called = derivative_names or {}
    names = [*inputs, *outputs, *(called.get(derivative, derivative) for derivative in derivatives)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the table would have two columns {twice[0]!r}; give PredictionWriter other names")
    return names


def with_deviations(names: Sequence[str], inputs: int) -> list[str]:
    """The names of a table's columns, `y_std` behind `y` and so on, `outside` at the end.

    Raises:
        ValueError: two columns would have the same name.
    """
    found = [*names[:inputs], *(column for name in names[inputs:] for column in (name, f"{name}_std")), "outside"]
    if len(set(found)) < len(found):
        raise ValueError(
            "the table would have two columns of one name with its standard deviations; give PredictionWriter other "
            "names, or deviations=False"
        )
    return found


def _entries(tensors: Sequence[Tensor], n: int, inputs: int) -> Tensor:
    """Values, first and, where given, second derivatives, (n, columns), mixed pairs once."""
    parts = [*tensors]
    if len(parts) > 2:
        first, second = zip(*combinations_with_replacement(range(inputs), 2), strict=True)
        parts[2] = parts[2].reshape(n, -1, inputs, inputs)[:, :, list(first), list(second)]
    return torch.cat([part.reshape(n, -1) for part in parts], dim=1)


def _estimate_of(trainer: "Trainer", model: "LightningModule", method: Method) -> DerivativeEstimate | None:
    """That of the checkpoint that is predicted with; None where it holds none."""
    path = _checkpoint(trainer)
    state = None if path is None else read_checkpoint(path).get(KEY)
    return None if state is None else DerivativeEstimate.from_state_dict(state).judged(model, method)


def _checkpoint(trainer: "Trainer") -> Path | None:
    """The file that is predicted with."""
    path = trainer.ckpt_path
    return Path(path) if path and Path(path).is_file() else None


def _missed(trainer: "Trainer") -> bool:
    """Whether an estimate may be looked for that the checkpoint has not: of rows whose function nobody knows."""
    data = getattr(trainer, "datamodule", None)
    known = getattr(data, "reference", None) is not None or hasattr(data, "problem")  # an equation has no rows
    return _checkpoint(trainer) is not None and not known


def row_numbers(loader: Any) -> Callable[[int], Sequence[int]] | None:
    """A function from the number of a batch to the numbers of its rows, or None where nobody knows them.

    Lightning keeps them for a torch DataLoader; our own loaders have a `batch_sampler` to iterate over.
    """
    sampler: Any = getattr(loader, "batch_sampler", None)
    if hasattr(sampler, "seen_batch_indices"):
        return lambda batch: sampler.seen_batch_indices[batch]
    if sampler is None or isinstance(loader, DataLoader):  # a DataLoader of an IterableDataset
        return None
    in_turn = iter(sampler)
    return lambda _: next(in_turn)


def _only(loaders: Any) -> Any:
    if not isinstance(loaders, list | tuple):
        return loaders
    if len(loaders) != 1:
        raise ValueError(f"PredictionWriter writes one table; give one predict dataloader, not {len(loaders)}")
    return loaders[0]


def _inputs(batch: Any) -> Tensor:
    x = batch[0] if isinstance(batch, list | tuple) and batch else batch
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"the batch holds {kind}; it must be x or begin with x, a tensor (batch, inputs) of floats")
    return x


def _named(names: Sequence[str] | None, count: int, letter: str, what: str) -> Sequence[str]:
    if names is None:
        return [letter] if count == 1 else [f"{letter}{i + 1}" for i in range(count)]
    if len(names) != count:
        raise ValueError(f"there are {len(names)} {what} names ({', '.join(names)}) for {count} {what}s")
    return names
