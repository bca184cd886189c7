"""A network or function of torch, called with enclosures; what it may not contain is said by name and module."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from sobolev.certify.balls import Array
from sobolev.certify.enclosure import Enclosure, variables
from sobolev.certify.registry import NoEnclosureError
from sobolev.certify.rules.shape import reshape, unsqueeze

_POINTS, _CLOSE = 5, 1e-5

Enclose = Callable[[Enclosure], Enclosure]


def on_enclosures(f: Callable[[Any], Any], name: str = "the network") -> Enclose:
    """`f` on inputs (cells, inputs), its results as (cells, outputs).

    Raises (when called):
        TypeError: it computes what no proof goes through; the operation and the module are named.
    """

    def run(x: Enclosure) -> Enclosure:
        try:
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
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


def check_agreement(
    f: Callable[[Any], Any], enclosed: Callable[[Enclosure], Enclosure], low: Array, high: Array
) -> None:
    """See that f gives on tensors, alone and together, what was enclosed: it may look at what it is given.

    Args:
        f: the network.
        enclosed: the same on enclosures.
        low: a corner of the domain, (inputs,).
        high: the other.

    Raises:
        NoEnclosureError: it gives something else.
    """
    points = low + (high - low) * np.random.default_rng(0).random((_POINTS, len(low)))
    with np.errstate(all="ignore"):
        ball = enclosed(variables(points, 0 * points, 0)).ball[0]
    try:
        twin = deepcopy(f).double() if isinstance(f, nn.Module) else f
        weights = twin.parameters() if isinstance(twin, nn.Module) else ()
        x = torch.as_tensor(points, device=next((p.device for p in weights), None))
        with torch.no_grad():
            found = [twin(x), torch.cat([twin(row[None]) for row in x])]
        values = [y.reshape(_POINTS, -1).double().cpu().numpy() for y in found]
    except Exception:  # a network that cannot be copied, or be called in float64, is not looked at
        return
    scale = _CLOSE * (np.abs(ball.mid).max() + 1e-300) + ball.rad
    if any(v.shape != ball.mid.shape or np.any(np.abs(v - ball.mid) > scale) for v in values):
        raise NoEnclosureError(
            "the network gives other values on tensors than were enclosed: does it depend on the number of samples, "
            "or on the type of its input?"
        )


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
