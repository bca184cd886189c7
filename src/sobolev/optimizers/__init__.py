"""Quasi-Newton optimisers that reach the digits of float64, where the whole data set fits into one batch."""

from sobolev.optimizers.bfgs import SelfScaledBFGS
from sobolev.optimizers.lbfgs import LBFGS

__all__ = ["LBFGS", "SelfScaledBFGS"]
