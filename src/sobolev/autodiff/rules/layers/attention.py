"""Rules of attention, written out: softmax(q kᵀ / √d + mask) v."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.taylor.registry import NoRuleError, keyword_rule, rule


@rule(functional.scaled_dot_product_attention)
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention of (..., targets, d) to (..., sources, d)."""
    if enable_gqa:  # several query heads share a head of keys and values
        groups = query.shape[-3] // key.shape[-3]
        key, value = (item.repeat_interleave(groups, -3) for item in (key, value))
    if is_causal:
        shape = query.shape[-2], key.shape[-2]
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    return _attend(query, key, value, attn_mask, dropout_p, scale)[0]


@keyword_rule(functional.multi_head_attention_forward)
def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    num_heads: int,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    average_attn_weights: bool,
    **options: Any,
) -> Any:
    """What `nn.MultiheadAttention` computes; (length, batch, features), or without the batch."""
    if options["static_k"] is not None or options["static_v"] is not None:
        raise NoRuleError("Taylor mode has no rule for attention with static keys or values")
    batched = query.dim() == 3
    if not batched:
        query, key, value = (item.unsqueeze(1) for item in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    q, k, v = _projected(query, key, value, **options)
    k, v, padding, mask = _extended(k, v, key_padding_mask, attn_mask, **options)
    q, k, v = (_heads(item, num_heads) for item in (q, k, v))
    mask = _joint_mask(mask, padding, num_heads, q.shape[0])
    attended, attention = _attend(q, k, v, mask, dropout_p if training else 0.0, None)
    output = functional.linear(attended.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)
    if not batched:
        output, attention = output.squeeze(1), attention.squeeze(0)
    if not need_weights:
        return output, None
    return output, attention.mean(-3) if average_attn_weights else attention


def _attend(q: Any, k: Any, v: Any, mask: Any, dropout_p: float, scale: float | None) -> tuple[Any, Any]:
    """The result, and how much each target attends to each source."""
    scores = torch.matmul(q * (1 / math.sqrt(q.shape[-1]) if scale is None else scale), k.transpose(-2, -1))
    blind = None
    if mask is not None and mask.dtype == torch.bool:
        blind = ~mask.any(-1, keepdim=True)  # what may look at nothing gets 0
        scores = scores.masked_fill(~mask & ~blind, -math.inf)
    elif mask is not None:
        scores = scores + mask
    attention = functional.dropout(torch.softmax(scores, -1), dropout_p, dropout_p > 0)
    if blind is not None:
        attention = attention.masked_fill(blind, 0.0)
    return torch.matmul(attention, v), attention


def _projected(
    query: Any,
    key: Any,
    value: Any,
    in_proj_weight: Any,
    in_proj_bias: Any,
    use_separate_proj_weight: bool,
    q_proj_weight: Any,
    k_proj_weight: Any,
    v_proj_weight: Any,
    **_: Any,
) -> list[Any]:
    """Queries, keys and values, (length, batch, features)."""
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights = separate if use_separate_proj_weight or in_proj_weight is None else in_proj_weight.chunk(3)
    biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    return [functional.linear(*item) for item in zip((query, key, value), weights, biases, strict=True)]


def _extended(
    k: Any, v: Any, padding: Any, mask: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, **_: Any
) -> tuple[Any, ...]:
    """One more source each for the learnt bias and for zeros, which nothing masks."""
    shape = (1, *k.shape[1:])
    sources: list[Any] = [] if bias_k is None else [(bias_k.expand(shape), bias_v.expand(shape))]
    if add_zero_attn:
        sources.append((torch.zeros(shape, dtype=k.dtype, device=k.device),) * 2)
    for source_k, source_v in sources:
        k, v = torch.cat([k, source_k]), torch.cat([v, source_v])
    padding = padding if padding is None else functional.pad(padding, (0, len(sources)))
    mask = mask if mask is None else functional.pad(mask, (0, len(sources)))
    return k, v, padding, mask


def _heads(x: Any, heads: int) -> Any:
    """(length, batch, features) -> (batch, heads, length, features of a head)."""
    return x.unflatten(2, (heads, -1)).permute(1, 2, 0, 3)


def _joint_mask(mask: Any, padding: Any, heads: int, batch: int) -> Any:
    """Both masks as numbers to be added to the scores, (batch or 1, heads or 1, targets or 1, sources)."""
    masks = []
    if mask is not None:
        masks.append(_additive(mask).unflatten(0, (batch, heads)) if mask.dim() == 3 else _additive(mask))
    if padding is not None:
        masks.append(_additive(padding)[:, None, None])
    return sum(masks) if masks else None


def _additive(mask: Tensor) -> Tensor:
    """-∞ where a mask of truth values forbids to look."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, -math.inf)
