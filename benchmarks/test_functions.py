"""Published test functions of one to ten inputs with exact derivatives, and samples of them as people have them.

The functions are those of `uqtestfuns` (Wicaksono & Hajjaji, 2023), on the box of their inputs' distributions: from
the 2 % to the 98 % quantile where one is not uniform. All are smooth there.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.hyper_dual import Array, derivatives

_TAIL = 0.02
"""Of a distribution that is not uniform, left out at both ends."""


class Sample(NamedTuple):
    """Points and labels: (points, inputs), (points,), (points, inputs), (points, inputs, inputs)."""

    x: Array
    y: Array
    gradient: Array
    hessian: Array


@dataclass(frozen=True)
class TestFunction:
    """A scalar function on a box.

    Attributes:
        name: as `uqtestfuns` calls it.
        inputs: how many.
        low: the lower corner of its domain, (inputs,).
        high: the upper corner.
    """

    __test__ = False  # no test class, whatever pytest thinks

    name: str
    low: Array
    high: Array
    code: Any

    @property
    def inputs(self) -> int:
        """How many."""
        return len(self.low)

    def value(self, x: Array) -> Array:
        """(points, inputs) to (points,)."""
        return np.asarray(_evaluate(self.code, x), dtype=float).reshape(len(x))

    def derivatives(self, x: Array) -> tuple[Array, Array, Array]:
        """Value, gradient and Hessian at points (points, inputs)."""
        with patch("numpy.zeros", partial(np.zeros, dtype=object)):  # into which some add term by term
            return derivatives(lambda sample: _evaluate(self.code, sample), x)

    def random(self, points: int, seed: int) -> Sample:
        """Independent points, uniform on the domain: what errors are measured at."""
        x = self.low + (self.high - self.low) * np.random.default_rng(seed).random((points, self.inputs))
        return Sample(x, *self.derivatives(x))

    def latin_hypercube(self, points: int, seed: int, noise: float = 0.0) -> Sample:
        """Points to learn from.

        Args:
            points: how many.
            seed: of the points and the noise.
            noise: standard deviation of Gaussian noise on the values, as a part of theirs; derivatives are exact.
        """
        generator = np.random.default_rng(seed)
        cells = np.stack([generator.permutation(points) for _ in range(self.inputs)], 1)
        x = self.low + (self.high - self.low) * (cells + generator.random(cells.shape)) / points
        y, gradient, hessian = self.derivatives(x)
        return Sample(x, y + noise * y.std() * generator.standard_normal(points), gradient, hessian)


NAMES = (
    "Forrester1D",
    "HolsclawSine",
    "DampedCosine",
    "Oakley1D",
    "Franke1",
    "Franke2",
    "LimNonPoly",
    "LimPoly",
    "Cheng2D",
    "McLainS3",
    "Webster2D",
    "Ishigami",
    "DetteExp",
    "DetteCurved",
    "OTLCircuit",
    "Friedman6D",
    "Piston",
    "DampedOscillator",
    "Borehole",
    "RobotArm",
    "Dette8D",
    "Sulfur",
    "WingWeight",
    "Friedman10D",
)
"""Smooth ones of one to ten inputs."""


@cache
def test_function(name: str) -> TestFunction:
    """The function of that name."""
    import uqtestfuns  # in the benchmark's environment alone

    found = getattr(uqtestfuns, name)()
    low, high = zip(*map(_interval, found.prob_input.marginals), strict=True)
    return TestFunction(name, np.array(low), np.array(high), found)


test_function.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _interval(marginal: Any) -> tuple[float, float]:
    if marginal.distribution == "uniform":
        return float(marginal.lower), float(marginal.upper)
    ends = marginal.icdf(np.array([_TAIL, 1 - _TAIL]))
    return float(ends[0]), float(ends[1])


def _evaluate(code: Any, x: Array) -> Array:
    """Its own code, without its check of the input, which wants floating-point numbers."""
    return code._evaluate(x, **(code.parameters or {}))
