"""Rules of losses that ask for a distance between right and wrong."""

from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.rules.losses.regression import loss, loss_of_terms, reduced

_COSINE_EPSILON = 1e-12
"""What PyTorch adds to squared lengths."""


@loss_of_terms(functional.soft_margin_loss)
def _soft_margin(input: Any, target: Any) -> Any:  # noqa: A002
    return -functional.logsigmoid(target * input)


@loss_of_terms(functional.margin_ranking_loss)
def _margin_ranking(input1: Any, input2: Any, target: Any, margin: float) -> Any:
    return torch.relu(margin - target * (input1 - input2))


@loss_of_terms(functional.triplet_margin_loss)
def _triplet_margin(anchor: Any, positive: Any, negative: Any, margin: float, p: float, eps: float, swap: bool) -> Any:
    near, far = (functional.pairwise_distance(anchor, other, p, eps) for other in (positive, negative))
    if swap:
        far = torch.minimum(far, functional.pairwise_distance(positive, negative, p, eps))
    return torch.relu(margin + near - far)


@loss_of_terms(functional.hinge_embedding_loss)
def _hinge_embedding(input: Any, target: Any, margin: float) -> Any:  # noqa: A002
    return torch.where(target != -1, input, 0.0) + torch.where(target != 1, torch.relu(margin - input), 0.0)


@loss_of_terms(functional.triplet_margin_with_distance_loss)
def _triplet(anchor: Any, positive: Any, negative: Any, distance_function: Any, margin: float, swap: bool) -> Any:
    distance = distance_function or functional.pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = torch.minimum(far, distance(positive, negative))
    return torch.relu(margin + near - far)


@loss_of_terms(functional.cosine_embedding_loss)
def _cosine_embedding(input1: Any, input2: Any, target: Any, margin: float) -> Any:
    squares = [(item * item).sum(-1) + _COSINE_EPSILON for item in (input1, input2)]
    cosine = (input1 * input2).sum(-1) * torch.rsqrt(squares[0] * squares[1])
    return torch.where(target == 1, 1 - cosine, 0.0) + torch.where(target == -1, torch.relu(cosine - margin), 0.0)


@loss(functional.multi_margin_loss)
def _multi_margin(
    input: Any,  # noqa: A002
    target: Any,
    p: int,
    margin: float,
    weight: Any,
    reduction: str,
) -> Any:
    classes, target = input.shape[-1], target.reshape(tuple(input.shape[:-1]))
    right = torch.gather(input, -1, target.unsqueeze(-1))
    losses = torch.relu(margin - right + input) ** p
    losses = losses if weight is None else losses * weight[target].unsqueeze(-1)
    others = torch.arange(classes, device=target.device) != target.unsqueeze(-1)
    return reduced((losses * others).sum(-1) / classes, reduction)


@loss(functional.multilabel_margin_loss)
def _multilabel_margin(input: Any, target: Any, reduction: str) -> Any:  # noqa: A002
    named = (target >= 0).cumprod(-1).bool()  # the labels end at the first -1
    labels = torch.where(named, target, 0)
    wrong = torch.zeros_like(target).scatter_add(-1, labels, named.to(target.dtype)) == 0
    distance = torch.gather(input, -1, labels).unsqueeze(-1) - input.unsqueeze(-2)
    losses = torch.relu(1 - distance) * (named.unsqueeze(-1) & wrong.unsqueeze(-2))
    return reduced(losses.sum((-2, -1)) / input.shape[-1], reduction)


@loss(functional.multilabel_soft_margin_loss)
def _multilabel_soft_margin(input: Any, target: Any, weight: Any, reduction: str) -> Any:  # noqa: A002
    losses = (1 - target) * input - functional.logsigmoid(input)
    losses = losses if weight is None else losses * weight
    return reduced(losses.mean(-1), reduction)
