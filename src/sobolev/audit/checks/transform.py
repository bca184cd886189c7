"""Does the LightningModule change its inputs before the network sees them?"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from sobolev.audit.agreement import rms
from sobolev.audit.finding import Finding
from sobolev.audit.probe import Probe

_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")


def transform(probe: Probe) -> Iterator[Finding]:
    """Call the hooks through which Lightning passes every batch, and see what becomes of x."""
    for path, module in probe.modules.items():
        for hook in _HOOKS:
            if change := _change(getattr(module, hook), probe) if hasattr(module, hook) else "":
                yield Finding(
                    "input-transform",
                    "warning",
                    ".".join(filter(None, (path, hook))),
                    f"this hook {change} before the network sees the batch: derivatives of f are by the "
                    "transformed inputs, so in other units than the data's. Standardise inside the network "
                    "(sobolev.Standardized), where the chain rule sees it",
                )


def _change(hook: Any, probe: Probe) -> str:
    for batch in (
        (probe.x.clone(), probe.y.clone()),
        probe.x.clone(),
        {"x": probe.x.clone(), "y": probe.y.clone()},
    ):
        try:
            after = next(leaf for leaf in tree_leaves(hook(batch, 0)) if isinstance(leaf, Tensor))
        except Exception:  # no such hook, or it wants another kind of batch
            continue
        if after.shape == probe.x.shape and not torch.allclose(after.to(probe.x), probe.x, rtol=1e-6, atol=0):
            return f"multiplies the inputs by about {rms(after.double()) / max(rms(probe.x.double()), 1e-300):.3g}"
    return ""
