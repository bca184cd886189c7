"""`TableData`: rows of the user's own table."""

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from typing_extensions import override

from sobolev.data.module import Split, TensorDataModule
from sobolev.data.prediction_points import PredictPoints
from sobolev.data.suspicions import Columns, refuse_beyond_float64, suspicions
from sobolev.data.tables import Table
from sobolev.data.tables.layout import checked_separator
from sobolev.data.tables.table import Rows
from sobolev.data.tables.units import without_units
from sobolev.functions.notation import checked_units, derivative_place
from sobolev.surrogates.labels import scarce


class TableData(TensorDataModule):
    r"""Rows of a CSV or Parquet file, split at random into training, validation and test.

    Batches are `(x, y)`, with derivative columns `(x, y, d1[, d2])`: d1 (batch, outputs, inputs), d2 (batch,
    outputs, inputs, inputs), NaN where no column or an empty cell gives no label.

    Args:
        path: a file of text with a header, such as .csv, .tsv, .txt, also compressed, or a .parquet file.
        inputs: the columns of x, with or without the units in the header; None: all that are left.
        outputs: the columns of y; None: the last one that is neither an input nor a derivative. Of several, cells may
            be empty; rows in which all are, and no derivative is given, are left out. An output, or a derivative, that
            fewer than ten rows have and others lack is not held out, nor is the first or last row along a single input.
        derivatives: the column of each known derivative, named `dy/dx`, `d2y/dx2`, `d2y/dxdz` with the columns'
            own names for y, x and z: `{"dprice/dspot": "delta"}`. Cells in them may be empty, then those of y as well.
            None: none; where inputs or outputs are not named either, the columns that have such a name themselves.
        separator: between the cells of a text; None: recognised.
        decimal_comma: whether numbers are written 1,5; None: recognised.
        validation_fraction: the part of the rows for validation.
        test_fraction: the part of the rows for the test.
        batch_size: training rows per batch and process; None: 250, or all for an optimiser that needs them (L-BFGS).
        evaluation_batch_size: rows per batch in validation, test and prediction.
        seed: of the split and of the order of every epoch.
        shuffle: a new order each epoch.
        num_workers: processes that fetch batches; a table in memory needs none.
        predict_points: see `TensorDataModule`: None for the test points, a path, or `{x: [low, high, count], ...}`.
        units: of columns, `{pressure: MPa}`; the header, `pressure [MPa]` or `pressure (MPa)`, or a row below it may
            say them as well.

    Raises:
        ValueError: names or fractions that make no sense; in `setup`, whatever is wrong with the table, with
            file, column, row and remedy.

    Examples:
        >>> import pathlib, sobolev
        >>> rows = "\n".join(f"{i / 10},{i * i / 100}" for i in range(50))
        >>> written = pathlib.Path("mine.csv").write_text(f"x,y\n{rows}")
        >>> data = sobolev.TableData("mine.csv")
        >>> data.setup()
        >>> data.input_names, data.output_names, len(data.training_inputs)
        (('x',), ('y',), 40)
    """

    reference: None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        inputs: list[str] | None = None,
        outputs: list[str] | None = None,
        derivatives: dict[str, str] | None = None,
        separator: str | None = None,
        decimal_comma: bool | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        batch_size: int | None = None,
        evaluation_batch_size: int = 2000,
        seed: int = 0,
        shuffle: bool = True,
        num_workers: int = 0,
        predict_points: PredictPoints | None = None,
        units: dict[str, str] | None = None,
    ) -> None:
        super().__init__(batch_size, evaluation_batch_size, seed, shuffle, num_workers, predict_points)
        if decimal_comma and separator == ",":
            raise ValueError("with decimal_comma the separator cannot be ',' as well; is it ';'?")
        checked_separator(separator)
        self.path, self.separator, self.decimal_comma = Path(path), separator, decimal_comma
        self._unnamed: tuple[int, ...] = ()
        self._guessed, by_default = inputs is None or outputs is None, inputs is None and outputs is None
        named = [*(inputs or ()), *(outputs or ()), *(derivatives or {}).values()]
        if any(without_units([name])[0] != [name] for name in named):
            called = Table(self.path, separator=separator, decimal_comma=decimal_comma).called
            inputs, outputs = (names and [called.get(name, name) for name in names] for names in (inputs, outputs))
            derivatives = {name: called.get(column, column) for name, column in (derivatives or {}).items()} or None
        if inputs is None or outputs is None:
            table = Table(self.path, separator=separator, decimal_comma=decimal_comma)
            columns, self._unnamed = table.columns, table.unnamed
            if derivatives is None:
                derivatives = {name: name for name in columns if re.fullmatch(r"d\d*\w+/d\w+", name)}
            inputs, outputs = _roles(self.path, columns, inputs, outputs, derivatives)
        _check_roles(inputs, outputs)
        self.input_names, self.output_names = tuple(inputs), tuple(outputs)
        self._taken = self.input_names if by_default else ()
        self._units = checked_units(units, (*self.input_names, *self.output_names))
        self.units = self._units
        self.fractions = _fractions(validation_fraction, test_fraction)
        self.derivatives = dict(derivatives or {})
        self._places = {
            name: derivative_place(name, self.input_names, self.output_names, "derivatives")
            for name in self.derivatives
        }

    @override
    def description(self) -> dict[str, Any]:
        """As of every data module; the table is found from any folder."""
        found = super().description()
        roles = {"inputs": list(self.input_names), "outputs": list(self.output_names)}
        found["init_args"] |= {"path": str(self.path.absolute()), "derivatives": self.derivatives or None, **roles}
        return found

    @override
    def exceeds(self, rows: int) -> bool:
        """By the start of the table: it is read no further than needed."""
        found = 0
        with self._roles_said():
            for block in self._table().blocks():
                found += len(block.numbers)
                if found * (1 - sum(self.fractions)) > rows + 1:  # the parts are rounded
                    return True
        return False

    def _table(self) -> Table:
        labels = list(self.derivatives.values())
        names = [*self.input_names, *self.output_names]
        several = bool(labels) or len(self.output_names) > 1  # a row may have some of them
        may_lack = [*labels, *self.output_names] if several else []
        return Table(
            self.path,
            [*names, *labels],
            may_lack=may_lack,
            separator=self.separator,
            decimal_comma=self.decimal_comma,
        )

    def make_splits(self) -> tuple[Split, Split, Split]:
        """Read the table and deal out its rows."""
        table = self._table()
        self.units = table.units | self._units
        if self._guessed:
            inputs, outputs = ", ".join(self.input_names), ", ".join(self.output_names)
            labels = f"; derivatives {', '.join(self.derivatives)}" if self.derivatives else ""
            rank_zero_info(
                f"{self.path}: inputs {inputs}; outputs {outputs}{labels}; --data.inputs, --data.outputs choose others"
            )
        if self._unnamed:
            places = ", ".join(map(str, self._unnamed))
            rank_zero_info(f"{self.path}: left out, as the header has no name for it: column {places}")
        if table.units:
            rank_zero_info(f"{self.path}: units, as the header says: {_listed(table.units)}")
        with self._roles_said():
            rows = self._with_labels(table.read())
        columns = dict(zip(table.columns, rows.numbers.T, strict=True))
        refuse_beyond_float64(self.path, Columns(table.columns, rows.numbers, rows.places))
        inputs, outputs = (_stack(columns, names) for names in (self.input_names, self.output_names))
        whole = Split(inputs, outputs, self._labels(columns), rows.places)
        order = torch.randperm(len(whole.inputs), generator=torch.Generator().manual_seed(self.seed))
        learnt = scarce((whole.targets, *whole.labels)) | _outermost(inputs)
        order = order[(~learnt[order]).byte().argsort(stable=True)]  # training is first
        training, validation, test = (_rows(whole, part) for part in order.split(self._sizes(len(order))))
        self._check_varied(training)
        self._warn_of(columns, rows.places)
        return training, validation, test

    @contextmanager
    def _roles_said(self) -> Iterator[None]:
        """What is wrong with a column that nobody named is said with what it was taken for."""
        try:
            yield
        except ValueError as error:
            wrong = [name for name in self._taken if f"column {name!r}" in str(error)]
            if not wrong:
                raise
            outputs = ", ".join([*wrong, *self.output_names])
            raise ValueError(
                f"{error}; {wrong[0]} is taken as an input, since only the last column ({self.output_names[0]}) is the "
                f"output by default; name outputs with --data.outputs '[{outputs}]'"
            ) from None

    def _with_labels(self, rows: Rows) -> Rows:
        """Without the rows that have no output and no derivative."""
        known = rows.numbers[:, len(self.input_names) :].isfinite()
        kept = known.any(1)
        if not kept.all():
            dropped = int((~kept).sum())
            rank_zero_info(f"{self.path}: {dropped} row(s) are left out: all outputs are empty in them")
        counts = known[kept, : len(self.output_names)].sum(0).tolist()
        missing = [name for name, count in zip(self.output_names, counts, strict=True) if not count]
        if missing and kept.any() and not self.derivatives:
            raise ValueError(f"{self.path}: the output {missing[0]!r} is empty in every row; leave it out")
        if min(counts) < int(kept.sum()):
            parts = (f"{name} {count}" for name, count in zip(self.output_names, counts, strict=True))
            rank_zero_info(f"{self.path}: each output is learnt from the rows that have it: {', '.join(parts)}")
        return Rows(rows.numbers[kept], rows.places[kept])

    def _warn_of(self, columns: Mapping[str, Tensor], rows: Tensor) -> None:
        """Say what looks like a mistake."""
        inputs, outputs = (
            Columns(names, _stack(columns, names), rows) for names in (self.input_names, self.output_names)
        )
        for sentence in suspicions(inputs, outputs):
            rank_zero_warn(f"{self.path}: {sentence}")

    def _sizes(self, rows: int) -> list[int]:
        validation, test = (max(1, round(rows * fraction)) for fraction in self.fractions)
        training = rows - validation - test
        if training < 2:
            raise ValueError(
                f"{self.path} has {rows} row(s), too few for 2 of training, {validation} of validation and "
                f"{test} of test; add rows or lower validation_fraction and test_fraction"
            )
        return [training, validation, test]

    def _labels(self, columns: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The derivative labels, NaN where there are none."""
        rows, inputs, outputs = len(columns[self.input_names[0]]), len(self.input_names), len(self.output_names)
        highest = max((len(place) - 1 for place in self._places.values()), default=0)
        labels = tuple(
            torch.full((rows, outputs, *(inputs,) * order), torch.nan, dtype=torch.float64)
            for order in range(1, highest + 1)
        )
        for name, (output, *by) in self._places.items():
            for index in {tuple(by), tuple(reversed(by))}:
                labels[len(by) - 1][(slice(None), output, *index)] = columns[self.derivatives[name]]
        return labels

    def _check_varied(self, training: Split) -> None:
        names, columns = (*self.input_names, *self.output_names), (*training.inputs.T, *training.targets.T)
        for name, column in zip(names, columns, strict=True):
            if (column == column[0]).all():
                role = "inputs" if name in self.input_names else "outputs"
                raise ValueError(
                    f"{self.path}: column {name!r} is {column[0]:g} in every training row; nothing can be learned "
                    f"from it: leave it out of the {role}"
                )


def _outermost(inputs: Tensor) -> Tensor:
    """Which rows, (rows,), are the ends of a table of one input: without them what is learnt ends before the table."""
    found = torch.zeros(len(inputs), dtype=torch.bool)
    if inputs.shape[1] == 1:
        found[[int(inputs.argmin()), int(inputs.argmax())]] = True
    return found


def _roles(
    path: Path,
    columns: Sequence[str],
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
    derivatives: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """Those of a table whose user names none: the output is the last column, as in most tables there are."""
    known = {*(inputs or ()), *(outputs or ()), *derivatives.values(), *derivatives}
    free = [name for name in columns if name not in known]
    if len(free) < 2 - bool(inputs) - bool(outputs):
        raise ValueError(f"{path} has no further column; inputs and outputs need one each, it has {', '.join(columns)}")
    outputs = list(outputs or free[-1:])
    return list(inputs or (name for name in free if name not in outputs)), outputs


def _check_roles(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    for role, names in (("inputs", inputs), ("outputs", outputs)):
        if isinstance(names, str) or not names:
            raise ValueError(f"{role} is {names!r}; give a list of columns, as ['x', 'z']")
    for name in (both := [*inputs, *outputs]):
        if both.count(name) > 1:
            raise ValueError(f"the column {name!r} is named {both.count(name)} times among inputs and outputs")


def _listed(units: Mapping[str, str]) -> str:
    return ", ".join(f"{name} in {unit}" for name, unit in units.items())


def _fractions(validation: float, test: float) -> tuple[float, float]:
    for name, fraction in (("validation_fraction", validation), ("test_fraction", test)):
        if not (math.isfinite(fraction) and 0 < fraction < 1):
            raise ValueError(f"{name} is {fraction!r}; it lies between 0 and 1, as 0.1")
    if validation + test >= 1:
        raise ValueError(f"validation_fraction {validation} and test_fraction {test} leave no rows for training")
    return validation, test


def _stack(columns: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    return torch.stack([columns[name] for name in names], 1)


def _rows(split: Split, rows: Tensor) -> Split:
    labels = tuple(label[rows] for label in split.labels)
    return Split(split.inputs[rows], split.targets[rows], labels, None if split.places is None else split.places[rows])
