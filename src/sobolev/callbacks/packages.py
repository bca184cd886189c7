"""Lightning under both its names: `lightning.pytorch` and `pytorch_lightning` are the same code, twice.

A trainer of one does not know the classes of the other. Our callbacks belong to whichever is imported, or to both.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    _LOADED = [sys.modules[name] for name in ("lightning.pytorch", "pytorch_lightning") if name in sys.modules]
    if not _LOADED:
        import lightning.pytorch

        _LOADED = [lightning.pytorch]

    class Callback(*(package.Callback for package in _LOADED)):
        """The base of our callbacks."""


def is_a(thing: Any, name: str) -> bool:
    """Whether a class of that name, from either package, is among the classes of a thing."""
    return any(kind.__name__ == name for kind in type(thing).__mro__)
