"""Rows in one order, whoever brings them, and the noise that repeated inputs show."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

MOST = 20_000
"""So many rows are looked at."""
_REPETITIONS = 10
"""Degrees of freedom from which on repeated inputs say how large the noise is."""


def shuffled(
    x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"], *labels: Float64[Tensor, "rows *entries"]
) -> tuple[Tensor, ...]:
    """The same random order, and if there are very many the same part of them, in whatever order rows come."""
    whole = torch.cat([x, y], 1)
    order = torch.unique(whole.nan_to_num(math.pi), dim=0, return_inverse=True)[1].argsort(stable=True)
    order = order[torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:MOST]]
    return tuple(column[order] for column in (x, y, *labels))


def denser(x: Float64[Tensor, "rows inputs"], times: int) -> Float64[Tensor, "more inputs"]:
    """So many times as many rows, in random order: these, and others between them and their neighbours."""
    generator = torch.Generator().manual_seed(0)
    scale = x.std(0).clamp_min(torch.finfo(x.dtype).tiny)
    near = torch.cdist(x / scale, x / scale).topk(min(len(x), 3 + 4 * x.shape[1]), largest=False).indices[:, 1:]
    starts = torch.arange(len(x)).repeat(times - 1)
    chosen = near[starts, torch.randint(near.shape[1], (len(starts),), generator=generator)]
    share = torch.rand(len(starts), 1, generator=generator, dtype=x.dtype)
    more = torch.cat([x, x[starts] + share * (x[chosen] - x[starts])])
    return more[torch.randperm(len(more), generator=generator)]


def repeated_noise(x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, " rows"]) -> float | None:
    """Standard deviation of values at the same inputs; None where too few inputs are repeated."""
    group = torch.unique(x, dim=0, return_inverse=True)[1]
    counts = torch.bincount(group)
    means = torch.zeros(len(counts), dtype=y.dtype).index_add(0, group, y) / counts
    freedom = len(x) - len(counts)
    return float(((y - means[group]).square().sum() / freedom).sqrt()) if freedom >= _REPETITIONS else None
