"""Rules of losses that a model computes inside its forward."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import _reduction, functional

from sobolev.autodiff.taylor.matching import dims
from sobolev.autodiff.taylor.registry import NoRuleError, keyword_rule


def loss(function: Callable) -> Callable[[Callable], Callable]:
    """Register the rule of a loss, which gets all arguments by name; `reduction` stands for the two it replaced."""

    def register(implementation: Callable) -> Callable:
        @keyword_rule(function)
        def apply(size_average: Any = None, reduce: Any = None, **given: Any) -> Any:
            if size_average is not None or reduce is not None:
                given["reduction"] = _reduction.legacy_get_string(size_average, reduce)
            return implementation(**given)

        return implementation

    return register


def loss_of_terms(function: Callable, mean_by_weight: bool = False) -> Callable[[Callable], Callable]:
    """Register a loss by the term of each element; how the terms are weighted and reduced is the same for all.

    Args:
        function: the loss.
        mean_by_weight: the mean is divided by the sum of the weights, not by the number of terms.
    """

    def register(terms: Callable) -> Callable:
        @loss(function)
        def apply(reduction: str, weight: Any = None, **given: Any) -> Any:
            return _weighted(terms(**given), weight, reduction, mean_by_weight)

        return terms

    return register


def _weighted(losses: Any, weight: Any, reduction: str, mean_by_weight: bool) -> Any:
    if weight is None:
        return reduced(losses, reduction)
    total = reduced(losses * weight, "sum" if mean_by_weight and reduction == "mean" else reduction)
    return total / weight.sum() if mean_by_weight and reduction == "mean" else total


def reduced(losses: Any, reduction: str) -> Any:
    """All terms, their sum or their mean."""
    if reduction == "batchmean":
        return losses.sum() / losses.shape[0]
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@loss(functional.l1_loss)
def _l1(input: Any, target: Any, reduction: str, weight: Any = None) -> Any:  # noqa: A002
    weight = weight if torch.compiler.is_compiling() else _weight_of_l1_loss()
    return _weighted(torch.abs(input - target), weight, reduction, mean_by_weight=True)


@loss_of_terms(functional.mse_loss, mean_by_weight=True)
def _mse(input: Any, target: Any) -> Any:  # noqa: A002
    return (input - target) ** 2


@loss_of_terms(functional.smooth_l1_loss)
def _smooth_l1(input: Any, target: Any, beta: float) -> Any:  # noqa: A002
    error = input - target
    distance = torch.abs(error)  # its square has no curvature where they are equal
    return distance if beta == 0 else torch.where(distance < beta, error**2 / (2 * beta), distance - beta / 2)


@loss_of_terms(functional.huber_loss)
def _huber(input: Any, target: Any, delta: float) -> Any:  # noqa: A002
    error = input - target
    distance = torch.abs(error)
    return torch.where(distance < delta, error**2 / 2, delta * (distance - delta / 2))


@loss_of_terms(functional.binary_cross_entropy)
def _binary_cross_entropy(input: Any, target: Any) -> Any:  # noqa: A002
    yes, no = (torch.clamp_min(torch.log(p), -100) for p in (input, 1 - input))
    return (target - 1) * no - target * yes


@loss_of_terms(functional.binary_cross_entropy_with_logits)
def _binary_cross_entropy_with_logits(input: Any, target: Any, pos_weight: Any) -> Any:  # noqa: A002
    positive = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    return (1 - target) * input - positive * functional.logsigmoid(input)


@loss_of_terms(functional.kl_div)
def _kl_div(input: Any, target: Any, log_target: bool) -> Any:  # noqa: A002
    if log_target:
        return torch.exp(target) * (target - input)
    return torch.xlogy(target, target) - target * input


@loss_of_terms(functional.poisson_nll_loss)
def _poisson_nll(input: Any, target: Any, log_input: bool, full: bool, eps: float) -> Any:  # noqa: A002
    losses = torch.exp(input) - target * input if log_input else input - target * torch.log(input + eps)
    if full:
        stirling = target * torch.log(target) - target + 0.5 * torch.log(2 * torch.pi * target)
        losses = losses + torch.where(target > 1, stirling, 0.0)
    return losses


@loss_of_terms(functional.gaussian_nll_loss)
def _gaussian_nll(input: Any, target: Any, var: Any, full: bool, eps: float) -> Any:  # noqa: A002
    var = torch.clamp_min(torch.as_tensor(var) if isinstance(var, float) else var, eps)
    if dims(var) and tuple(var.shape) == tuple(input.shape)[:-1] and tuple(var.shape) != tuple(input.shape):
        var = var.unsqueeze(-1)
    losses = (torch.log(var) + (input - target) ** 2 / var) / 2
    return losses + 0.5 * torch.log(torch.tensor(2 * torch.pi, dtype=losses.dtype)) if full else losses


def _weight_of_l1_loss() -> Any:
    """The weight that `l1_loss` was called with: in eager mode PyTorch does not hand it on to a rule."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is functional.l1_loss.__code__:
            return frame.f_locals.get("weight")
        frame = frame.f_back
    raise NoRuleError("Taylor mode has no rule for l1_loss when it is not called by its name")
