"""Backwards, hooks and estimators that are a little wrong, or wrong in one place only; and right ones that look odd."""

# ruff: noqa: E501  the tables hold one case a line

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from zoo.case import Case, Wrap, mlp, points
from zoo.customs import D2, D10, WIDE, bent_sine, function, module_hook, one_wrong_input, one_wrong_output
from zoo.traps import wrapped


def scaled(factor):
    """sin, its gradient too large by a factor."""
    return function(torch.sin, lambda x, g: g * torch.cos(x) * factor)


def through(f):
    return wrapped(lambda s, x: s.n(f(x)))


class Product(torch.autograd.Function):
    """a b, of which the gradient by b has the wrong sign."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b, -g * a


class Fused(torch.autograd.Function):
    """tanh(x W + b) in one, with the backward by its output: right at every order."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        y = torch.tanh(x @ weight.T + bias)
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, weight, y = ctx.saved_tensors
        g = g * (1 - y * y)
        return g @ weight, g.T @ x, g.sum(0)


class FusedForgetful(Fused):
    """The same in mixed precision style: x is kept in bfloat16."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        y = torch.tanh(x @ weight.T + bias)
        ctx.save_for_backward(x, weight, (y * 64).round() / 64)
        return y


class Exponential(torch.autograd.Function):
    """exp by scipy-like code outside torch, its backward by its own output: the graph of it is right."""

    @staticmethod
    def forward(ctx, x):
        y = torch.from_numpy(np.exp(x.detach().cpu().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


class Clip(torch.autograd.Function):
    """Identity, whose gradient is clipped to 1."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g.clamp(-0.05, 0.05)


def normalised_gradient(self, x):
    y = torch.tanh(self.n(x))
    if y.requires_grad:
        y.register_hook(lambda g: g / (g.norm() + 1e-6))
    return self.o(y)


def hooked(change):
    def forward(self, x):
        z = torch.sin(2 * x)
        if z.requires_grad:
            z.register_hook(change)
        return self.n(z)

    return forward


def relaxed_sort(self, x):
    """Hard ranks forward, soft ranks backward."""
    z = self.n(x)
    gaps = (z[:, :, None] - z[:, None]) / 0.1
    soft, hard = torch.sigmoid(gaps).sum(1), (gaps > 0).to(x.dtype).sum(1)
    return (hard + soft - soft.detach())[:, :1] + z[:, :1]


def proximal(self, x):
    """A layer that solves a small quadratic programme by iterating without a graph, then differentiates one step."""
    a = torch.tensor([[2.0, 0.3], [0.3, 1.0]]).to(x)
    z = torch.zeros_like(x)
    with torch.no_grad():
        for _ in range(60):
            z = torch.tanh(z - 0.3 * (z @ a - x))
    return torch.tanh(z - 0.3 * (z @ a - x))


def table(self, x):
    """A tabulated activation with a tabulated slope: value and slope are each interpolated linearly."""
    return self.n(Tabulated.apply(x))


class Tabulated(torch.autograd.Function):
    @staticmethod
    def _look(values, x):
        t = (x.clamp(-2, 2) + 2) * 64
        i = t.floor().clamp(0, 255).long()
        return values.to(x)[i] * (1 - (t - i)) + values.to(x)[i + 1] * (t - i)

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return Tabulated._look(torch.tanh(torch.linspace(-2, 2, 257, dtype=torch.float64)), x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * Tabulated._look(torch.cosh(torch.linspace(-2, 2, 257, dtype=torch.float64)).pow(-2), x)


def lazily_detached(self, x):
    """Detached weights are fine; a detached gate that depends on x is not."""
    return self.n(x) * torch.sigmoid(self.g(x)).detach()


def frozen_gate(self, x):
    return self.n(x) * torch.sigmoid(self.g.weight.detach() * 0.7).mean()


def scaled_residual(self, x):
    """x + 1e-5 of something detached: wrong in the sixth digit."""
    return self.n(x) + 1e-5 * torch.sin(3 * x.detach())


def one_input_of_a_product(self, x):
    return self.n(Product.apply(x[:, :1], x[:, 1:]))


def tiny_hook(grad):
    return grad * 1.0001


def item_scale(self, x):
    """A scale that is taken from each sample's own norm, outside the graph."""
    scale = torch.tensor([row.norm().item() for row in x], dtype=x.dtype)
    return self.n(x) * (1 + 0.01 * scale[:, None])


def checkpoint_detached(self, x):
    from torch.utils.checkpoint import checkpoint

    return checkpoint(lambda z: self.n(z.detach() + 0 * z), x, use_reentrant=False)


def stochastic_rounding(self, x):
    return self.n(x + (torch.floor(x * 64 + torch.rand_like(x)) / 64 - x).detach())


def saved_hooks(self, x):
    """Activations packed in half precision between forward and backward."""
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.half() if t.is_floating_point() else t, lambda t: t.double() if t.dtype == torch.half else t
    ):
        return self.n(x)


