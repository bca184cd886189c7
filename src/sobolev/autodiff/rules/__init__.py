"""The rules of Taylor mode, families of files; importing this package registers them."""

from sobolev.autodiff.rules import exported
from sobolev.autodiff.rules.elementwise import (  # noqa: F401
    activations,
    arithmetic,
    complex_numbers,
    functions,
    gates,
    piecewise,
    powers,
    rectifiers,
    riccati,
    rounding,
)
from sobolev.autodiff.rules.layers import (  # noqa: F401
    attention,
    convolution,
    dropout,
    embedding,
    normalization,
    randomness,
    recurrent,
    resampling,
    sampling,
    softmax,
)
from sobolev.autodiff.rules.linear_algebra import (  # noqa: F401
    cholesky,
    determinants,
    eigenvalues,
    fourier,
    least_squares,
    linear_systems,
    lu,
    matmul,
    matrix_functions,
    orthogonal,
    products,
    singular_values,
)
from sobolev.autodiff.rules.losses import (  # noqa: F401
    classification,
    margins,
    regression,
)
from sobolev.autodiff.rules.memory import (  # noqa: F401
    compilation,
    conversion,
    inplace,
)
from sobolev.autodiff.rules.reductions import (  # noqa: F401
    distances,
    norms,
    ordering,
    statistics,
    sums,
    variances,
)
from sobolev.autodiff.rules.shape import (  # noqa: F401
    arranging,
    attributes,
    indexing,
    placing,
    splitting,
    stacking,
    views,
)
from sobolev.autodiff.rules.special import (  # noqa: F401
    bessel,
    gamma,
    miscellaneous,
    normal_distribution,
    polynomials,
)
from sobolev.autodiff.taylor.registry import NoRuleError, rule

exported.register()
compilation.register()
inplace.register()  # the in-place forms of all of them

__all__ = ["NoRuleError", "rule"]
