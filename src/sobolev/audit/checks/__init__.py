"""The checks, as data: each maps a probe to findings."""

from sobolev.audit.checks import consistency, derivatives, kinks, shape, transform, units

CONSISTENCY = (consistency.stochastic, consistency.grad_mode, consistency.cross_sample)
"""Whether f is a function of each sample alone: these run in the mode f is in, too."""

CALCULUS = (
    derivatives.non_finite,
    derivatives.unverified,
    derivatives.agreement,
    derivatives.inner,
    shape.piecewise,
    kinks.kinks,
)
"""Whether its derivatives are right: these need a function of each sample alone."""

SENSE = (shape.constant, shape.clipped, units.scaling, transform.transform)
"""Whether it is a function that makes sense to differentiate."""
