"""The rules of Taylor mode, a family per file; importing this package registers them."""

from sobolev.autodiff.rules import (  # noqa: F401
    activations,
    arithmetic,
    attention,
    attributes,
    complex_numbers,
    conversion,
    convolution,
    dropout,
    elementwise,
    fourier,
    gates,
    indexing,
    inplace,
    linalg,
    linear,
    normalization,
    norms,
    ordering,
    piecewise,
    products,
    recurrent,
    reductions,
    riccati,
    shape,
    softmax,
    special,
    stacking,
)
from sobolev.autodiff.rules.registry import NoRuleError, rule

inplace.register()  # the in-place forms of all of them

__all__ = ["NoRuleError", "rule"]
