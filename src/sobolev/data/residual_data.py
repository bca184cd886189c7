"""`ResidualData`: points of a domain at which a differential equation is to hold."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sobolev.data.module import Split, TensorDataModule
from sobolev.data.prediction_points import PredictPoints
from sobolev.data.sampling import Sampling, disjoint_samples, interval
from sobolev.data.tables import Table
from sobolev.equations import Problem
from sobolev.errors import check_counts
from sobolev.functions import Function

_ROWS = 10_000
"""Of a table, in a block."""


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
        samples: how many points the equation is trained at.
        sampling: `uniform` (random), `grid`, `chebyshev` or `sobol`.
        condition_samples: how many points stand for each condition along a boundary; all are in every step.
        seed: of the points and of the order of every epoch.
        validation_samples: how many validation points.
        test_samples: how many test points.
        batch_size: points per batch and process; None for all of them.
        evaluation_batch_size: points per batch in validation, test and prediction.
        shuffle: a new order each epoch.
        num_workers: processes that fetch batches; points in memory need none.
        predict_points: see `TensorDataModule`: None for the test points, a path, or `{x: [low, high, count], ...}`.

    Attributes:
        problem: the equations and conditions as a loss.

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
    ) -> None:
        check_counts(1, samples=samples, validation_samples=validation_samples, test_samples=test_samples)
        check_counts(1, condition_samples=condition_samples)
        super().__init__(batch_size or samples, evaluation_batch_size, seed, shuffle, num_workers, predict_points)
        self.input_names = tuple(domain)
        self.output_names = (unknowns,) if isinstance(unknowns, str) else tuple(unknowns)
        self.domain = {name: interval(name, domain[name]) for name in domain}
        equations = [equation] if isinstance(equation, str) else equation
        measured = None if measurements is None else _measured(measurements, self.input_names, self.output_names)
        self.problem = Problem(
            equations, conditions, self.domain, self.output_names, condition_samples, coefficients, measured
        )
        self.reference = _solution(reference, self.input_names, self.output_names)
        self.samples, self.validation_samples, self.test_samples = samples, validation_samples, test_samples
        self.sampling: Sampling = sampling

    def make_splits(self) -> tuple[Split, Split, Split]:
        """Draw the points."""
        generator = torch.Generator().manual_seed(self.seed)
        sizes = (self.samples, self.validation_samples, self.test_samples)
        training, validation, test = disjoint_samples(self.sampling, sizes, self.domain, generator)
        return Split(training, self._unknown(training)), self._known(validation), self._known(test)

    def _unknown(self, points: Tensor) -> Tensor:
        return points.new_full((len(points), len(self.output_names)), torch.nan)

    def _known(self, points: Tensor) -> Split:
        return Split(points, self._unknown(points) if self.reference is None else self.reference(points))


def _measured(path: str, inputs: tuple[str, ...], unknowns: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Points (rows, inputs) and values (rows, unknowns) of a table."""
    rows = torch.cat(list(Table(path, (*inputs, *unknowns), may_lack=unknowns).batches(_ROWS)))
    return rows[:, : len(inputs)], rows[:, len(inputs) :]


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
