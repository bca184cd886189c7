"""The surrogates that are compared: each learns a problem, in the settings its documentation advises.

All peers are told whether there is noise, and chaos the domain as well; `sobolev` is told nothing.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

import sobolev
from benchmarks.hyper_dual import Array
from benchmarks.test_functions import Sample

Predictor = Callable[[Array], tuple[Array, Array, Array]]
"""Points (points, inputs) to values, gradients, Hessians: (points,), (points, inputs), (points, inputs, inputs)."""

_HELD_OUT = 0.2
"""The part of the rows by which a setting is chosen."""
_MOST_FOR_LENGTHS = 1000
"""The rows from which a Gaussian process learns its lengths; its weights come from all."""
_MOST_TERMS = 2000
"""Of polynomial chaos, to choose from."""


@dataclass(frozen=True)
class Problem:
    """Rows to learn, and what peers may know.

    Attributes:
        sample: the rows.
        low: the lower corner of the domain, (inputs,).
        high: the upper corner.
        noise: of the values, in parts of their standard deviation.
    """

    sample: Sample
    low: Array
    high: Array
    noise: float

    @property
    def inputs(self) -> int:
        """How many."""
        return len(self.low)

    def unit(self, x: Array) -> Array:
        """The domain as a box from -1 to 1."""
        return 2 * (x - self.low) / (self.high - self.low) - 1

    def split(self) -> tuple[Array, Array]:
        """Numbers of the rows that are learnt, and of those held out to choose a setting by."""
        order = np.random.default_rng(0).permutation(len(self.sample.y))
        held_out = max(2, round(_HELD_OUT * len(order)))
        return order[held_out:], order[:held_out]


def ours(problem: Problem, gradients: bool = False) -> Predictor:
    """`EvidenceRegressor` by a trainer of Lightning, its defaults."""
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    sample = problem.sample
    labels = [_tensor(sample.y)[:, None], *[_tensor(sample.gradient)[:, None]] * gradients]
    rows = DataLoader(TensorDataset(_tensor(sample.x), *labels), batch_size=len(sample.y))
    module = sobolev.EvidenceRegressor()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of worker processes, and that nothing is validated
        Trainer(max_epochs=20, accelerator="cpu", devices=1, enable_model_summary=False, **quiet).fit(module, rows)
    return _differentiated(module)


def gaussian_process(problem: Problem) -> Predictor:
    """scikit-learn's, squared exponential with a length for each input, and white noise."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-3, 1e7)) * RBF(np.ones(problem.inputs), (2e-2, 2e3))
    kernel = kernel + WhiteKernel(1e-6, (1e-13, 1.0))
    x, y, options = problem.unit(problem.sample.x), problem.sample.y, {"normalize_y": True, "alpha": 1e-12}
    fitted = GaussianProcessRegressor(kernel, n_restarts_optimizer=2, random_state=0, **options)
    fitted.fit(x[:_MOST_FOR_LENGTHS], y[:_MOST_FOR_LENGTHS])
    if len(y) > _MOST_FOR_LENGTHS:
        fitted = GaussianProcessRegressor(fitted.kernel_, optimizer=None, **options).fit(x, y)
    found = fitted.kernel_.k1
    length, weights = _tensor(found.k2.length_scale), _tensor(fitted.alpha_)[:, None] * found.k1.constant_value
    centres, mean, spread = _tensor(fitted.X_train_) / length, fitted._y_train_mean, fitted._y_train_std
    return _differentiated(lambda x: _bumps(_unit(problem, x) / length, centres, 0.5) @ weights * spread + mean)


def kriging(problem: Problem) -> Predictor:
    """SMT's, its defaults; under noise it estimates that."""
    from smt.surrogate_models import KRG

    fitted = KRG(print_global=False, theta0=[1e-2] * problem.inputs, eval_noise=bool(problem.noise))
    return _kriging(fitted, problem, lambda: _tensor(fitted.optimal_theta))


