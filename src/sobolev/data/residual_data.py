"""`ResidualData`: points of a domain at which a differential equation is to hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from sobolev.data.adaptive_points import adapted
from sobolev.data.loader import BatchLoader
from sobolev.data.module import Split, TensorDataModule
from sobolev.data.prediction_points import PredictPoints
from sobolev.data.sampling import Sampling, disjoint_samples, interval
from sobolev.data.tables import Table
from sobolev.equations import Problem
from sobolev.errors import check_counts
from sobolev.functions import Function

_ROWS = 10_000
"""Of a table, in a block."""
_POINTS = "points"
"""Under which a checkpoint holds the points that were drawn during the training."""


class ResidualData(TensorDataModule):
    """A differential equation with its conditions, and the points where a `ResidualRegressor` learns to obey it.

    The unknown is `u`, its derivatives are `du_dx`, `d2u_dx2`, `d2u_dxdt`, `d3u_dx3`, by the names of the inputs.
    Equations and conditions are formulas as in `sobolev.Function`; what has no `=` is to be 0. Nothing in them is run.
    Batches are `(x, y)`; y is the reference at validation and test points, else NaN.

    Args:
        equation: such as `d2u_dx2 + u` or `du_dt = 0.1*d2u_dx2`; a list of several for several unknowns.
        conditions: such as `u(0) = 1` and `du_dx(0) = 0`; with several inputs, one that keeps its name takes all its
            values: `u(x, 0) = sin(pi*x)`, `u(0, t) = u(1, t)`.
        domain: the interval of each input by name, in the order of the network's inputs.
        unknowns: the names of the network's outputs.
        reference: the exact solution, where it is known, as a formula of the inputs or an import path, or a
            list of formulas, one for each unknown; the `DerivativeMonitor` compares with it, the training does not.
        coefficients: numbers in equations and conditions that are not known, with a first guess of each, `{k: 1.0}`;
            they are learnt from the measurements along with the solution.
        measurements: a table with a column for each input and each unknown, empty cells where one was not measured.
        points: a table with a column for each input: the points at which the equation is to hold, where the domain is
            no box; then `domain` is a box around them. A tenth each is kept for validation and test.
        boundary: a table with a column for each input: conditions in which every input keeps its name, `u(x, y) = 0`,
            hold at these points. Its other columns, normals `nx`, `ny` for example, can stand in such conditions.
        adapt_every_n_epochs: draw the points of the training anew after so many epochs, more of them where the
            residual is large (Wu et al., 2023); None: never.
        samples: how many points the equation is trained at.
        sampling: `uniform` (random), `grid`, `chebyshev` or `sobol`.
        condition_samples: how many points stand for each condition along a boundary; all are in every step.
        seed: of the points and of the order of every epoch.
        validation_samples: how many validation points.
        test_samples: how many test points.
        batch_size: points per batch and process; None: 250, or all for an optimiser that needs them (L-BFGS).
        evaluation_batch_size: points per batch in validation, test and prediction.
        shuffle: a new order each epoch.
        num_workers: processes that fetch batches; points in memory need none.
        predict_points: see `TensorDataModule`: None for the test points, a path, or `{x: [low, high, count], ...}`.

    Attributes:
        problem: the equations and conditions as a loss.
        points: of a table, (points, inputs); None where the domain is a box.

    Raises:
        ValueError: a name, order, condition or number that makes no sense, with what to write instead.

    Examples:
        >>> import sobolev
        >>> start, ends = "u(x, 0) = sin(pi*x)", ["u(0, t) = 0", "u(1, t) = 0"]
        >>> domain = {"x": (0, 1), "t": (0, 1)}
        >>> data = sobolev.ResidualData("du_dt = 0.1*laplacian(u)", [start, *ends], domain)
        >>> data.problem.conditions[1]
        'u(0, t) = 0'
    """

    def __init__(
        self,
        equation: str | list[str],
        conditions: list[str],
        domain: dict[str, tuple[float, float]],
        unknowns: str | list[str] = "u",
        reference: str | list[str] | Function | None = None,
        samples: int = 1000,
        sampling: Sampling = "sobol",
        condition_samples: int = 100,
        seed: int = 0,
        validation_samples: int = 2000,
        test_samples: int = 2000,
        batch_size: int | None = None,
        evaluation_batch_size: int = 2000,
        shuffle: bool = True,
        num_workers: int = 0,
        predict_points: PredictPoints | None = None,
        coefficients: dict[str, float] | None = None,
        measurements: str | None = None,
        points: str | None = None,
        boundary: str | None = None,
        adapt_every_n_epochs: int | None = None,
    ) -> None:
        check_counts(1, adapt_every_n_epochs=1 if adapt_every_n_epochs is None else adapt_every_n_epochs)
        check_counts(1, samples=samples, validation_samples=validation_samples, test_samples=test_samples)
        check_counts(1, condition_samples=condition_samples)
        if points is not None and adapt_every_n_epochs is not None:
            raise ValueError("adapt_every_n_epochs draws points in the box of `domain`; leave it or `points` out")
        self.input_names = tuple(domain)
        self.output_names = (unknowns,) if isinstance(unknowns, str) else tuple(unknowns)
        self.domain = {name: interval(name, domain[name]) for name in domain}
        self.points = None if points is None else _within(points, _columns(points, self.input_names), self.domain)
        samples = samples if self.points is None else _parts(self.points)[0]
        super().__init__(batch_size, evaluation_batch_size, seed, shuffle, num_workers, predict_points)
        equations = [equation] if isinstance(equation, str) else equation
        measured = None if measurements is None else _measured(measurements, self.input_names, self.output_names)
        edge = None if boundary is None else _edge(boundary, self.domain)
        self.problem = Problem(
            equations, conditions, self.domain, self.output_names, condition_samples, coefficients, measured, edge
        )
        self.reference = _solution(reference, self.input_names, self.output_names)
        self.samples, self.validation_samples, self.test_samples = samples, validation_samples, test_samples
        self.sampling: Sampling = sampling
        self.adapt_every_n_epochs = adapt_every_n_epochs
        self._adapted: Tensor | None = None

    def make_splits(self) -> tuple[Split, Split, Split]:
        """Draw the points."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.points is not None:
            order = torch.randperm(len(self.points), generator=generator)
            training, validation, test = self.points[order].split(_parts(self.points))
        else:
            sizes = (self.samples, self.validation_samples, self.test_samples)
            training, validation, test = disjoint_samples(self.sampling, sizes, self.domain, generator)
        training = training if self._adapted is None else self._adapted
        return Split(training, self._unknown(training)), self._known(validation), self._known(test)

    @override
    def train_dataloader(self) -> BatchLoader:
        """Shuffled batches of the points, also of those drawn later."""
        self._loader_of_training = super().train_dataloader()
        return self._loader_of_training

    def adapt(self, residual: Callable[[Tensor], Tensor], epoch: int) -> None:
        """Train from now on at points drawn where the residual is large.

        Args:
            residual: its size, (points,), at points (points, inputs).
            epoch: how many epochs are done; the draw depends on it and on `seed`.
        """
        generator = torch.Generator().manual_seed(self.seed + epoch)
        self._adapted = adapted(residual, self.samples, self.domain, generator)
        self.training = Split(self._adapted, self._unknown(self._adapted))
        loader = self._loader_of_training
        loader.replace([new.to(old) for new, old in zip(self.training[:2], loader.tensors, strict=True)])

    @override
    def state_dict(self) -> dict[str, Any]:
        """The description, and the points that were drawn."""
        return super().state_dict() | ({} if self._adapted is None else {_POINTS: self._adapted})

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on at the points that were drawn."""
        super().load_state_dict(state_dict)
        self._adapted = state_dict.get(_POINTS)
        if self._ready and self._adapted is not None:
            self.training = Split(self._adapted, self._unknown(self._adapted))

    def _unknown(self, points: Tensor) -> Tensor:
        return points.new_full((len(points), len(self.output_names)), torch.nan)

    def _known(self, points: Tensor) -> Split:
        return Split(points, self._unknown(points) if self.reference is None else self.reference(points))


def _measured(path: str, inputs: tuple[str, ...], unknowns: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Points (rows, inputs) and values (rows, unknowns) of a table."""
    rows = _columns(path, (*inputs, *unknowns), may_lack=unknowns)
    return rows[:, : len(inputs)], rows[:, len(inputs) :]


