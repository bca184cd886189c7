"""What all data modules of tensors share: precision, device, shards."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import signature
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float64, Int64
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from typing_extensions import override

from sobolev.data.description import KEY, check_same, plain, units_in, variables
from sobolev.data.loader import BatchLoader, EpochBatches
from sobolev.data.prediction_points import PointsLoader, PredictPoints, points_source
from sobolev.data.suspicions import beyond_single
from sobolev.data.tables import Table
from sobolev.data.tables.units import check_same_units
from sobolev.errors import check_counts
from sobolev.functions import Function
from sobolev.optimizers.quasi_newton import SEARCHING

_DTYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}
_SHARE_OF_DEVICE = 0.25
"""Tensors move to the accelerator as a whole if they take at most this part of its free memory."""


class Split(NamedTuple):
    """The rows of one purpose, in float64."""

    inputs: Float64[Tensor, "rows inputs"]
    targets: Float64[Tensor, "rows outputs"]
    labels: tuple[Float64[Tensor, "rows outputs *inputs"], ...] = ()
    """Derivatives of order 1, then 2: (rows, outputs, inputs), (rows, outputs, inputs, inputs). NaN: no label."""
    places: Int64[Tensor, " rows"] | None = None
    """Where the rows stand in their file."""


class TensorDataModule(LightningDataModule):
    """Batches `(x, y)`, or `(x, y, d1[, d2])` with derivative labels, from tensors in memory.

    Args:
        batch_size: rows per training batch and process; None: all of them for an optimiser that searches along lines
            (`sobolev.optimizers`, L-BFGS), which needs them, else 250, or as many as a subclass says in `usual_batch`.
        evaluation_batch_size: rows per batch in validation, test and prediction.
        seed: fixes the split and the order of every epoch.
        shuffle: a new order each epoch.
        num_workers: processes that fetch batches; tensors in memory need none.
        predict_points: what `predict` predicts at: None for the test points, the path of a CSV or Parquet file with
            the inputs as columns, or a grid, `{x: [low, high, count], ...}`.

    Attributes:
        reference: the function with its exact derivatives, where it is known.
        input_names: the names of the columns of x.
        output_names: the names of the columns of y.
        derivative_names: names for derivatives, as `{"dprice/dspot": "delta"}`.
        units: of inputs and outputs, as far as they are known.
        samples: how many training rows were asked for, 0 where the data have as many as they have.
        usual_batch: how many rows a training batch has if nothing else is asked for.
        training: all tensors of the training split, float64; likewise `validation` and `test`.
    """

    reference: Function | None
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    derivative_names: Mapping[str, str] = MappingProxyType({})
    units: Mapping[str, str] = MappingProxyType({})
    samples: int = 0
    usual_batch: int = 250
    training: Split
    validation: Split
    test: Split

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Remembers how it was made, for checkpoints."""
        made = super().__new__(cls)
        made._made_by = signature(cls).bind_partial(*arguments, **options).arguments  # pyright: ignore[reportAttributeAccessIssue]
        return made

    def __init__(
        self,
        batch_size: int | None,
        evaluation_batch_size: int,
        seed: int,
        shuffle: bool,
        num_workers: int,
        predict_points: PredictPoints | None = None,
    ) -> None:
        super().__init__()
        check_counts(1, batch_size=1 if batch_size is None else batch_size, evaluation_batch_size=evaluation_batch_size)
        check_counts(0, seed=seed, num_workers=num_workers)
        self.batch_size, self.evaluation_batch_size = batch_size, evaluation_batch_size
        self.seed, self.shuffle, self.num_workers = seed, shuffle, num_workers
        self.predict_points = predict_points
        self._ready = False

    @abstractmethod
    def make_splits(self) -> tuple[Split, Split, Split]:
        """The rows for training, validation and test; the same on every process."""

    @override
    def setup(self, stage: str | None = None) -> None:
        """Make the tensors, once; called by Lightning, or by hand. Points to predict at need none."""
        if not self._ready and (stage != "predict" or self.predict_points is None):
            self.training, self.validation, self.test = self.make_splits()
            self._ready = True

    def exceeds(self, rows: int) -> bool:
        """Whether there are more rows of training than this, as far as it can be told before they are made."""
        return self.samples > rows

    def description(self) -> dict[str, Any]:
        """Names, units and ranges of inputs and outputs, and how to make these data again, in plain types."""
        training = self.training if self._ready else None
        made: dict[str, Any] = {}
        with suppress(TypeError):  # made by a function of Python, for example
            home = "sobolev" if type(self).__module__.startswith("sobolev.") else type(self).__module__
            made = {"class_path": f"{home}.{type(self).__qualname__}", "init_args": plain(self._made_by)}  # pyright: ignore[reportAttributeAccessIssue]
        return {
            **made,
            "inputs": variables(self.input_names, self.units, None if training is None else training.inputs),
            "outputs": variables(self.output_names, self.units, None if training is None else training.targets),
        }

    def beyond_single(self) -> str | None:
        """Why float32 is not enough for these data; None where it is."""
        names, parts = (*self.input_names, *self.output_names), (self.training.inputs, self.training.targets)
        return beyond_single(names, torch.cat(parts, 1))

    @property
    def training_batch_size(self) -> int:
        """Rows per training batch: those asked for, or what suits the optimiser of the trainer."""
        if self.batch_size is not None:
            return self.batch_size
        return len(self.training.inputs) if self._for_line_search() else self.usual_batch

    @override
    def state_dict(self) -> dict[str, Any]:
        """The description, for a checkpoint."""
        return {KEY: self.description()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuses a network whose inputs had another order or other units."""
        if KEY in state_dict:
            check_same(state_dict[KEY], self.input_names, self.output_names)
            trained = units_in(state_dict[KEY])
            check_same_units("the data", trained, self.units)
            self.units = {**trained, **self.units}

    @property
    def training_inputs(self) -> Float64[Tensor, "rows inputs"]:
        """(rows, inputs), float64."""
        return self.training.inputs

    @property
    def training_targets(self) -> Float64[Tensor, "rows outputs"]:
        """(rows, outputs), float64."""
        return self.training.targets

    @property
    def validation_points(self) -> Float64[Tensor, "rows inputs"]:
        """(rows, inputs), float64."""
        return self.validation.inputs

    @property
    def test_points(self) -> Float64[Tensor, "rows inputs"]:
        """(rows, inputs), float64."""
        return self.test.inputs

    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches; the same few ones each epoch if the trainer overfits on them."""
        overfit = self.trainer is not None and getattr(self.trainer, "overfit_batches", 0) > 0
        if self.batch_size is None and self.training_batch_size > self.usual_batch:
            rows = self.training_batch_size
            rank_zero_info(f"a batch is all {rows} rows, as the optimiser compares losses of one batch; see batch_size")
        return self._loader(self.training, self.training_batch_size, self.shuffle and not overfit)

    def val_dataloader(self) -> BatchLoader:
        """The validation rows in order."""
        return self._loader(self.validation, self.evaluation_batch_size, False)

    def test_dataloader(self) -> BatchLoader:
        """The test rows in order."""
        return self._loader(self.test, self.evaluation_batch_size, False)

    def predict_dataloader(self) -> BatchLoader | PointsLoader:
        """The points to predict at, in order."""
        if self.predict_points is None:
            return self.test_dataloader()
        table = {name: getattr(self, name) for name in ("separator", "decimal_comma") if hasattr(self, name)}
        source = points_source(self.predict_points, self.input_names, **table)
        if isinstance(source, Table):
            check_same_units(source.path, self.units, source.units)
        return PointsLoader(source, self.evaluation_batch_size, self.dtype, *self._place())

    @override
    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Straight there, without Lightning's search through nested batches: these are tuples of tensors."""
        return tuple(tensor.to(device, non_blocking=True) for tensor in batch)

    def _for_line_search(self) -> bool:
        """Whether the optimiser compares losses of one batch, so that each batch is to be all rows."""
        optimizers = [] if self.trainer is None else self.trainer.optimizers
        module = None if self.trainer is None else self.trainer.lightning_module
        return getattr(module, "searches_lines", False) or any(isinstance(o, SEARCHING) for o in optimizers)

    def _loader(self, split: Split, batch_size: int, shuffle: bool) -> BatchLoader:
        batches = EpochBatches(len(split.inputs), batch_size, shuffle, self.seed, *self._place())
        names = (self.input_names, self.output_names)
        parts = (split.inputs, split.targets, *split.labels)
        tensors = [self._cast(tensor, split.places, *names[i : i + 1]) for i, tensor in enumerate(parts)]
        return BatchLoader(self._placed(tensors), batches, self.num_workers)

    def _cast(self, tensor: Tensor, places: Tensor | None, names: Sequence[str] = ()) -> Tensor:
        cast = tensor.to(self.dtype)
        if cast.isinf().any():
            row, *place = cast.isinf().nonzero()[0].tolist()
            what = names[place[0]] if names else "a derivative label"
            where = f"row {row}" if places is None else f"row {int(places[row])} of the table"
            raise ValueError(
                f"{what} is {float(tensor[(row, *place)]):g} in {where}, beyond {self.dtype}: take --trainer.precision "
                "64-true (or network.double()), or write the data in other units"
            )
        return cast

    def _place(self) -> tuple[int, int]:
        """The number of this process and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    @property
    def dtype(self) -> torch.dtype:
        """Of the batches: float64 for a network of float64, else what the trainer's precision asks for."""
        precision = None if self.trainer is None else self.trainer.precision
        if self.trainer is not None and getattr(self.trainer.lightning_module, "dtype", None) == torch.float64:
            return torch.float64
        return _DTYPES.get(str(precision), torch.get_default_dtype())

    def _placed(self, tensors: list[Tensor]) -> list[Tensor]:
        """On the CUDA device if they fit there; Lightning moves the batches of any other device."""
        device = None if self.trainer is None else self.trainer.strategy.root_device
        if device is None or device.type != "cuda" or self.num_workers:
            return tensors
        free, _ = torch.cuda.mem_get_info(device)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return [tensor.to(device) for tensor in tensors] if size <= _SHARE_OF_DEVICE * free else tensors
