"""The rules of Taylor mode, a family per file; importing this package registers them."""

from sobolev.autodiff.rules import (
    activations,
    arithmetic,
    attributes,
    elementwise,
    inplace,
    linear,
    riccati,
    shape,
)
from sobolev.autodiff.rules import attention as attention
from sobolev.autodiff.rules import complex_numbers as complex_numbers
from sobolev.autodiff.rules import conversion as conversion
from sobolev.autodiff.rules import convolution as convolution
from sobolev.autodiff.rules import dropout as dropout
from sobolev.autodiff.rules import fourier as fourier
from sobolev.autodiff.rules import gates as gates
from sobolev.autodiff.rules import indexing as indexing
from sobolev.autodiff.rules import linalg as linalg
from sobolev.autodiff.rules import normalization as normalization
from sobolev.autodiff.rules import norms as norms
from sobolev.autodiff.rules import ordering as ordering
from sobolev.autodiff.rules import piecewise as piecewise
from sobolev.autodiff.rules import products as products
from sobolev.autodiff.rules import recurrent as recurrent
from sobolev.autodiff.rules import reductions as reductions
from sobolev.autodiff.rules import softmax as softmax
from sobolev.autodiff.rules.registry import NoRuleError, rule

inplace.register()  # the in-place forms of all of them

__all__ = [
    "NoRuleError",
    "activations",
    "arithmetic",
    "attributes",
    "elementwise",
    "linear",
    "riccati",
    "rule",
    "shape",
]
