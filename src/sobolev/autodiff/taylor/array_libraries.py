"""Libraries that look up what to do by the type of an array (einops, opt_einsum) learn what to do with a jet."""

import sys
from contextlib import suppress

from sobolev.autodiff.taylor.jet import Jet


def introduce_jets() -> None:
    """Tell those that are imported; who imports them later is told at the next call."""
    if (einops := sys.modules.get("einops._backends")) is not None:
        with suppress(AttributeError):  # another version keeps its backends elsewhere
            if Jet not in einops._type2backend:
                einops._type2backend[Jet] = einops.TorchBackend()
    if (dispatch := sys.modules.get("opt_einsum.backends.dispatch")) is not None:
        with suppress(AttributeError):
            dispatch._aliases.setdefault("sobolev", "opt_einsum.backends.torch")
