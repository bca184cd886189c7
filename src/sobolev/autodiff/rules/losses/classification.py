"""Rules of losses of classes: cross entropy, and the negative logarithm of a likelihood."""

from typing import Any

import torch
from torch.nn import functional

from sobolev.autodiff.rules.losses.regression import loss, reduced
from sobolev.autodiff.taylor.matching import dims


@loss(functional.nll_loss)
def nll_loss(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:  # noqa: A002
    """Minus the entry of each target's class, axis 1; the mean is weighted."""
    axis = min(1, dims(input) - 1)
    known = target != ignore_index
    place = torch.where(known, target, 0)
    share = known.to(input.dtype) if weight is None else known * weight[place]
    losses = -share * torch.gather(input, axis, place.unsqueeze(axis)).squeeze(axis)
    return losses.sum() / share.sum() if reduction == "mean" else reduced(losses, reduction)


@loss(functional.cross_entropy)
def cross_entropy(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Any:
    """Of logits, axis 1, with classes or their probabilities."""
    axis = min(1, dims(input) - 1)
    logs, classes = torch.log_softmax(input, axis), input.shape[axis]
    weights = 1.0 if weight is None else weight.reshape(-1, *[1] * (dims(input) - 1 - axis))
    if target.dtype.is_floating_point:
        shares = target * (1 - label_smoothing) + label_smoothing / classes
        losses = -(logs * shares * weights).sum(axis)
        return reduced(losses, reduction)
    sharp = nll_loss(logs, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return sharp
    known = target != ignore_index
    flat = -(logs * weights).sum(axis) * known / classes
    if reduction == "mean":
        share = known if weight is None else known * weight[torch.where(known, target, 0)]
        flat = flat.sum() / share.sum()
    return (1 - label_smoothing) * sharp + label_smoothing * (flat.sum() if reduction == "sum" else flat)


def linear_cross_entropy(
    input: Any,  # noqa: A002
    linear_weight: Any,
    target: Any,
    linear_bias: Any,
    weight: Any,
    reduction: str,
    ignore_index: int | None,
    label_smoothing: float,
    **_: Any,
) -> Any:
    """Of the logits of a linear layer, whose weight is (classes, *places, features)."""
    places = linear_weight.shape[:-1]
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = functional.linear(input, linear_weight.reshape(-1, linear_weight.shape[-1]), bias)
    logits = logits.reshape(*input.shape[:-1], *places)
    return cross_entropy(
        logits, target, weight, -100 if ignore_index is None else ignore_index, reduction, label_smoothing
    )


if hasattr(functional, "linear_cross_entropy"):  # PyTorch 2.13
    loss(functional.linear_cross_entropy)(linear_cross_entropy)
