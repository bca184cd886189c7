"""`audit`: run the checks, draw the verdict."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sobolev.audit.checks import CHECKS, CONSISTENCY
from sobolev.audit.finding import Audit, Finding
from sobolev.audit.modules import modules_behind
from sobolev.audit.probe import probing

_POINTS = 64


def audit(f: Callable[[Tensor], Any], x: Tensor, order: int = 2) -> Audit:
    """Check on a few points whether the derivatives of f by x can be trusted, and say why not.

    Args:
        f: a module, a LightningModule, a bound method, any callable; maps (batch, *in) to (batch, *out).
        x: points of the domain, (batch, *in), floating point. At most 64 of them are looked at, evenly drawn.
        order: the highest derivative that is needed.

    Returns:
        The findings, whether any is an error, and whose numbers can be relied on. The model, its flags, its
        gradients and the random generators are left exactly as they were.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: x has no batch axis or no rows, or order is below 1.
    """
    _check(x, order)
    modules = modules_behind(f)
    points = _some(x.detach())
    findings: list[Finding] = []
    with probing(f, points, order, modules) as probe:
        for check in (*CONSISTENCY, *CHECKS):
            findings += check(probe)
    return Audit(tuple(findings), "reverse", len(points), order)


def _check(x: Tensor, order: int) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {kind}; derivatives need a floating-point tensor: torch.as_tensor(x).float()")
    if x.dim() == 0 or not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; give at least one row, (batch, *in)")
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"order is {order!r}; it is a whole number, 1 or more")


def _some(x: Tensor) -> Tensor:
    if len(x) <= _POINTS:
        return x
    return x[torch.linspace(0, len(x) - 1, _POINTS, device=x.device).round().long()]