def gradient_kriging(problem: Problem) -> Predictor:
    """SMT's gradient-enhanced Kriging: all components of partial least squares, one more row for each derivative."""
    from smt.surrogate_models import GEKPLS

    inputs, sample = problem.inputs, problem.sample
    limits = np.stack([problem.low, problem.high], 1)
    fitted = GEKPLS(
        n_comp=inputs, theta0=[1e-2] * inputs, xlimits=limits, delta_x=1e-4, extra_points=inputs, print_global=False
    )
    for j in range(inputs):
        fitted.set_training_derivatives(sample.x, sample.gradient[:, j : j + 1], j)
    return _kriging(fitted, problem, lambda: _tensor(fitted.coeff_pls).square() @ _tensor(fitted.optimal_theta))


def _kriging(fitted: Any, problem: Problem, rates: Callable[[], Tensor]) -> Predictor:
    """Train a Kriging of SMT and write out its mean; the rates are those of the squared distance in each input."""
    fitted.set_training_values(problem.sample.x, problem.sample.y)
    fitted.train()
    root, (beta, gamma) = rates().sqrt(), (_tensor(fitted.optimal_par[name]) for name in ("beta", "gamma"))
    offset, scale = _tensor(fitted.X_offset), _tensor(fitted.X_scale)
    centres, mean, spread = _tensor(fitted.X_norma) * root, fitted.y_mean[0], fitted.y_std[0]

    def predict(x: Tensor) -> Tensor:
        here = (x - offset) / scale * root
        return (beta.reshape(1, -1) + _bumps(here, centres, 1.0) @ gamma) * spread + mean

    return _differentiated(predict)


def radial_basis(problem: Problem) -> Predictor:
    """scipy's: the quintic spline; under noise, kernel and smoothing by held-out rows."""
    from scipy.interpolate import RBFInterpolator

    x, y = problem.unit(problem.sample.x), problem.sample.y
    learnt, kept = problem.split()

    def error(kernel: str, smoothing: float) -> float:
        fitted = RBFInterpolator(x[learnt], y[learnt], kernel=kernel, smoothing=smoothing, degree=degree)
        return float(np.square(fitted(x[kept]) - y[kept]).mean())

    degree = 2 if len(y) > 2 * (problem.inputs + 1) * (problem.inputs + 2) else 1
    choices = list(product(("quintic", "cubic"), 10.0 ** np.arange(-6, 7))) if problem.noise else [("quintic", 0.0)]
    kernel, smoothing = min(choices, key=lambda choice: error(*choice)) if len(choices) > 1 else choices[0]
    fitted = RBFInterpolator(x, y, kernel=kernel, smoothing=smoothing, degree=degree)
    weights, powers = _tensor(fitted._coeffs), torch.as_tensor(fitted.powers)
    shift, scale, centres = _tensor(fitted._shift), _tensor(fitted._scale), _tensor(x)
    half, sign = {"quintic": (2.5, -1), "cubic": (1.5, 1)}[kernel]

    def predict(x: Tensor) -> Tensor:
        here = _unit(problem, x)
        bumps = sign * _squares(here, centres) ** half
        polynomial = (((here - shift) / scale)[:, None, :] ** powers).prod(2)
        return torch.cat([bumps, polynomial], 1) @ weights

    return _differentiated(predict)


def smoothing_spline(problem: Problem) -> Predictor:
    """scipy's cubic one, smoothed as generalised cross-validation says."""
    from scipy.interpolate import make_smoothing_spline

    order = problem.sample.x[:, 0].argsort()
    fitted = make_smoothing_spline(problem.sample.x[order, 0], problem.sample.y[order])
    first, second = fitted.derivative(), fitted.derivative(2)
    return lambda x: (fitted(x[:, 0]), first(x), second(x)[:, :, None])


