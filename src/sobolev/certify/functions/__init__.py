"""The functions of one number that enclosures can meet, each with all its derivatives."""

from sobolev.certify.functions.arctangent import Arctangent
from sobolev.certify.functions.exponential import Exponential, Trigonometric
from sobolev.certify.functions.logistic import LOGISTIC, SiLU, Softplus
from sobolev.certify.functions.normal import GELU, Normal
from sobolev.certify.functions.powers import Logarithm, Power
from sobolev.certify.functions.univariate import Expansion, Univariate

__all__ = [
    "GELU",
    "LOGISTIC",
    "Arctangent",
    "Expansion",
    "Exponential",
    "Logarithm",
    "Normal",
    "Power",
    "SiLU",
    "Softplus",
    "Trigonometric",
    "Univariate",
]
