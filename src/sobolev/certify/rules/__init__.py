"""What operations do to enclosures, a family per file; importing this package registers the rules."""

from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rules import activations, arithmetic, compositions, linear, shape  # noqa: F401

__all__ = ["NoEnclosureError"]
