"""The oracle of every rule: nested reverse mode in float64."""

from unittest.mock import patch

import torch

import sobolev
from sobolev.autodiff import algorithms, reverse
from sobolev.autodiff.taylor import operators as taylor

OPERATORS = ("jacobian", "hessian", "hessian_diagonal", "laplacian")
MODES = (torch.enable_grad, torch.no_grad, torch.inference_mode)


def assert_rule(f, x, orders=(1, 2, 3, 4), rtol=1e-9, atol=1e-11, reference=None):
    """Taylor mode agrees with nested reverse mode: every operator in every grad mode, and the gradients.

    Args:
        f: a batched function of float64 tensors, a module or not.
        x: the points, (batch, *in), float64.
        orders: of the directional derivatives to compare. Give (1, 2) where PyTorch's own third order is wrong.
        rtol: relative to the largest entry.
        atol: absolute.
        reference: the same function in operations that PyTorch differentiates rightly, where it does not do so for f.
    """
    reference = reference or f
    direction = torch.linspace(-1, 1.5, x.numel(), dtype=x.dtype).reshape(x.shape)
    calls = [(operator, {}) for operator in OPERATORS]
    calls += [("derivatives", {"order": order, "direction": direction}) for order in orders]
    for operator, options in calls:
        expected = getattr(reverse, operator)(reference, x, **options)
        for mode in MODES:
            ours = _by_taylor(operator, f, x, mode, **options)
            _compare(f"{operator} {options.get('order', '')} under {mode.__name__}", ours, expected, rtol, atol)
    _compare_collapsed(f, reference, x, rtol, atol)
    _compare_gradients(f, reference, x, direction, rtol, atol)


def _by_taylor(operator, f, x, mode, **options):
    with mode():
        results = getattr(sobolev, operator)(f, x, method="taylor", **options)
    if mode is not torch.enable_grad:
        assert not any(result.requires_grad for result in results), f"{operator} kept a graph under {mode.__name__}"
    return results


def _compare_collapsed(f, reference, x, rtol, atol):
    """Jacobian and Hessian of one output, which take ways of their own."""

    def mixed(function):
        def one(x):
            y = function(x).reshape(x.shape[0], -1)
            return (y * torch.linspace(1, 2, y.shape[1], dtype=x.dtype)).sum(1)

        return one

    always = dict.fromkeys(algorithms._FEWEST_COLLAPSED, 1)
    with patch.multiple(algorithms, _FEWEST_REVERSED=1, _FEW_NUMBERS=0, _FEWEST_COLLAPSED=always):
        for operator in ("jacobian", "hessian"):
            expected = getattr(reverse, operator)(mixed(reference), x)
            for mode in MODES:
                ours = _by_taylor(operator, mixed(f), x, mode)
                _compare(f"collapsed {operator} under {mode.__name__}", ours, expected, rtol, atol)


def _compare_gradients(f, reference, x, direction, rtol, atol):
    """One backward through f'' gives the gradient with respect to the weights and to x."""
    x = x.clone().requires_grad_()
    variables = [x, *(f.parameters() if isinstance(f, torch.nn.Module) else [])]
    results = []
    for engine, function in ((taylor, f), (reverse, reference)):
        y, d1, d2 = engine.derivatives(function, x, 2, direction)
        loss = (y.sin() + d1.sin() + d2.sin()).sum()
        results.append(torch.autograd.grad(loss, variables, allow_unused=True, materialize_grads=True))
    _compare("gradients of a loss on f''", *results, rtol, atol)


def _compare(what, ours, theirs, rtol, atol):
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, f"{what}, result {k}: shape {tuple(a.shape)}, not {tuple(b.shape)}"
        assert a.dtype == b.dtype, f"{what}, result {k}: {a.dtype}, not {b.dtype}"
        error = (a - b).abs().max().item() if a.numel() else 0.0
        allowed = atol + rtol * (b.abs().max().item() if b.numel() else 0.0)
        assert error <= allowed, f"{what}, result {k}: off by {error:.2e}, allowed {allowed:.2e}"
