"""Derivatives of any batched function of PyTorch tensors. Knows torch, not Lightning."""

from sobolev.autodiff.operators import derivatives, hessian, hessian_diagonal, jacobian, laplacian

__all__ = ["derivatives", "hessian", "hessian_diagonal", "jacobian", "laplacian"]
