"""Rules of drawing random numbers where a jet lies: they do not depend on x."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.rules.memory.writing import overwrite
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import NoRuleError, rule


def _filled(function: Callable) -> Callable:
    def apply(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, Jet) or any(isinstance(arg, Jet) for arg in args):
            raise NoRuleError(f"Taylor mode has no rule for {function.__name__} with parameters that depend on x")
        drawn = function(torch.empty_like(x.value), *args, **kwargs)
        return overwrite(x, Jet(x.space, drawn, drawn.new_zeros(0, *drawn.shape)))

    return apply


for _name in ("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_", "geometric_"):
    rule(getattr(Tensor, _name))(_filled(getattr(Tensor, _name)))


@rule(functional.gumbel_softmax)
def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:  # noqa: ARG001
    """Softmax of the logits with noise."""
    if hard:
        raise NoRuleError("Taylor mode has no rule for gumbel_softmax with hard=True, whose values jump")
    noise = -torch.empty_like(logits.value).exponential_().log()
    return torch.softmax((logits + noise) / tau, dim)
