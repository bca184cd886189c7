"""Custom autograd functions, hooks and estimators: where a gradient may be anything its author wrote."""

# ruff: noqa: E501  the tables hold one case a line

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from zoo.case import Case, Wrap, mlp, uniform
from zoo.traps import wrapped

D2, D10 = uniform(24, 2), uniform(24, 10)
WIDE = uniform(24, 1, low=-2, high=2)


def function(forward, backward, saved=lambda x, y: x, **members):
    """A torch.autograd.Function of one argument; `saved` is what its backward(saved, gradient) is given."""

    def run(ctx, x):
        y = forward(x)
        ctx.save_for_backward(saved(x, y))
        return y

    members = {key: staticmethod(value) for key, value in members.items()}
    return type(
        "Custom",
        (torch.autograd.Function,),
        {"forward": staticmethod(run), "backward": staticmethod(lambda c, g: backward(*c.saved_tensors, g)), **members},
    ).apply


def bent_sine(bend):
    """sin with the right first derivative, itself a function with a derivative of its own: bend(x, gradient)."""
    cosine = function(torch.cos, bend)
    return function(torch.sin, lambda x, g: g * cosine(x))


class SetUp(torch.autograd.Function):
    """The newer form, with setup_context."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.sin(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return torch.cos(ctx.saved_tensors[0]) * g


class WithJvp(SetUp):
    """With a forward-mode derivative as well."""

    generate_vmap_rule = False

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx, tangent):
        return torch.cos(ctx.saved_tensors[0]) * tangent

    @staticmethod
    def vmap(info, in_dims, x):
        return WithJvp.apply(x), in_dims[0]


class SetUpWrong(SetUp):
    @staticmethod
    def backward(ctx, g):
        return torch.cos(ctx.saved_tensors[0] + 0.05) * g


class NumpySine(torch.autograd.Function):
    """Values by numpy; its derivative is a function of the same kind, so all orders are right."""

    @staticmethod
    def forward(ctx, x, shift=0):
        ctx.save_for_backward(x)
        ctx.shift = shift
        return torch.from_numpy(np.sin(x.detach().numpy() + shift * np.pi / 2)).to(x)

    @staticmethod
    def backward(ctx, g):
        return g * NumpySine.apply(ctx.saved_tensors[0], ctx.shift + 1), None


class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.sin(x)


class Stateful(torch.autograd.Function):
    """Keeps the input on ctx, where autograd does not see it: a detached copy."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = x.detach()
        return x**3

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.kept**2 * g


class TwoOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x), torch.cos(x)

    @staticmethod
    def backward(ctx, a, b):
        (x,) = ctx.saved_tensors
        return a * torch.cos(x) - b * torch.sin(x)


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(3)

    @staticmethod
    def backward(ctx, g):
        return 3 * g


class Equilibrium(torch.autograd.Function):
    """Bai et al. (2019): z = 0.3 tanh(z + x); solved outside the graph, implicit gradient through one linear solve."""

    @staticmethod
    def forward(ctx, x):
        z = torch.zeros_like(x)
        for _ in range(25):
            z = 0.3 * torch.tanh(z + x)
        ctx.save_for_backward(x, z)
        return z

    @staticmethod
    def backward(ctx, g):
        x, z = ctx.saved_tensors
        slope = 0.3 / torch.cosh(z + x) ** 2
        return g * slope / (1 - slope)


def equilibrium_with_hook(self, x):
    """The tutorial form: a hook solves for the implicit gradient, without a graph."""
    with torch.no_grad():
        z = torch.zeros_like(x)
        for _ in range(25):
            z = 0.3 * torch.tanh(z + x)
    z = 0.3 * torch.tanh(z + x)
    if z.requires_grad:
        fixed = z.detach().clone().requires_grad_()
        again = 0.3 * torch.tanh(fixed + x.detach())

        def solve(g):
            total = g
            for _ in range(25):
                total = torch.autograd.grad(again, fixed, total, retain_graph=True)[0] + g
            return total

        z.register_hook(solve)
    return z


def one_newton_step(self, x):
    """The root of z³ + z = x, found without a graph; one step with it has the right slope, not the right bend."""
    with torch.no_grad():
        z = x.clone()
        for _ in range(8):
            z = z - (z**3 + z - x) / (3 * z**2 + 1)
    return z - (z**3 + z - x) / (3 * z**2 + 1).detach()


def bisection(self, x):
    low, high = x - 2, x + 2
    low, high = torch.full_like(x, -2), torch.full_like(x, 2)
    for _ in range(25):
        middle = (low + high) / 2
        above = middle**3 + middle > x
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return middle


def energy_gradient(self, x):
    """A force field that forgot create_graph, which sobolev keeps."""
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        return -torch.autograd.grad(self.n(x).sum(), x, retain_graph=True)[0] + 0 * x


