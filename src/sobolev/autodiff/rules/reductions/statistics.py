"""Rules of running sums of exponentials, quantiles, covariances, slopes of sampled functions."""

import math
from typing import Any

import torch

from sobolev.autodiff.rules.reductions.ordering import Selected, picked
from sobolev.autodiff.rules.shape.views import clone
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import plain, settled
from sobolev.autodiff.taylor.propagation import linear
from sobolev.autodiff.taylor.registry import NoRuleError, rule


@rule("logcumsumexp")
def logcumsumexp(x: Any, dim: int) -> Any:
    """Log of running sums of exponentials; each from its own largest entry, so that none overflows."""
    if not x.value.dim():
        return clone(x)
    rows = x.movedim(dim, -1).unsqueeze(-2)
    n = rows.shape[-1]
    later = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
    sums = rows.expand((*rows.shape[:-2], n, n)).masked_fill(later, -math.inf).logsumexp(-1).movedim(-1, dim)
    return settled(x.space, torch.logcumsumexp(x.value, dim), sums.full)


@rule("cumulative_trapezoid")
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Any:
    """The running integral by the trapezoidal rule."""
    length = y.shape[dim]
    step: Any = dx if x is None else torch.diff(x, dim=-1 if len(x.shape) == 1 else dim)
    if x is not None and len(x.shape) == 1:
        step = step.reshape(-1, *[1] * (len(y.shape) - 1 - dim % len(y.shape)))
    heights = y.narrow(dim, 1, length - 1) + y.narrow(dim, 0, length - 1)
    return torch.cumsum(heights * step / 2, dim)


@rule("gradient")
def gradient(x: Jet, **options: Any) -> tuple[Jet, ...]:
    """Slopes of a function given on a grid, along every axis."""
    axes = range(len(torch.gradient(x.value, **options)))
    return tuple(linear(x, lambda t, axis=axis: torch.gradient(t, **options)[axis]) for axis in axes)


@rule("quantile")
def quantile(x: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Any:
    """Between the entries in order of size."""
    q = plain(q)
    if isinstance(q, Jet):
        raise NoRuleError("Taylor mode has no rule for quantiles at places that depend on x")
    value = torch.quantile(x.value, q, dim, keepdim, interpolation=interpolation)
    entries = torch.sort(x.reshape(-1) if dim is None else x.movedim(dim, -1)).values
    place = torch.as_tensor(q, dtype=x.dtype, device=x.device) * (entries.shape[-1] - 1)
    lower, upper = place.floor(), place.ceil()
    share = {"linear": place - lower, "midpoint": (upper - lower) / 2, "lower": 0 * place, "higher": upper - lower}
    between = share.get(interpolation, torch.round(place) - lower)
    low, high = (torch.index_select(entries, -1, side.long().reshape(-1)) for side in (lower, upper))
    result: Any = low + (high - low) * between.reshape(-1)
    return Jet(x.space, value, result.movedim(-1, 0).full.reshape(-1, *value.shape))


@rule("nanmedian")
def nanmedian(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of what is not NaN."""
    if dim is None:
        return nanmedian(x.reshape(-1), 0).values
    return picked(x, dim, torch.nanmedian(x.value, dim, keepdim=True).indices, keepdim)


@rule("mode")
def mode(x: Any, dim: int = -1, keepdim: bool = False) -> Selected:
    """The commonest entry along an axis, with its place."""
    return picked(x, dim, torch.mode(x.value, dim, keepdim=True).indices, keepdim)


@rule("cov")
def cov(x: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of the rows of a matrix."""
    if fweights is not None or aweights is not None:
        raise NoRuleError("Taylor mode has no rule for weighted covariances")
    rows = x if len(x.shape) == 2 else x.reshape(1, -1)
    centred = rows - rows.mean(1, keepdim=True)
    result = torch.matmul(centred, centred.mH) / max(0, rows.shape[1] - correction)
    return result.squeeze()


@rule("corrcoef")
def corrcoef(x: Any) -> Any:
    """The correlations of the rows of a matrix."""
    if len(x.shape) < 2:
        raise NoRuleError("Taylor mode has no rule for corrcoef of a single row")
    rows = x - x.mean(1, keepdim=True)
    units = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.matmul(units, units.mH).squeeze()
