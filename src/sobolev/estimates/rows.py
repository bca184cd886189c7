"""Rows in one order, whoever brings them, and the noise that repeated inputs show."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

_MOST = 5000
"""So many rows are looked at."""
_REPETITIONS = 10
"""Degrees of freedom from which on repeated inputs say how large the noise is."""


def shuffled(
    x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"]
) -> tuple[Float64[Tensor, "rows inputs"], Float64[Tensor, "rows outputs"]]:
    """The same random order, and if there are very many the same part of them, in whatever order rows come."""
    whole = torch.cat([x, y], 1)
    whole = whole[torch.unique(whole.nan_to_num(math.pi), dim=0, return_inverse=True)[1].argsort(stable=True)]
    chosen = whole[torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:_MOST]]
    return chosen[:, : x.shape[1]], chosen[:, x.shape[1] :]


def repeated_noise(x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, " rows"]) -> float | None:
    """Standard deviation of values at the same inputs; None where too few inputs are repeated."""
    group = torch.unique(x, dim=0, return_inverse=True)[1]
    counts = torch.bincount(group)
    means = torch.zeros(len(counts), dtype=y.dtype).index_add(0, group, y) / counts
    freedom = len(x) - len(counts)
    return float(((y - means[group]).square().sum() / freedom).sqrt()) if freedom >= _REPETITIONS else None
