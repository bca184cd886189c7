"""The rules of Taylor mode, a family per file; importing this package registers them."""

from sobolev.autodiff.rules import activations, arithmetic, attributes, elementwise, linear, shape
from sobolev.autodiff.rules.registry import NoRuleError, rule

__all__ = ["NoRuleError", "activations", "arithmetic", "attributes", "elementwise", "linear", "rule", "shape"]
