"""The oracle of every rule: nested reverse mode in float64."""

import torch

from sobolev.autodiff import reverse, taylor

OPERATORS = ("jacobian", "hessian", "hessian_diagonal", "laplacian")


def assert_rule(f, x, orders=(1, 2, 3, 4), rtol=1e-9, atol=1e-11):
    """Taylor mode agrees with nested reverse mode: every operator, several orders, and the gradients.

    Args:
        f: a batched function of float64 tensors, a module or not.
        x: the points, (batch, *in), float64.
        orders: of the directional derivatives to compare. Give (1, 2) where PyTorch's own third order is wrong.
        rtol: relative to the largest entry.
        atol: absolute.
    """
    for operator in OPERATORS:
        _compare(operator, getattr(taylor, operator)(f, x), getattr(reverse, operator)(f, x), rtol, atol)
    direction = torch.linspace(-1, 1.5, x.numel(), dtype=x.dtype).reshape(x.shape)
    for order in orders:
        ours = taylor.derivatives(f, x, order, direction)
        _compare(f"order {order}", ours, reverse.derivatives(f, x, order, direction), rtol, atol)
    _compare_gradients(f, x, direction, rtol, atol)


def _compare_gradients(f, x, direction, rtol, atol):
    """One backward through f'' gives the gradient with respect to the weights and to x."""
    x = x.clone().requires_grad_()
    variables = [x, *(f.parameters() if isinstance(f, torch.nn.Module) else [])]
    results = []
    for engine in (taylor, reverse):
        y, d1, d2 = engine.derivatives(f, x, 2, direction)
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
