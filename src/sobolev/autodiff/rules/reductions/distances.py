"""Rules of distances and of what compares two vectors."""

from typing import Any

import torch

from sobolev.autodiff.rules.reductions.norms import vector_norm
from sobolev.autodiff.taylor.registry import rule


@rule("pdist")
def pdist(x: Any, p: float = 2.0) -> Any:
    """Distances between all pairs of rows i < j."""
    i, j = torch.triu_indices(x.shape[0], x.shape[0], 1, device=x.device)
    return vector_norm(x[i] - x[j], p, -1)


@rule("dist")
def dist(a: Any, b: Any, p: float = 2.0) -> Any:
    """The norm of the difference."""
    return vector_norm(a - b, p)


@rule("pairwise_distance")
def pairwise_distance(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The norm of a - b + eps along the last axis."""
    return vector_norm(a - b + eps, p, -1, keepdim)


@rule("cdist")
def cdist(a: Any, b: Any, p: float = 2.0, compute_mode: Any = None) -> Any:  # noqa: ARG001
    """Distances between all rows of two matrices, from the differences, which is accurate for close points."""
    return vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


@rule("cosine_similarity")
def cosine_similarity(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The scalar product of the two, each divided by its length or by eps where that is larger."""
    a, b = torch.broadcast_tensors(a, b)
    lengths = [torch.clamp_min(torch.linalg.vector_norm(item, dim=dim, keepdim=True), eps) for item in (a, b)]
    return ((a / lengths[0]) * (b / lengths[1])).sum(dim)
