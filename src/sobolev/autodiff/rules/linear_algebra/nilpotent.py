"""Matrices A = A_0 + H, H without constant term, as the rules of linear algebra take them.

What is sought is known for A_0, from PyTorch. H is nilpotent at the order of the space, so that Newton's iteration and
power series end, and hold exactly for any number of directions.
"""

import math
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet


def steps(a: Any) -> int:
    """So often an iteration doubles the number of right degrees until all are right."""
    return math.ceil(math.log2(a.space.order + 1))


def without_value(a: Any) -> Any:
    """The nilpotent part."""
    return Jet(a.space, torch.zeros_like(a.value), a.higher)


def identity(a: Any) -> Tensor:
    """The identity matrix with as many columns."""
    return torch.eye(a.value.shape[-1], dtype=a.value.dtype, device=a.value.device)