def module_hook(kind, hook):
    def build():
        net = mlp(nn.Tanh)
        getattr(net[2], kind)(hook)
        return net

    return build


def clipped_gradient(self, x):
    y = 5 * torch.sin(3 * x)
    if y.requires_grad:
        y.register_hook(lambda g: g.clamp(-0.1, 0.1))
    return self.n(y)


def one_wrong_input(index, wrong):
    def forward(self, x):
        columns = list(x.unbind(-1))
        columns[index] = wrong(columns[index])
        return self.n(torch.stack(columns, -1))

    return forward


def one_wrong_output(wrong, size=1.0):
    def forward(self, x):
        y = self.n(x)
        return torch.cat([y[:, :3], 1 + size * wrong(y[:, 3:4]), y[:, 4:]], 1)

    return forward


def half_wrong(x):
    """sin, whose gradient is wrong only above 0.7."""
    return function(torch.sin, lambda x, g: g * torch.cos(x) * torch.where(x > 0.7, 1.5, 1.0))(x)


def spiking(self, x):
    """A surrogate gradient (Neftci et al., 2019): a step forward, a smooth slope backward."""
    spike = function(lambda z: (z > 0).to(z.dtype), lambda z, g: g / (1 + 10 * z.abs()) ** 2)
    return self.n(x + 0.2 * spike(x))


def vector_quantised(self, x):
    """van den Oord et al. (2017): the nearest code, gradients copied past it."""
    z = self.e(x)
    nearest = (z[:, None] - self.codes).square().sum(-1).argmin(1)
    return self.d(z + (self.codes[nearest] - z).detach())


def hard_gate(self, x):
    soft = torch.sigmoid(4 * self.g(x))
    hard = (soft > 0.5).to(x.dtype)
    return self.n(x) * (hard - soft.detach() + soft)


class Binarised(nn.Linear):
    """Courbariaux et al. (2016): weights ±1 forward, straight-through for the weights only."""

    def forward(self, x):
        return F.linear(x, self.weight + (self.weight.sign() - self.weight).detach(), self.bias)


wrong_sine = function(torch.sin, lambda x, g: g * torch.cos(x) * 1.1)
detached_sine = function(torch.sin, lambda x, g: g * torch.cos(x.detach()))
second_wrong = bent_sine(lambda x, g: g * torch.sin(x))
slightly_wrong = function(torch.sin, lambda x, g: g * (torch.cos(x) + 3e-4))

