"""Train a network in Lightning and know how good its derivatives are, and whether they can be trusted."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sobolev.audit import Audit, Finding, audit
from sobolev.autodiff import derivatives, hessian, hessian_diagonal, jacobian, laplacian
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.export import Export, export

if TYPE_CHECKING:
    from sobolev import autodiff, certify, losses, metrics, optimizers, plots
    from sobolev.certify import Certificate
    from sobolev.data import FunctionData, PathsData, ResidualData, TableData
    from sobolev.estimates import DerivativeEstimate
    from sobolev.functions import Function
    from sobolev.monitor.monitor import DerivativeMonitor
    from sobolev.networks import MLP, DifferentialPCA, Standardized
    from sobolev.readout.callback import LeastSquaresReadout
    from sobolev.report.predictions import PredictionWriter
    from sobolev.report.report import Report
    from sobolev.training.evidence_regressor import EvidenceRegressor
    from sobolev.training.regressor import Regressor
    from sobolev.training.residual_regressor import ResidualRegressor

__version__ = "0.1.0"

_LATE = {
    "Certificate": "sobolev.certify",
    "DerivativeEstimate": "sobolev.estimates",
    "DerivativeMonitor": "sobolev.monitor.monitor",
    "DifferentialPCA": "sobolev.networks",
    "EvidenceRegressor": "sobolev.training.evidence_regressor",
    "Function": "sobolev.functions",
    "FunctionData": "sobolev.data",
    "LeastSquaresReadout": "sobolev.readout.callback",
    "MLP": "sobolev.networks",
    "PathsData": "sobolev.data",
    "PredictionWriter": "sobolev.report.predictions",
    "Regressor": "sobolev.training.regressor",
    "Report": "sobolev.report.report",
    "ResidualData": "sobolev.data",
    "ResidualRegressor": "sobolev.training.residual_regressor",
    "Standardized": "sobolev.networks",
    "TableData": "sobolev.data",
}
"""Public names that are imported on first use, with their homes: derivatives and audit need no Lightning."""

__all__ = [
    "MLP",
    "Audit",
    "Certificate",
    "DerivativeEstimate",
    "DerivativeMonitor",
    "DifferentialPCA",
    "EvidenceRegressor",
    "Export",
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
    "certify",
    "derivatives",
    "export",
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
