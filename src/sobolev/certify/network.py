"""A network or function of torch, called with enclosures; what it may not contain is said by name and module."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sobolev.certify.enclosure import Enclosure
from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rules.shape import reshape, unsqueeze


def on_enclosures(f: Callable[[Any], Any], name: str = "the network") -> Callable[[Enclosure], Enclosure]:
    """`f` on inputs (cells, inputs), its results as (cells, outputs).

    Raises (when called):
        TypeError: it computes what no proof goes through; the operation and the module are named.
    """

    def run(x: Enclosure) -> Enclosure:
        try:
            with torch.no_grad():
                y = f(x)
        except NoEnclosureError as error:
            raise NoEnclosureError(f"{error}, in {_module(f, error) or name}") from None
        except Exception as error:
            _call_plainly(f, x)
            raise NoEnclosureError(
                f"no proof can follow {_module(f, error) or name}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(y, Enclosure):
            raise NoEnclosureError(
                f"{name} returned a {type(y).__name__} that does not depend on its inputs by operations known here; "
                "it maps (batch, inputs) to (batch, outputs)"
            )
        return matrix(y)

    return run


def matrix(y: Enclosure) -> Enclosure:
    """Results as (cells, outputs)."""
    if y.ndim == 1:
        return unsqueeze(y, 1)
    return y if y.ndim == 2 else reshape(y, y.shape[0], -1)


def widest(f: Any) -> int:
    """The longest side of its weights, at least 16: by it the cells of a batch are counted."""
    shapes = [p.shape for p in f.parameters()] if isinstance(f, nn.Module) else []
    return max([16, *(max(shape) for shape in shapes if len(shape))])


def _call_plainly(f: Callable, x: Enclosure) -> None:
    """A mistake of the network's own shows itself here."""
    weights = f.parameters() if isinstance(f, nn.Module) else ()
    dtype = next((p.dtype for p in weights if p.is_floating_point()), torch.get_default_dtype())
    with torch.no_grad():
        f(torch.zeros(x.shape, dtype=dtype))


def _module(f: Any, error: Exception) -> str:
    """The path and class of the innermost module whose forward raised the error."""
    found, trace = None, error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self", trace.tb_frame.f_locals.get("module"))
        found = owner if isinstance(owner, nn.Module) else found
        trace = trace.tb_next
    if found is None:
        return ""
    paths = {id(module): path for path, module in f.named_modules()} if isinstance(f, nn.Module) else {}
    path = paths.get(id(found), "")
    return f"{path} ({type(found).__name__})" if path else type(found).__name__
