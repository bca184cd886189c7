"""Points drawn where a residual is large."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.data.sampling import further

_CANDIDATES = 20
"""For every point that is wanted."""
_EVEN = 1.0
"""The part of the density that does not depend on the residual, in units of the part that does."""


def adapted(
    residual: Callable[[Tensor], Tensor],
    count: int,
    domain: Mapping[str, tuple[float, float]],
    generator: torch.Generator,
) -> Float64[Tensor, "{count} inputs"]:
    """`count` distinct points with a density proportional to |r| / mean |r| + 1.

    The residual-based adaptive distribution with k = c = 1: Wu et al., A comprehensive study of non-adaptive
    and residual-based adaptive sampling for physics-informed neural networks (2023), section 3.3. Where the residual is
    no finite number the density is that of the even part.

    Args:
        residual: its size, (points,), at points (points, inputs).
        count: how many points.
        domain: the interval of each input.
        generator: of the random numbers.
    """
    low, high = torch.tensor(list(domain.values()), dtype=torch.float64).T
    pool = further(torch.empty(0, len(low), dtype=torch.float64), _CANDIDATES * count, low, high, generator)
    size = residual(pool).detach().double().cpu().abs().nan_to_num(0.0, 0.0, 0.0)
    density = size / size.mean().clamp_min(torch.finfo(torch.float64).tiny) + _EVEN
    return pool[torch.multinomial(density, count, generator=generator)]