def saved_on_cpu(self, x):
    with torch.autograd.graph.save_on_cpu():
        return self.n(x)


def multi_grad(self, x):
    z = torch.sin(x)
    if z.requires_grad:
        torch.autograd.graph.register_multi_grad_hook([z], lambda grads: None)
    return self.n(z)


slightly_bent = bent_sine(lambda x, g: -g * torch.sin(x) * 1.001)

CASES = [
    Case("backward-1.01", through(scaled(1.01)), "autograd-disagrees"),
    Case("backward-1.0001", through(scaled(1.0001)), "autograd-disagrees"),
    Case("backward-1.000001", through(scaled(1 + 1e-6)), "autograd-disagrees"),
    Case("backward-1.0001-one-input-of-10", wrapped(one_wrong_input(4, scaled(1.0001)), 10), "autograd-disagrees", x=D10),
    Case("backward-1.00001-one-input-of-10", wrapped(one_wrong_input(8, scaled(1.00001)), 10), "autograd-disagrees", x=D10),
    Case("backward-1.00001-one-output-of-5", wrapped(one_wrong_output(scaled(1.00001)), 2, 5), "autograd-disagrees", x=D2),
    Case("backward-1.0001-one-small-output-of-5", wrapped(one_wrong_output(scaled(1.0001), 1e-6), 2, 5), "autograd-disagrees", x=D2),
    Case("backward-1.0001-order-1", through(scaled(1.0001)), "autograd-disagrees", order=1),
    Case("backward-wrong-sign-of-one", wrapped(one_input_of_a_product, 1), "autograd-disagrees", x=D2),
    Case("backward-wrong-below-0", through(function(torch.sin, lambda x, g: g * torch.cos(x) * torch.where(x < 0, 1.02, 1.0))), "autograd-disagrees"),
    Case("backward-0-below-0", through(function(torch.sin, lambda x, g: g * torch.cos(x) * (x > 0))), "autograd-disagrees"),
    Case("backward-added-constant", through(function(torch.sin, lambda x, g: g * torch.cos(x) + 1e-4)), "autograd-disagrees"),
    Case("second-derivative-1.001", through(slightly_bent), "once-differentiable"),
    Case("second-derivative-1.001-one-input", wrapped(one_wrong_input(2, slightly_bent), 10), "once-differentiable", x=D10),
    Case("second-derivative-1.001-at-order-1", through(slightly_bent), order=1),
    Case("fused-layer", lambda: Wrap(lambda s, x: s.o(Fused.apply(x, s.a.weight, s.a.bias)), a=nn.Linear(2, 8), o=nn.Linear(8, 1)), x=D2),
    Case("fused-layer-rounded", lambda: Wrap(lambda s, x: s.o(FusedForgetful.apply(x, s.a.weight, s.a.bias)), a=nn.Linear(2, 8), o=nn.Linear(8, 1)), "autograd-disagrees", x=D2),
    Case("numpy-function", through(Exponential.apply)),
    Case("gradient-clipped-by-function", wrapped(lambda s, x: s.n(Clip.apply(torch.sin(3 * x)))), "autograd-disagrees"),
    Case("gradient-normalised", lambda: Wrap(normalised_gradient, n=mlp(nn.Tanh), o=mlp(nn.Tanh)), "autograd-disagrees"),
    Case("tensor-hook-1.0001", wrapped(hooked(tiny_hook)), "autograd-disagrees"),
    Case("tensor-hook-looks", wrapped(hooked(lambda g: None))),
    Case("tensor-hook-adds-noise", wrapped(hooked(lambda g: g + 0.01 * torch.randn_like(g))), "autograd-disagrees"),
    Case("tensor-hook-zeroes-nan", wrapped(hooked(lambda g: torch.nan_to_num(g)))),
    Case("backward-hook-1.0001", module_hook("register_full_backward_hook", lambda m, i, o: (1.0001 * i[0],)), "autograd-disagrees"),
    Case("backward-pre-hook-scales", module_hook("register_full_backward_pre_hook", lambda m, o: (0.9 * o[0],)), "autograd-disagrees"),
    Case("backward-hook-clips", module_hook("register_full_backward_hook", lambda m, i, o: (i[0].clamp(-1e-3, 1e-3),)), "autograd-disagrees"),
    Case("soft-ranks", wrapped(relaxed_sort, 1, 3), "detached", x=WIDE),
    Case("proximal-one-step", lambda: Wrap(proximal), "detached", x=D2),
    Case("tabulated-value-and-slope", lambda: Wrap(table, n=mlp(nn.Tanh)), "autograd-disagrees"),
    Case("detached-gate", lambda: Wrap(lazily_detached, n=mlp(nn.Tanh), g=nn.Linear(1, 1)), "detached"),
    Case("detached-weights", lambda: Wrap(frozen_gate, n=mlp(nn.Tanh), g=nn.Linear(1, 1))),
    Case("detached-sixth-digit", wrapped(scaled_residual), "detached"),
    Case("norm-by-item", lambda: Wrap(item_scale, n=mlp(nn.Tanh, 2)), "detached", x=D2),
    Case("detached-within-checkpoint", wrapped(checkpoint_detached), "detached"),
    Case("stochastic-rounding", wrapped(stochastic_rounding), "stochastic"),
    Case("saved-in-half", wrapped(saved_hooks), "autograd-disagrees"),
    Case("saved-on-cpu", wrapped(saved_on_cpu)),
    Case("multi-grad-hook", wrapped(multi_grad)),
    Case("dot-data-offset", wrapped(lambda s, x: s.n(x - x.data.clamp(min=0.3) + 0.3)), "detached"),
    Case("no-grad-inside-smooth", wrapped(lambda s, x: s.n(x) + no_grad_part(x)), "detached"),
    Case("tanh-straight-through-sign", through(function(torch.sign, lambda x, g: g * (x.abs() < 1))), "straight-through", x=WIDE),
    Case("rounded-straight-through", through(function(lambda x: torch.round(x * 8) / 8, lambda x, g: g)), "straight-through", x=WIDE),
    Case("clipped-straight-through", through(function(lambda x: x.clamp(-0.5, 0.5), lambda x, g: g)), "straight-through", x=WIDE),
    Case("swish-memory-efficient", wrapped(lambda s, x: s.n(function(lambda z: z * torch.sigmoid(z), lambda z, g: g * (torch.sigmoid(z) * (1 + z * (1 - torch.sigmoid(z)))))(x)))),
    Case("log-sum-exp-custom", wrapped(lambda s, x: function(lambda z: torch.logsumexp(z, -1, keepdim=True), lambda z, g: g * torch.softmax(z, -1))(s.n(x)), 1, 4)),
    Case("cube-root-special", lambda: lambda x: function(lambda z: z.abs().pow(1 / 3) * z.sign(), lambda z, g: g / (3 * z.abs().pow(2 / 3)))(x + 2)),
    Case("l1-penalty-sign-0", lambda: lambda x: F.huber_loss(x, torch.zeros_like(x), reduction="none", delta=0.5), "kink"),
    Case("norm-safe", lambda: lambda x: function(lambda z: z.norm(dim=-1, keepdim=True), lambda z, g: g * z / z.norm(dim=-1, keepdim=True).clamp_min(1e-12))(x), "once-differentiable", x=torch.cat([points(0.0).expand(1, 2), D2])),
]  # fmt: skip


def no_grad_part(x):
    with torch.no_grad():
        return 0.001 * torch.sin(5 * x)
