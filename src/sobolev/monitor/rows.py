"""The samples of a batch of any form: the rows of those tensors that have one for each sample."""

from typing import Any

import torch
from torch import Tensor

from sobolev.monitor.batches import leaves, mapped


def length(batch: Any) -> int:
    """The number of samples: rows of the first tensor that has any axis."""
    return next((len(leaf) for _, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.dim()), 1)


def some_rows(batch: Any, rows: slice, count: int) -> Any:
    """Some of the `count` samples; what has no row for each sample stays."""
    return mapped(lambda t: t[rows] if t.dim() and len(t) == count else t, batch)


def repeated(batch: Any, times: int, count: int) -> Any:
    """The first of the `count` samples, so many times."""
    return mapped(lambda t: t[:1].expand(times, *t.shape[1:]) if t.dim() and len(t) == count else t, batch)


def copied(batch: Any) -> Any:
    """A copy on the CPU, without a graph."""
    with torch.inference_mode(False):
        return mapped(lambda tensor: tensor.detach().to("cpu", copy=True), batch)


def numbers(value: Any) -> int:
    """How many numbers all tensors in a value hold."""
    return sum(leaf.numel() for _, leaf in leaves(value) if isinstance(leaf, Tensor))
