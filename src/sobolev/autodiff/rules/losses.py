"""Rules of losses that a model computes inside its forward."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import _reduction, functional

from sobolev.autodiff.rules.matching import dims
from sobolev.autodiff.rules.registry import rule


def _loss(function: Callable, mean_by_weight: bool = False) -> Callable[[Callable], Callable]:
    """Register a loss by the term of each element; how the terms are weighted and reduced is the same for all.

    Args:
        function: the loss.
        mean_by_weight: the mean is divided by the sum of the weights, not by the number of terms.
    """
    signature = inspect.signature(function)

    def register(terms: Callable) -> Callable:
        def apply(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            size_average, reduce = given.pop("size_average", None), given.pop("reduce", None)
            reduction, weight = given.pop("reduction"), given.pop("weight", None)
            if size_average is not None or reduce is not None:
                reduction = _reduction.legacy_get_string(size_average, reduce)
            losses = terms(**given) if weight is None else terms(**given) * weight
            if mean_by_weight and weight is not None and reduction == "mean":
                return losses.sum() / weight.sum()
            return _reduced(losses, reduction)

        rule(function)(apply)
        return terms

    return register


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction == "batchmean":
        return losses.sum() / losses.shape[0]
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


# There is no rule for l1_loss: it does not tell its weight to those who override it.


@_loss(functional.mse_loss, mean_by_weight=True)
def _mse(input: Any, target: Any) -> Any:  # noqa: A002
    return (input - target) ** 2


@_loss(functional.smooth_l1_loss)
def _smooth_l1(input: Any, target: Any, beta: float) -> Any:  # noqa: A002
    error = input - target
    distance = torch.abs(error)  # its square has no curvature where they are equal
    return distance if beta == 0 else torch.where(distance < beta, error**2 / (2 * beta), distance - beta / 2)


@_loss(functional.huber_loss)
def _huber(input: Any, target: Any, delta: float) -> Any:  # noqa: A002
    error = input - target
    distance = torch.abs(error)
    return torch.where(distance <= delta, error**2 / 2, delta * (distance - delta / 2))


@_loss(functional.binary_cross_entropy)
def _binary_cross_entropy(input: Any, target: Any) -> Any:  # noqa: A002
    yes, no = (torch.clamp_min(torch.log(p), -100) for p in (input, 1 - input))
    return (target - 1) * no - target * yes


@_loss(functional.binary_cross_entropy_with_logits)
def _binary_cross_entropy_with_logits(input: Any, target: Any, pos_weight: Any) -> Any:  # noqa: A002
    positive = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    return (1 - target) * input - positive * functional.logsigmoid(input)


@_loss(functional.soft_margin_loss)
def _soft_margin(input: Any, target: Any) -> Any:  # noqa: A002
    return functional.softplus(-target * input)


@_loss(functional.kl_div)
def _kl_div(input: Any, target: Any, log_target: bool) -> Any:  # noqa: A002
    if log_target:
        return torch.exp(target) * (target - input)
    return torch.xlogy(target, target) - target * input


@_loss(functional.hinge_embedding_loss)
def _hinge_embedding(input: Any, target: Any, margin: float) -> Any:  # noqa: A002
    return torch.where(target == 1, input, 0.0) + torch.where(target == -1, torch.relu(margin - input), 0.0)


@_loss(functional.poisson_nll_loss)
def _poisson_nll(input: Any, target: Any, log_input: bool, full: bool, eps: float) -> Any:  # noqa: A002
    losses = torch.exp(input) - target * input if log_input else input - target * torch.log(input + eps)
    if full:
        stirling = target * torch.log(target) - target + 0.5 * torch.log(2 * torch.pi * target)
        losses = losses + torch.where(target > 1, stirling, 0.0)
    return losses


@_loss(functional.gaussian_nll_loss)
def _gaussian_nll(input: Any, target: Any, var: Any, full: bool, eps: float) -> Any:  # noqa: A002
    var = torch.clamp_min(torch.as_tensor(var) if isinstance(var, float) else var, eps)
    if dims(var) and tuple(var.shape) == tuple(input.shape)[:-1] and tuple(var.shape) != tuple(input.shape):
        var = var.unsqueeze(-1)
    losses = (torch.log(var) + (input - target) ** 2 / var) / 2
    return losses + 0.5 * torch.log(torch.tensor(2 * torch.pi, dtype=losses.dtype)) if full else losses


@_loss(functional.margin_ranking_loss)
def _margin_ranking(input1: Any, input2: Any, target: Any, margin: float) -> Any:
    return torch.relu(margin - target * (input1 - input2))


@_loss(functional.triplet_margin_loss)
def _triplet_margin(anchor: Any, positive: Any, negative: Any, margin: float, p: float, eps: float, swap: bool) -> Any:
    near, far = (functional.pairwise_distance(anchor, other, p, eps) for other in (positive, negative))
    if swap:
        far = torch.minimum(far, functional.pairwise_distance(positive, negative, p, eps))
    return torch.relu(margin + near - far)


@rule(functional.nll_loss)
def nll_loss(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """Minus the entry of each target's class, axis 1; the mean is weighted."""
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    axis = min(1, dims(input) - 1)
    known = target != ignore_index
    place = torch.where(known, target, 0)
    share = known.to(input.dtype) if weight is None else known * weight[place]
    losses = -share * torch.gather(input, axis, place.unsqueeze(axis)).squeeze(axis)
    return losses.sum() / share.sum() if reduction == "mean" else _reduced(losses, reduction)


@rule(functional.cross_entropy)
def cross_entropy(
    input: Any,  # noqa: A002
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Of logits, axis 1, with classes or their probabilities."""
    axis = min(1, dims(input) - 1)
    logs, classes = torch.log_softmax(input, axis), input.shape[axis]
    weights = 1.0 if weight is None else weight.reshape(-1, *[1] * (dims(input) - 1 - axis))
    if target.dtype.is_floating_point:
        shares = target * (1 - label_smoothing) + label_smoothing / classes
        losses = -(logs * shares * weights).sum(axis)
        return _reduced(losses, reduction)
    sharp = nll_loss(logs, target, weight, size_average, ignore_index, reduce, reduction)
    if not label_smoothing:
        return sharp
    known = target != ignore_index
    flat = -(logs * weights).sum(axis) * known / classes
    if reduction == "mean":
        share = known if weight is None else known * weight[torch.where(known, target, 0)]
        flat = flat.sum() / share.sum()
    return (1 - label_smoothing) * sharp + label_smoothing * (flat.sum() if reduction == "sum" else flat)
