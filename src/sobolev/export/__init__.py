"""A network and its derivatives in one file, for places without autograd. Knows autodiff and audit, not Lightning."""

from sobolev.export.run import Export, export

__all__ = ["Export", "export"]
