"""Rules of functions that multiply by weights: linear layers and matrix products."""

from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.jet import Jet
from sobolev.autodiff.rules.registry import rule


@rule(functional.linear)
def linear(x: Any, weight: Any, bias: Any = None) -> Jet:
    """X Wᵀ + b: the bias reaches the value only."""
    if not isinstance(x, Jet) or isinstance(weight, Jet):
        product = torch.matmul(x, weight.mT)
        return product if bias is None else product + bias
    rows_first = x.rows_first and x.value.dim() > 1
    return Jet(x.space, functional.linear(x.value, weight, bias), functional.linear(x.higher, weight), rows_first)
