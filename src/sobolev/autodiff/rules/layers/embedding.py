"""Rules of tables of vectors that are looked up by number: embeddings and bags of them."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import NoRuleError, keyword_rule, rule


@rule("embedding")
def embedding(index: Tensor, weight: Any, padding_idx: Any = None, max_norm: Any = None, *_: Any, **__: Any) -> Any:  # noqa: ARG001
    """Rows of a table of weights that depend on x."""
    if isinstance(index, Jet):
        raise NoRuleError("Taylor mode cannot turn numbers that have derivatives into indices; detach them: x.long()")
    if isinstance(max_norm, float):
        raise NoRuleError("Taylor mode has no rule for embedding with max_norm, which rewrites the table")
    return weight[index]


@keyword_rule(functional.embedding_bag)
def embedding_bag(
    input: Tensor,  # noqa: A002
    weight: Any,
    offsets: Tensor | None,
    max_norm: float | None,
    mode: str,
    per_sample_weights: Any,
    include_last_offset: bool,
    padding_idx: int | None,
    **_: Any,
) -> Any:
    """Sums, means or maxima of the rows of a table, bag by bag; the table or the shares of the rows depend on x."""
    if max_norm is not None:
        raise NoRuleError("Taylor mode has no rule for embedding_bag with max_norm, which rewrites the table")
    if offsets is None:
        bags, number = torch.arange(len(input), device=input.device).repeat_interleave(input.shape[1]), len(input)
        input = input.reshape(-1)  # noqa: A001
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    else:
        places = torch.arange(len(input), device=input.device)
        bags = torch.searchsorted(offsets, places, right=True) - 1
        number = len(offsets) - int(include_last_offset)
    counted = torch.ones_like(bags) if padding_idx is None else (input != padding_idx % len(weight)).to(bags.dtype)
    rows = embedding(input, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    sizes = counted.new_zeros(number).index_add(0, bags, counted).unsqueeze(-1)
    return _in_bags(torch.where(counted.unsqueeze(-1) > 0, rows, 0.0), counted, bags, sizes, mode)


def _in_bags(rows: Any, counted: Tensor, bags: Tensor, sizes: Tensor, mode: str) -> Any:
    empty = rows.new_zeros(len(sizes), rows.shape[1])
    if mode != "max":
        total = torch.index_add(empty, 0, bags, rows)
        return total if mode == "sum" else total / sizes.clamp(min=1)
    lowest = torch.where(counted.unsqueeze(-1) > 0, rows, -torch.inf)
    largest = torch.index_reduce(empty, 0, bags, lowest, "amax", include_self=False)
    return torch.where(sizes > 0, largest, 0.0)
