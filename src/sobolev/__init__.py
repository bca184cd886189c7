"""Train a network in Lightning and know how good its derivatives are, and whether they can be trusted."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sobolev.audit import Audit, Finding, audit
    from sobolev.autodiff import derivatives, hessian, hessian_diagonal, jacobian, laplacian
    from sobolev.data import FunctionData
    from sobolev.errors import UntrustworthyDerivativeError
    from sobolev.functions import Function

__version__ = "0.1.0"

_HOME = {
    "Audit": "sobolev.audit",
    "Finding": "sobolev.audit",
    "audit": "sobolev.audit",
    "derivatives": "sobolev.autodiff",
    "hessian": "sobolev.autodiff",
    "hessian_diagonal": "sobolev.autodiff",
    "jacobian": "sobolev.autodiff",
    "laplacian": "sobolev.autodiff",
    "FunctionData": "sobolev.data",
    "UntrustworthyDerivativeError": "sobolev.errors",
    "Function": "sobolev.functions",
}
"""Where each public name lives. It is imported on first use: derivatives alone need no Lightning."""

__all__ = [
    "Audit",
    "Finding",
    "Function",
    "FunctionData",
    "UntrustworthyDerivativeError",
    "audit",
    "derivatives",
    "hessian",
    "hessian_diagonal",
    "jacobian",
    "laplacian",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sobolev' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
