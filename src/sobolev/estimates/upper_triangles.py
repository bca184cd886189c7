"""Values, gradients and Hessians of many functions at once, every second derivative once."""

from collections.abc import Callable

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


def square(entries: Float64[Tensor, "points outputs entries"]) -> Float64[Tensor, "points outputs inputs inputs"]:
    """The matrices whose upper triangles these are."""
    return symmetric(entries.flatten(0, 1)).unflatten(0, entries.shape[:2])
