"""The rules of Taylor mode, a family per file; importing this package registers them."""

from sobolev.autodiff.rules import (  # noqa: F401
    activations,
    arithmetic,
    arranging,
    attention,
    attributes,
    complex_numbers,
    conversion,
    convolution,
    decompositions,
    dropout,
    elementwise,
    fourier,
    gamma,
    gates,
    indexing,
    inplace,
    linalg,
    linear,
    losses,
    normalization,
    norms,
    ordering,
    piecewise,
    placing,
    polynomials,
    products,
    randomness,
    rectifiers,
    recurrent,
    reductions,
    resampling,
    riccati,
    rounding,
    sampling,
    shape,
    softmax,
    special,
    stacking,
    statistics,
)
from sobolev.autodiff.rules.registry import NoRuleError, rule

inplace.register()  # the in-place forms of all of them

__all__ = ["NoRuleError", "rule"]
