"""The checks, as data: each maps a probe to findings."""

from sobolev.audit.checks import consistency, shape, units

CONSISTENCY = (consistency.stochastic, consistency.cross_sample)
"""Whether f is a function of each sample alone: these run in the mode f is in, too."""

CHECKS = (shape.piecewise_linear, shape.constant, shape.clipped, units.scaling)
"""For what is one."""