CASES = [
    Case("function-set-up", wrapped(lambda s, x: s.n(SetUp.apply(x)))),
    Case("function-with-jvp", wrapped(lambda s, x: s.n(WithJvp.apply(x)))),
    Case("function-set-up-wrong", wrapped(lambda s, x: s.n(SetUpWrong.apply(x))), "autograd-disagrees"),
    Case("function-numpy-all-orders", wrapped(lambda s, x: NumpySine.apply(s.n(x)))),
    Case("function-second-wrong", wrapped(lambda s, x: s.n(second_wrong(x))), "once-differentiable"),
    Case("function-without-backward", wrapped(lambda s, x: s.n(NoBackward.apply(x))), "no-derivative"),
    Case("function-context-attribute", wrapped(lambda s, x: Stateful.apply(s.n(x))), "once-differentiable"),
    Case("function-two-outputs", wrapped(lambda s, x: TwoOutputs.apply(s.n(x))[0] * TwoOutputs.apply(x)[1])),
    Case("function-in-place", wrapped(lambda s, x: s.n(InPlace.apply(x * 1)))),
    Case("function-slightly-wrong", wrapped(lambda s, x: s.n(slightly_wrong(x))), "autograd-disagrees"),
    Case("function-wrong-in-a-part", wrapped(lambda s, x: s.n(half_wrong(x))), "autograd-disagrees"),
    Case("function-exp-of-output", wrapped(lambda s, x: function(torch.exp, lambda y, g: y * g, lambda x, y: y)(s.n(x)))),
    Case("function-none-gradient", wrapped(lambda s, x: s.n(x) + function(torch.sin, lambda x, g: None)(x)), "autograd-disagrees"),
    Case("function-raises-backward", wrapped(lambda s, x: s.n(function(torch.sin, lambda x, g: g / 0 if x.undefined else g)(x))), "no-derivative"),
    Case("function-wrong-shape", wrapped(lambda s, x: s.n(function(torch.sin, lambda x, g: g.flatten()[:3])(x))), "no-derivative"),
    Case("equilibrium-implicit", lambda: Wrap(lambda s, x: Equilibrium.apply(x))),
    Case("equilibrium-hook", lambda: Wrap(equilibrium_with_hook), "once-differentiable"),
    Case("newton-last-step", lambda: Wrap(one_newton_step), "once-differentiable"),
    Case("bisection", lambda: Wrap(bisection), "detached"),
    Case("forces-without-graph", wrapped(energy_gradient, 2), x=D2),
    Case("functional-jacobian-inside", wrapped(lambda s, x: torch.autograd.functional.jacobian(lambda z: s.n(z).sum(0), x)[0] + 0 * x, 2), "detached", x=D2),
    Case("forward-hook-changes", module_hook("register_forward_hook", lambda m, i, o: torch.sin(o))),
    Case("forward-hook-detaches", module_hook("register_forward_hook", lambda m, i, o: o.detach()), "detached"),
    Case("forward-pre-hook-detaches", module_hook("register_forward_pre_hook", lambda m, i: (i[0].detach(),)), "detached"),
    Case("forward-hook-records", module_hook("register_forward_hook", lambda m, i, o: m.__dict__.setdefault("seen", []).append(o))),
    Case("backward-hook-scales", module_hook("register_full_backward_hook", lambda m, i, o: (0.5 * i[0],)), "autograd-disagrees"),
    Case("backward-hook-looks", module_hook("register_full_backward_hook", lambda m, i, o: None)),
    Case("clipped-gradient", wrapped(clipped_gradient), "autograd-disagrees"),
    Case("one-wrong-input-of-10", wrapped(one_wrong_input(7, wrong_sine), 10), "autograd-disagrees", x=D10),
    Case("one-detached-input-of-10", wrapped(one_wrong_input(3, lambda z: torch.sin(z.detach())), 10), "detached", x=D10),
    Case("one-weak-wrong-input-of-10", wrapped(lambda s, x: s.n(x * (torch.arange(10) != 4)) * 10 + 1e-6 * wrong_sine(x[:, 4:5]), 10), "autograd-disagrees", x=D10),
    Case("one-small-wrong-input-of-10", lambda: Wrap(lambda s, x: s.n(x[:, :9]) + wrong_sine(x[:, 9:] * 1e6), n=mlp(nn.Tanh, 9)), "autograd-disagrees", x=D10 * torch.tensor([1.0] * 9 + [1e-6])),
    Case("one-once-differentiable-input-of-10", wrapped(one_wrong_input(9, detached_sine), 10), "once-differentiable", x=D10),
    Case("one-relu-input-of-10", wrapped(one_wrong_input(6, lambda z: F.relu(z - 0.2)), 10), "kink", x=D10),
    Case("one-weak-kink-of-10", wrapped(lambda s, x: s.n(x) + 0.01 * F.relu(x[:, 2:3] - 0.4), 10), "kink", x=D10),
    Case("one-wrong-output-of-5", wrapped(one_wrong_output(wrong_sine), 2, 5), "autograd-disagrees", x=D2),
    Case("one-weak-wrong-output-of-5", wrapped(one_wrong_output(wrong_sine, 1e-7), 2, 5), "autograd-disagrees", x=D2),
    Case("one-weak-wrong-output-of-2", wrapped(lambda s, x: torch.cat([s.n(x), 1 + 1e-7 * wrong_sine(x)], 1)), "autograd-disagrees"),
    Case("one-relu-output-of-5", wrapped(lambda s, x: torch.cat([s.n(x), F.relu(x[:, :1] - 0.3)], -1), 2, 4), "kink", x=D2),
    Case("one-rounded-output-of-5", wrapped(one_wrong_output(lambda z: torch.round(20 * z) / 20), 2, 5), "discontinuity", x=D2),
    Case("spiking", wrapped(spiking), "straight-through"),
    Case("vector-quantised", lambda: Wrap(vector_quantised, e=nn.Linear(1, 2), codes=torch.randn(6, 2), d=mlp(nn.Tanh, 2)), "detached", x=WIDE),
    Case("hard-gate", lambda: Wrap(hard_gate, g=nn.Linear(1, 1), n=mlp(nn.Tanh)), "detached", x=WIDE),
    Case("gumbel-hard", wrapped(lambda s, x: F.gumbel_softmax(s.n(x), hard=True), 1, 3), "stochastic"),
    Case("binarised-weights", lambda: nn.Sequential(Binarised(1, 8), nn.Tanh(), Binarised(8, 1)).eval()),
    Case("fake-quantised-weights", lambda: Wrap(lambda s, x: torch.tanh(x @ torch.fake_quantize_per_tensor_affine(s.w, 0.05, 0, -128, 127)), w=nn.Parameter(torch.randn(1, 5)))),
    Case("fake-quantised-channels", wrapped(lambda s, x: torch.fake_quantize_per_channel_affine(s.n(x), torch.full((3,), 0.03), torch.zeros(3, dtype=torch.int32), 1, -128, 127), 1, 3), "straight-through"),
]  # fmt: skip