def chaos(problem: Problem) -> Predictor:
    """OpenTURNS' polynomial chaos: degree, enumeration and whether sparse (least angle regression) by held-out rows."""
    import openturns

    openturns.Log.Show(openturns.Log.NONE)
    x, y = problem.unit(problem.sample.x), problem.sample.y
    learnt, kept = problem.split()
    found = []
    for norm, sparse in product((1.0, 0.6), (True, False)):
        least = np.inf
        for degree in _degrees(openturns, norm, problem.inputs, len(y), sparse):
            expansion = _expansion(openturns, norm, degree, sparse, x[learnt], y[learnt])
            error = np.square(_legendre(*expansion)(x[kept])[0] - y[kept]).mean()
            found.append((error, norm, degree, sparse))
            least = min(least, error)
            if error > 10 * least:
                break  # it has begun to learn the rows by heart
    _, *best = min(found)
    predict, scale = _legendre(*_expansion(openturns, *best, x, y)), 2 / (problem.high - problem.low)

    def rescaled(x: Array) -> tuple[Array, Array, Array]:
        value, gradient, hessian = predict(problem.unit(x))
        return value, gradient * scale, hessian * scale[:, None] * scale

    return rescaled


def _degrees(openturns: Any, norm: float, inputs: int, rows: int, sparse: bool) -> Iterator[int]:
    """Those with no more terms than the rows tell, or than can be searched."""
    enumeration = openturns.HyperbolicAnisotropicEnumerateFunction(inputs, norm)
    most = min(2 * rows if sparse and inputs > 1 else rows // 2, _MOST_TERMS)
    for degree in (*range(1, 16), *range(16, 100, 4)):
        if enumeration.getBasisSizeFromTotalDegree(degree) > most:
            return
        yield degree


def _expansion(openturns: Any, norm: float, degree: int, sparse: bool, x: Array, y: Array) -> tuple[Array, Array]:
    """Degrees (terms, inputs) and weights (terms,) of orthonormal Legendre polynomials."""
    inputs = x.shape[1]
    enumeration = openturns.HyperbolicAnisotropicEnumerateFunction(inputs, norm)
    basis = openturns.OrthogonalProductPolynomialFactory([openturns.LegendreFactory()] * inputs, enumeration)
    domain = openturns.JointDistribution([openturns.Uniform(-1, 1)] * inputs)
    terms = openturns.FixedStrategy(basis, enumeration.getBasisSizeFromTotalDegree(degree))
    path = openturns.LARS()
    path.setMaximumRelativeConvergence(-1.0)  # to its end
    selection = openturns.LeastSquaresMetaModelSelectionFactory(path, openturns.CorrectedLeaveOneOut())
    projection = openturns.LeastSquaresStrategy(*[selection] * sparse)
    algorithm = openturns.FunctionalChaosAlgorithm(
        openturns.Sample(x), openturns.Sample(y[:, None]), domain, terms, projection
    )
    algorithm.run()
    result = algorithm.getResult()
    degrees = np.array([list(enumeration(int(i))) for i in result.getIndices()])
    return degrees, np.array(result.getCoefficients())[:, 0]


def _legendre(degrees: Array, weights: Array) -> Predictor:
    """A sum of products of orthonormal Legendre polynomials on the box from -1 to 1."""
    from numpy.polynomial.legendre import Legendre

    def table(x: Array, order: int) -> Array:
        factors = [Legendre.basis(k).deriv(order) if order else Legendre.basis(k) for k in range(degrees.max() + 1)]
        return np.stack([np.sqrt(2 * k + 1) * factor(x) for k, factor in enumerate(factors)], -1)

    def predict(x: Array) -> tuple[Array, Array, Array]:
        inputs = x.shape[1]
        factors = [table(x, order)[:, np.arange(inputs), degrees] for order in range(3)]  # (points, terms, inputs)

        def part(*by: int) -> Array:
            chosen = [factors[by.count(j)][:, :, j] for j in range(inputs)]
            return np.prod(chosen, 0) @ weights

        gradient = np.stack([part(i) for i in range(inputs)], 1)
        hessian = np.stack([part(i, j) for i in range(inputs) for j in range(inputs)], 1)
        return part(), gradient, hessian.reshape(len(x), inputs, inputs)

    return predict


def gradient_network(problem: Problem) -> Predictor:
    """jenn's network of two hidden layers on values and gradients."""
    import jenn

    sample, inputs = problem.sample, problem.inputs
    fitted = jenn.NeuralNet([inputs, 24, 24, 1])
    options = {"is_normalize": True, "lambd": 0.01 if problem.noise else 0.0, "max_iter": 5000, "random_state": 0}
    fitted.fit(sample.x.T, sample.y[None], sample.gradient.T[None], **options)
    found = fitted.parameters
    layers = [(_tensor(W), _tensor(b)) for W, b in list(zip(found.W, found.b, strict=True))[1:]]
    mean_x, scale_x = _tensor(found.mu_x)[:, 0], _tensor(found.sigma_x)[:, 0]
    mean_y, scale_y = float(found.mu_y[0, 0]), float(found.sigma_y[0, 0])

    def predict(x: Tensor) -> Tensor:
        here = (x - mean_x) / scale_x
        for W, b in layers[:-1]:
            here = torch.tanh(here @ W.T + b[:, 0])
        return (here @ layers[-1][0].T + layers[-1][1][:, 0]) * scale_y + mean_y

    return _differentiated(predict)


@dataclass(frozen=True)
class Method:
    """A way to learn a problem.

    Attributes:
        fit: returns what predicts.
        gradients: learns them as well as the values.
        inputs: of the problems it is for, the fewest and the most.
        rows: the most it is asked for.
    """

    fit: Callable[[Problem], Predictor]
    gradients: bool = False
    inputs: tuple[int, int] = (1, 10)
    rows: int = 100_000


OURS = "sobolev"
METHODS = {
    OURS: Method(ours),
    "scikit-learn GP": Method(gaussian_process),
    "SMT KRG": Method(kriging, rows=1000),
    "scipy RBF": Method(radial_basis),
    "scipy spline": Method(smoothing_spline, inputs=(1, 1)),
    "OpenTURNS chaos": Method(chaos, rows=3000),
    f"{OURS}, gradients": Method(lambda problem: ours(problem, gradients=True), gradients=True),
    "SMT GEKPLS": Method(gradient_kriging, gradients=True, inputs=(2, 10)),
    "jenn": Method(gradient_network, gradients=True),
}


def suitable(gradients: bool, inputs: int, rows: int) -> Sequence[str]:
    """The methods for such a problem."""
    return [
        name
        for name, method in METHODS.items()
        if method.gradients == gradients and method.inputs[0] <= inputs <= method.inputs[1] and rows <= method.rows
    ]


def _differentiated(mean: Callable[[Tensor], Tensor]) -> Predictor:
    """What a function of torch operations, (points, inputs) to (points, 1), predicts, and its derivatives."""

    def predict(x: Array) -> tuple[Array, Array, Array]:
        with torch.no_grad():
            parts = [sobolev.hessian(mean, points) for points in _tensor(x).split(100)]
        y, J, H = (torch.cat(column)[:, 0].numpy() for column in zip(*parts, strict=True))
        return y, J, H

    return predict


def _tensor(array: object) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def _unit(problem: Problem, x: Tensor) -> Tensor:
    return 2 * (x - _tensor(problem.low)) / _tensor(problem.high - problem.low) - 1


def _bumps(here: Tensor, centres: Tensor, rate: float) -> Tensor:
    return torch.exp(-rate * _squares(here, centres))


def _squares(here: Tensor, centres: Tensor) -> Tensor:
    return (here * here).sum(1, keepdim=True) + (centres * centres).sum(1) - 2 * here @ centres.T
