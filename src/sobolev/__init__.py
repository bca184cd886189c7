"""Train a network in Lightning and know how good its derivatives are, and whether they can be trusted."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sobolev.audit import Audit, Finding, audit
from sobolev.autodiff import derivatives, hessian, hessian_diagonal, jacobian, laplacian
from sobolev.errors import UntrustworthyDerivativeError

if TYPE_CHECKING:
    from sobolev import autodiff, losses, metrics, optimizers, plots
    from sobolev.callbacks.monitor import DerivativeMonitor
    from sobolev.callbacks.predictions import PredictionWriter
    from sobolev.callbacks.readout import LeastSquaresReadout
    from sobolev.callbacks.report import Report
    from sobolev.data import FunctionData, PathsData, ResidualData, TableData
    from sobolev.differential_pca import DifferentialPCA
    from sobolev.functions import Function
    from sobolev.networks import MLP, Standardized
    from sobolev.regressor import Regressor
    from sobolev.residual_regressor import ResidualRegressor

__version__ = "0.1.0"

_LATE = {
    "DerivativeMonitor": "sobolev.callbacks.monitor",
    "DifferentialPCA": "sobolev.differential_pca",
    "Function": "sobolev.functions",
    "FunctionData": "sobolev.data",
    "LeastSquaresReadout": "sobolev.callbacks.readout",
    "MLP": "sobolev.networks",
    "PathsData": "sobolev.data",
    "PredictionWriter": "sobolev.callbacks.predictions",
    "Regressor": "sobolev.regressor",
    "Report": "sobolev.callbacks.report",
    "ResidualData": "sobolev.data",
    "ResidualRegressor": "sobolev.residual_regressor",
    "Standardized": "sobolev.networks",
    "TableData": "sobolev.data",
}
"""Public names that are imported on first use, with their homes: derivatives and audit need no Lightning."""

__all__ = [
    "MLP",
    "Audit",
    "DerivativeMonitor",
    "DifferentialPCA",
    "Finding",
    "Function",
    "FunctionData",
    "LeastSquaresReadout",
    "PathsData",
    "PredictionWriter",
    "Regressor",
    "Report",
    "ResidualData",
    "ResidualRegressor",
    "Standardized",
    "TableData",
    "UntrustworthyDerivativeError",
    "audit",
    "autodiff",
    "derivatives",
    "hessian",
    "hessian_diagonal",
    "jacobian",
    "laplacian",
    "losses",
    "metrics",
    "optimizers",
    "plots",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    if name in __all__:
        return import_module(f"sobolev.{name}")
    raise AttributeError(f"module 'sobolev' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
