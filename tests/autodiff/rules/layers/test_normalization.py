import pytest
import torch
from rule_check import assert_rule
from torch import nn

from sobolev.autodiff import reverse
from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(5, 4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def standardized(x, axes, eps=1e-5):
    centred = x - x.mean(axes, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(axes, keepdim=True) + eps)


def channels(p):
    return p[:, None, None]


LAYERS = {
    "layer": (nn.LayerNorm((3, 2)), lambda m, x: standardized(x, (2, 3)) * m.weight + m.bias),
    "layer, last axis": (nn.LayerNorm(2, bias=False), lambda m, x: standardized(x, 3) * m.weight),
    "rms": (nn.RMSNorm(2, eps=1e-3), lambda m, x: x / torch.sqrt((x**2).mean(3, keepdim=True) + 1e-3) * m.weight),
    "group": (
        nn.GroupNorm(2, 4),
        lambda m, x: standardized(x.reshape(len(x), 2, -1), 2).reshape(x.shape) * channels(m.weight) + channels(m.bias),
    ),
    "instance": (
        nn.InstanceNorm2d(4, affine=True),
        lambda m, x: standardized(x, (2, 3)) * channels(m.weight) + channels(m.bias),
    ),
    "batch": (
        nn.BatchNorm2d(4).eval(),
        lambda m, x: (
            (x - channels(m.running_mean)) / channels((m.running_var + m.eps).sqrt()) * channels(m.weight)
            + channels(m.bias)
        ),
    ),
}


@pytest.fixture(params=LAYERS)
def pair(request):
    torch.manual_seed(0)
    layer, formula = LAYERS[request.param]
    layer = layer.double()
    for p in layer.parameters():
        nn.init.uniform_(p, 0.5, 1.5)
    for b in layer.buffers():
        if b.is_floating_point():
            b.uniform_(0.5, 1.5)
    return layer, lambda x: formula(layer, x)


def test_every_operator_and_order_against_the_formula(pair):
    layer, formula = pair
    direction = torch.linspace(-1, 1, X.numel(), dtype=X.dtype).reshape(X.shape)
    ours = taylor.derivatives(lambda x: layer(x.sin()), X, 5, direction)
    theirs = reverse.derivatives(lambda x: formula(x.sin()).flatten(1)[:, ::7], X, 4, direction)
    for a, b in zip(ours, theirs, strict=False):
        torch.testing.assert_close(a.flatten(1)[:, ::7], b)
    for operator in ("jacobian", "laplacian"):
        a, b = (
            getattr(taylor, operator)(layer, X),
            getattr(reverse, operator)(lambda x: formula(x).flatten(1)[:, :2], X),
        )
        torch.testing.assert_close([t.flatten(1, 3)[:, :2] for t in a], list(b))


def test_gradients_of_a_loss_on_second_derivatives(pair):
    layer, formula = pair
    results = []
    for f in (layer, formula):
        *_, d2 = (taylor if f is layer else reverse).derivatives(
            lambda x, f=f: f(x.sin()), X[:1], 2, torch.ones_like(X[:1])
        )
        results.append(torch.autograd.grad((d2**2).sum(), list(layer.parameters()), allow_unused=True))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(
            ours if ours is not None else torch.zeros(()), theirs if theirs is not None else torch.zeros(())
        )


def test_local_response_norm():
    assert_rule(nn.LocalResponseNorm(3, 0.1), X[:2, :, :1], orders=(1, 2, 3))


def test_batch_statistics_are_refused():
    with pytest.raises(NoRuleError, match=r"model\.eval"):
        taylor.jacobian(nn.BatchNorm2d(4), X.float())


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "var", "std", "softmax", "logsumexp"])
def test_single_precision_far_from_zero(name, offset):
    """The derivatives keep their digits, also where PyTorch's own value has lost them to the rounding of the mean."""
    functions = {
        "layer_norm": lambda x: torch.nn.functional.layer_norm(x, (8,)),
        "group_norm": lambda x: torch.nn.functional.group_norm(x, 2),
        "var": lambda x: x.var(1),
        "std": lambda x: x.std(1),
        "softmax": lambda x: x.softmax(1),
        "logsumexp": lambda x: x.logsumexp(1),
    }
    x, direction = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    x = x + offset
    ours = taylor.derivatives(functions[name], x, 2, direction)
    exact = taylor.derivatives(functions[name], x.double(), 2, direction.double())
    for a, b in zip(ours[1:], exact[1:], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-6 * b.abs().max().item())


FIXED = torch.linspace(-1, 2, 4 * 3 * 2, dtype=torch.float64).reshape(1, 4, 3, 2)
BY_X = {
    "layer": (nn.functional.layer_norm, lambda w: standardized(FIXED, 3) * w[:2] + w[2:], ((2,),)),
    "rms": (
        nn.functional.rms_norm,
        lambda w: FIXED * torch.rsqrt((FIXED**2).mean(3, keepdim=True) + 1e-5) * w[:2],
        ((2,),),
    ),
    "group": (
        nn.functional.group_norm,
        lambda w: standardized(FIXED.reshape(1, 4, -1), 2).reshape(1, 4, 3, 2) * channels(w),
        (4,),
    ),
    "instance": (nn.functional.instance_norm, lambda w: standardized(FIXED, (2, 3)) * channels(w), ()),
    "batch": (
        nn.functional.batch_norm,
        lambda w: FIXED / (1 + 1e-5) ** 0.5 * channels(w) + channels(w),
        (torch.zeros(4), torch.ones(4)),
    ),
}


@pytest.mark.parametrize("name", BY_X)
def test_weights_alone_that_depend_on_x(name):
    function, formula, arguments = BY_X[name]
    arguments = [item.double() if isinstance(item, torch.Tensor) else item for item in arguments]

    def f(x):
        w = x[0].exp()
        parameters = {"layer": (w[:2], w[2:]), "rms": (w[:2], 1e-5), "instance": (None, None, w), "batch": (w, w)}
        return function(FIXED, *arguments, *parameters.get(name, (w,)))

    assert_rule(f, X[:1, :, 0, 0], orders=(3,), reference=lambda x: formula(x[0].exp()))


def test_no_rows():
    layers = [nn.GroupNorm(2, 4), nn.InstanceNorm1d(4), nn.LayerNorm((4, 3)), nn.BatchNorm1d(4).eval(), nn.RMSNorm(3)]
    layers += [nn.CircularPad1d(1), nn.ReflectionPad1d(1)]
    for layer in layers:
        y, jacobian = taylor.jacobian(layer, torch.zeros(0, 4, 3))
        assert jacobian.shape == (*y.shape, 4, 3)