def _columns(path: str, names: tuple[str, ...], may_lack: tuple[str, ...] = ()) -> Tensor:
    """Columns of a table, (rows, names)."""
    return torch.cat(list(Table(path, names, may_lack=may_lack).batches(_ROWS)))


def _edge(path: str, domain: Mapping[str, tuple[float, float]]) -> dict[str, Tensor]:
    """All columns of a table of points of the boundary."""
    names = (*domain, *(name for name in Table(path).columns if name not in domain))
    rows = _columns(path, names)
    _within(path, rows[:, : len(domain)], domain)
    return dict(zip(names, rows.T, strict=True))


def _parts(points: Tensor) -> list[int]:
    """How many of the points are for training, validation and test."""
    held_out = max(1, len(points) // 10)
    return [len(points) - 2 * held_out, held_out, held_out]


def _within(path: str, points: Tensor, domain: Mapping[str, tuple[float, float]]) -> Tensor:
    """The points, at least three; refused where one lies outside of the box around them."""
    if len(points) < 3:
        raise ValueError(f"{path} has {len(points)} point(s); give three or more, better hundreds")
    for (name, (low, high)), column in zip(domain.items(), points.T, strict=True):
        if (outside := (column < low) | (column > high)).any():
            row = int(outside.nonzero()[0])
            raise ValueError(
                f"{path}: {name} = {float(column[row]):g} in point {row + 1} lies outside its domain "
                f"[{low:g}, {high:g}]"
            )
    return points


def _solution(
    reference: str | Sequence[str] | Function | None, inputs: tuple[str, ...], unknowns: tuple[str, ...]
) -> Function | None:
    if isinstance(reference, list | tuple) and all(isinstance(formula, str) for formula in reference):
        reference = ", ".join(reference)
    if reference is not None and not isinstance(reference, str | Function):
        raise TypeError(
            f"reference is a {type(reference).__name__}; it is a formula, or a list of one for each unknown"
        )
    if isinstance(reference, str):
        reference = Function(reference, inputs)
    if reference is not None and len(reference.outputs) != len(unknowns):
        raise ValueError(
            f"the reference {reference.name!r} has {len(reference.outputs)} output(s), but there are {len(unknowns)} "
            f"unknowns ({', '.join(unknowns)}); write one formula for each, separated by commas"
        )
    return reference
