"""Is a peer right? Its numbers beside nested reverse mode in float64."""

import copy

import torch
from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.jobs import prepared
from benchmarks.peers.nested import Nested

ROWS = 16
"""So many rows are compared; a training step has to be compared on all of them."""

TOLERANCE = 1e-2
"""Float32 keeps two to four digits at order 10, more below; what is wrong is wrong by far more."""


def reference(case: Case, network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The case in float64, row by row the same weights and points."""
    if case.job != "training":
        x = x[:ROWS]
    return prepared(Nested(), case, copy.deepcopy(network).double(), x.double())()


def relative_error(results: tuple[Tensor, ...], expected: tuple[Tensor, ...], training: bool) -> float:
    """The largest error of each result over its own largest entry, and of these the largest."""
    if len(results) != len(expected):
        raise ValueError(f"{len(results)} results where {len(expected)} were expected")
    errors = [0.0]
    for result, truth in zip(results, expected, strict=True):
        result, truth = result.detach() if training else result.detach()[:ROWS], truth.detach()
        if result.shape != truth.shape:
            raise ValueError(f"a result of shape {tuple(result.shape)} where {tuple(truth.shape)} was expected")
        errors.append(float((result.double() - truth).abs().max() / truth.abs().max()))
    return float(torch.tensor(errors).nan_to_num(nan=float("inf")).max())
