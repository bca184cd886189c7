"""Rules of dropout: nothing in eval mode, one mask for all coefficients in training mode."""

from collections.abc import Callable

import torch
from torch.nn import functional

from sobolev.autodiff.rules.memory.writing import overwrite
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import NoRuleError, rule


def _masking(function: Callable) -> Callable:
    def apply(x: Jet, p: float = 0.5, training: bool = True, inplace: bool = False) -> Jet:
        if not training or p == 0:
            return x
        mask = function(torch.ones_like(x.value), p, True)
        return overwrite(x, Jet(x.space, mask * x.value, mask * x.higher), inplace)

    return apply


def _in_eval_mode(function: Callable) -> Callable:
    def apply(x: Jet, p: float = 0.5, training: bool = False, inplace: bool = False) -> Jet:  # noqa: ARG001
        if not training or p == 0:
            return x
        raise NoRuleError(f"Taylor mode has no rule for {function.__name__} in training mode: call model.eval()")

    return apply


rule(functional.dropout, torch.dropout)(_masking(torch.dropout))
rule(functional.dropout1d)(_masking(functional.dropout1d))
rule(functional.dropout2d)(_masking(functional.dropout2d))
rule(functional.dropout3d)(_masking(functional.dropout3d))
rule(torch.feature_dropout)(_masking(torch.feature_dropout))
for _function in (functional.alpha_dropout, functional.feature_alpha_dropout):
    rule(_function, getattr(torch, _function.__name__))(_in_eval_mode(_function))
