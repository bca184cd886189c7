"""Differential equations with conditions on a box, as a loss for a network."""

from sobolev.equations.problem import Problem

__all__ = ["Problem"]
