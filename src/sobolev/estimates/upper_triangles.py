"""Values, gradients and Hessians of many functions at once, every second derivative once."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.gaussian_process import symmetric


def upper_triangles(
    function: Callable[[Tensor], Tensor], x: Float64[Tensor, "points inputs"], order: int
) -> list[Float64[Tensor, "points entries functions"]]:
    """Values, slopes and the upper triangles of the Hessians, on the CPU."""
    found = derivative_tensors(function, x, order)
    i, j = torch.triu_indices(x.shape[1], x.shape[1])
    flat = [found[0][:, :, None], *found[1:2], *(t[:, :, i, j] for t in found[2:])]
    return [t.transpose(1, 2).cpu() for t in flat]


def of_features(
    features: Any, x: Float64[Tensor, "points inputs"], order: int
) -> list[Float64[Tensor, "points entries functions"]]:
    """The same of features that know their derivatives, for a fraction of the time."""
    inputs = range(x.shape[1])
    entries = [[(-1, -1)], [(i, -1) for i in inputs], [(i, j) for i in inputs for j in inputs[i:]]][: order + 1]
    by = torch.tensor([each for part in entries for each in part], device=x.device)
    found = features.derivatives(x.repeat(len(by), 1), by.repeat_interleave(len(x), 0))
    return list(found.unflatten(0, (len(by), len(x))).transpose(0, 1).cpu().split([len(part) for part in entries], 1))


def square(entries: Float64[Tensor, "points outputs entries"]) -> Float64[Tensor, "points outputs inputs inputs"]:
    """The matrices whose upper triangles these are."""
    return symmetric(entries.flatten(0, 1)).unflatten(0, entries.shape[:2])
