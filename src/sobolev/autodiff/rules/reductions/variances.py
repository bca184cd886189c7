"""Rules of variances and standard deviations along axes."""

from collections.abc import Sequence
from typing import Any

from sobolev.autodiff.rules.reductions.sums import mean, root, total
from sobolev.autodiff.rules.shape.axes import axes_of, length_of
from sobolev.autodiff.taylor.matching import mapped
from sobolev.autodiff.taylor.propagation import with_square
from sobolev.autodiff.taylor.registry import rule


@rule("var")
def var(
    x: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The mean square of the distances to the mean."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    axes, correction = axes_of(x, dim), float(unbiased) if correction is None else correction
    squares = total(centred(x, axes) ** 2, axes, keepdim)
    return squares / max(0.0, length_of(x, axes) - correction)


@rule("std")
def std(x: Any, *args: Any, **kwargs: Any) -> Any:
    """The root of the variance."""
    squared = var(x, *args, **kwargs)
    return with_square(root(squared), lambda: squared)


@rule("var_mean")
def var_mean(x: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Variance and mean."""
    spread = var(x, dim, *args, **kwargs)
    return spread, _mean_like(x, spread, dim)


@rule("std_mean")
def std_mean(x: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Standard deviation and mean."""
    spread = std(x, dim, *args, **kwargs)
    return spread, _mean_like(x, spread, dim)


def centred(x: Any, axes: Sequence[int]) -> Any:
    """X minus its mean, which is taken off the value twice: far from 0, its own rounding error is what remains."""
    once = x - mean(x, axes, True)
    return mapped(once, once.value - once.value.mean(axes, keepdim=True), once.higher) if axes else once


def _mean_like(x: Any, spread: Any, dim: Any) -> Any:
    axes = axes_of(x, None if isinstance(dim, bool) else dim)
    return mean(x, axes, keepdim=spread.value.dim() == x.value.dim())
