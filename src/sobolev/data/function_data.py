"""`FunctionData`: points of a known function, with exact labels."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sobolev.data.module import Split, TensorDataModule
from sobolev.data.prediction_points import PredictPoints
from sobolev.data.sampling import Sampling, disjoint_samples, interval
from sobolev.errors import check_counts
from sobolev.functions import Function
from sobolev.functions.notation import checked_names, checked_units


class FunctionData(TensorDataModule):
    """Points of a function for training, validation and test; no point belongs to two of them.

    Validation and test points are random, whatever the sampling of the training points. Batches are `(x, y)`,
    with derivative labels `(x, y, d1[, d2])`: d1 (batch, outputs, inputs), d2 (batch, outputs, inputs, inputs).

    Args:
        function: a formula of any named variables, as `x**2` or `sin(x)*cos(y)` (see `sobolev.Function`), or the
            import path of a torch callable; from Python also a callable or a Function.
        domain: the interval of the variable, or of all of them; or one interval for each variable by name. Where
            names are given, they are the inputs, in this order; else the formula's, alphabetically.
        samples: how many training points.
        sampling: `uniform` (random), `grid`, `chebyshev` or `sobol`.
        noise: standard deviation of Gaussian noise on the training and validation values, as a fraction of the
            range of the values in the training set; test values and derivative labels stay exact.
        seed: of the points, the noise and the order of every epoch.
        validation_samples: how many validation points.
        test_samples: how many test points.
        batch_size: training points per batch and process; None: 250, or all for an optimiser that needs them (L-BFGS).
        evaluation_batch_size: points per batch in validation, test and prediction.
        shuffle: a new order each epoch.
        num_workers: processes that fetch batches; points in memory need none.
        predict_points: see `TensorDataModule`: None for the test points, a path, or `{x: [low, high, count], ...}`.
        derivative_order: exact derivative labels of the orders up to this one: 0, 1 or 2.
        output_names: what the outputs are called; None takes the function's, `y` or `y1`, `y2`, ....
        derivative_names: what first and second derivatives are called in tables and figures, as
            `{dprice/dspot: delta, d2price/dspot2: gamma}`.
        units: of inputs and outputs, `{t: s, y: m}`.

    Raises:
        ValueError: a formula, domain or number that makes no sense; a function that is not finite on its domain.

    Examples:
        >>> import sobolev
        >>> data = sobolev.FunctionData("sin(x)*cos(y)", domain={"x": (-3, 3), "y": (0, 1)}, samples=500)
        >>> data.setup()
        >>> data.training_inputs.shape, data.training_targets.shape
        (torch.Size([500, 2]), torch.Size([500, 1]))
    """

    reference: Function

    def __init__(
        self,
        function: str | Callable[[Tensor], Tensor] = "x**2",
        domain: tuple[float, float] | dict[str, tuple[float, float]] = (-50.0, 50.0),
        samples: int = 10000,
        sampling: Sampling = "uniform",
        noise: float = 0.0,
        seed: int = 0,
        validation_samples: int = 2000,
        test_samples: int = 2000,
        batch_size: int | None = None,
        evaluation_batch_size: int = 2000,
        shuffle: bool = True,
        num_workers: int = 0,
        predict_points: PredictPoints | None = None,
        derivative_order: int = 0,
        output_names: list[str] | None = None,
        derivative_names: dict[str, str] | None = None,
        units: dict[str, str] | None = None,
    ) -> None:
        super().__init__(batch_size, evaluation_batch_size, seed, shuffle, num_workers, predict_points)
        check_counts(1, samples=samples, validation_samples=validation_samples, test_samples=test_samples)
        if derivative_order not in (0, 1, 2):
            raise ValueError(f"derivative_order is {derivative_order!r}; it is 0, 1 or 2")
        if not math.isfinite(noise) or noise < 0:
            raise ValueError(f"noise is {noise!r}; it is a fraction of the range of the values, 0 or more")
        names = list(domain) if isinstance(domain, dict) else None
        self.reference = function if isinstance(function, Function) else Function(function, names)
        self.input_names = self.reference.inputs
        self.output_names = _named(output_names, self.reference)
        self.derivative_names = checked_names(derivative_names or {}, self.input_names, self.output_names)
        self.units = checked_units(units, (*self.input_names, *self.output_names))
        self.domain = _intervals(domain, self.reference)
        self.samples, self.noise = samples, noise
        self.sampling: Sampling = sampling
        self.validation_samples, self.test_samples = validation_samples, test_samples
        self.derivative_order = derivative_order

    def make_splits(self) -> tuple[Split, Split, Split]:
        """Draw the points, compute the labels, add the noise."""
        generator = torch.Generator().manual_seed(self.seed)
        sizes = (self.samples, self.validation_samples, self.test_samples)
        splits = [self._labelled(points) for points in disjoint_samples(self.sampling, sizes, self.domain, generator)]
        spread = splits[0].targets.amax(0) - splits[0].targets.amin(0)
        for i in (0, 1):
            noise = torch.randn(splits[i].targets.shape, dtype=torch.float64, generator=generator)
            splits[i] = splits[i]._replace(targets=splits[i].targets + self.noise * spread * noise)
        return splits[0], splits[1], splits[2]

    def _labelled(self, points: Tensor) -> Split:
        with torch.no_grad():
            values, *labels = self.reference.tensors(points, self.derivative_order)
        bad = ~values.isfinite().all(1)
        if bad.any():
            where = points[bad][0].tolist()
            place = ", ".join(f"{name} = {value:g}" for name, value in zip(self.input_names, where, strict=True))
            raise ValueError(
                f"{self.reference.name!r} is not finite at {place}, nor at {int(bad.sum()) - 1} more of "
                f"{len(points)} points of its domain; change the domain"
            )
        return Split(points, values, tuple(label.where(label.isfinite(), torch.nan) for label in labels))


def _named(names: list[str] | None, function: Function) -> tuple[str, ...]:
    """The names of the outputs."""
    if names is None:
        return function.outputs
    if isinstance(names, str) or len(names) != len(function.outputs) or {*names} & {*function.inputs}:
        raise ValueError(
            f"output_names is {names!r}; {function.name!r} needs a list of {len(function.outputs)} name(s), none of "
            f"them an input ({', '.join(function.inputs)})"
        )
    return tuple(names)


def _intervals(domain: object, function: Function) -> dict[str, tuple[float, float]]:
    """The interval of each input."""
    if not isinstance(domain, dict):
        domain = dict.fromkeys(function.inputs, domain)
    missing = [name for name in function.inputs if name not in domain]
    unknown = [name for name in domain if name not in function.inputs]
    if missing or unknown:
        raise ValueError(
            f"the domain names {', '.join(map(repr, domain))}, but the inputs of {function.name!r} are "
            f"{', '.join(function.inputs)}; give each an interval, as {{{function.inputs[0]}: [0, 1]}}"
        )
    return {name: interval(name, domain[name]) for name in function.inputs}
