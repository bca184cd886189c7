"""Networks to learn a function with."""

from sobolev.networks.differential_pca import DifferentialPCA
from sobolev.networks.mlp import MLP
from sobolev.networks.standardized import Standardized

__all__ = ["MLP", "DifferentialPCA", "Standardized"]
