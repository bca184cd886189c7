"""Derivatives of any batched function of PyTorch tensors. Knows torch, not Lightning."""

from sobolev.autodiff.operators import derivatives, hessian, hessian_diagonal, jacobian, laplacian
from sobolev.autodiff.rules import NoRuleError, rule

__all__ = ["NoRuleError", "derivatives", "hessian", "hessian_diagonal", "jacobian", "laplacian", "rule"]
