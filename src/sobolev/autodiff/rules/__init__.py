"""The rules of Taylor mode, a family per file; importing this package registers them."""

from sobolev.autodiff.rules import activations, arithmetic, attributes, elementwise, linear, riccati, shape
from sobolev.autodiff.rules.registry import NoRuleError, rule

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
