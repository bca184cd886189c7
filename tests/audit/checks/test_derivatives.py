import pytest
import torch
from torch import nn

import sobolev
from sobolev.audit.checks.derivatives import agreement, non_finite, unverified
from sobolev.audit.probe import Probe
from sobolev.autodiff.taylor.registry import RULES

X = torch.linspace(0.1, 1, 20, dtype=torch.float64)[:, None]


class Sine(torch.autograd.Function):
    """sin with a gradient of cos times `factor`, which a backward of its own may detach."""

    @staticmethod
    def forward(ctx, x, factor, detach):
        ctx.save_for_backward(x)
        ctx.factor, ctx.detach = factor, detach
        return torch.sin(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ctx.factor * torch.cos(x.detach() if ctx.detach else x), None, None


def wrong(x, factor=1.1):
    return Sine.apply(x, factor, False)


def once(x):
    return Sine.apply(x, 1.0, True)


def findings(f, x, order=2):
    return [finding for finding in sobolev.audit(f, x, order).findings if finding.severity != "note"]


@pytest.mark.parametrize("f", [torch.sin, lambda x: 3 * x, lambda x: 0 * x + 1, lambda x: torch.exp(5 * x)])
def test_right_derivatives(f):
    probe = Probe(f, X, 2, {})
    assert not [*non_finite(probe), *unverified(probe), *agreement(probe)]


@pytest.mark.parametrize("factor", [-1.0, 0.9, 1.001, 1.0001])
def test_a_gradient_that_is_a_little_wrong(factor):
    (finding,) = findings(lambda x: wrong(x, factor) + x, X)
    assert finding.kind == "autograd-disagrees" and "Sine" in finding.where
    assert finding.severity == "warning" and "method='taylor'" in finding.message


def test_where_no_method_is_right_it_is_an_error():
    (finding,) = findings(lambda x: wrong(torch.ops.aten.log_sigmoid.default(x)) + x, X)[:1]
    assert finding.severity == "error" and "method='taylor'" not in finding.message


@pytest.mark.parametrize("index", range(10))
@pytest.mark.parametrize("size", [1.0, 1e-6])
@pytest.mark.parametrize(("sine", "kind"), [(wrong, "autograd-disagrees"), (once, "once-differentiable")])
def test_one_wrong_input_of_ten(index, size, sine, kind):
    """However little the output depends on that input."""
    net = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1)).eval()
    others = torch.arange(10) != index
    (finding,) = findings(lambda x: net(x * others) + size * sine(x[:, index : index + 1]), torch.rand(64, 10))
    assert finding.kind == kind
    if size < 1:
        assert f"by input {index} " in finding.message


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("size", [1.0, 1e-7])
def test_one_wrong_output_of_five(index, size):
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 5)).double().eval()

    def f(x):
        y = list(net(x).unbind(1))
        y[index] = 1 + size * wrong(y[index])
        return torch.stack(y, 1)

    (finding,) = findings(f, torch.rand(64, 2).double())
    assert finding.kind == "autograd-disagrees"
    if size < 1:
        assert f"of output {index} " in finding.message


def test_one_wrong_input_of_an_image():
    def f(x):
        return torch.cat([x[..., :3, :].flatten(1), 1e-4 * wrong(x[..., 3:, :].flatten(1))], 1).sin().sum(1)

    assert [finding.kind for finding in findings(f, torch.rand(20, 1, 4, 4).double())] == ["autograd-disagrees"]


def test_fast_functions_are_no_false_alarm():
    """Finite differences with coarse steps see an alias of them."""
    for frequency in (1e3, 1e4, 1e5, 1e6):
        assert not list(agreement(Probe(lambda x, w=frequency: torch.sin(w * x), X, 2, {}))), frequency


def test_nothing_known_beside_the_points():
    known = X.clone()

    def table(x):
        if not torch.isin(x, known).all():
            raise KeyError("no such point")
        return torch.sin(x)

    assert [finding.kind for finding in findings(table, X)][-1] == "unverified"


def test_a_domain_that_is_checked():
    def f(x):
        if (x < 0.1).any() or (x > 1).any():
            raise ValueError("outside of the domain")
        return torch.log(x)

    assert findings(f, X) == []


def test_not_a_number_where_the_value_is_one():
    (finding,) = findings(torch.sqrt, torch.tensor([[0.0], [0.5], [1.0]]))
    assert finding.kind == "non-finite" and "first at x = 0," in finding.message


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_course_of_the_forward_depends_on_the_type(order):
    audit = sobolev.audit(lambda x: torch.sin(x) if type(x) is torch.Tensor else torch.cos(x), X, order)
    assert audit.trustworthy and audit.method == "reverse"


class AsksForTheType(nn.Module):
    def forward(self, x):
        if type(x) is not torch.Tensor:
            raise RuntimeError("what is this?")
        return torch.sin(x)


def test_why_taylor_mode_cannot_follow_is_said():
    audit = sobolev.audit(AsksForTheType(), X)
    (finding,) = [each for each in audit.findings if each.kind == "taylor-fails"]
    assert audit.method == "reverse" and audit.trustworthy and "what is this?" in finding.message
    assert "report" not in finding.message and "Use method" not in finding.message


def test_a_mistake_of_a_rule_is_said_to_be_ours(monkeypatch):
    """Its error comes from one of our files."""
    monkeypatch.setitem(RULES, torch.atan, lambda *_: RULES_OF_SHAPES["none"])
    monkeypatch.setitem(globals(), "__name__", "sobolev.autodiff.rules.broken")
    (finding,) = [each for each in sobolev.audit(torch.atan, X).findings if each.kind == "taylor-fails"]
    assert "KeyError" in finding.message and "please report it" in finding.message


RULES_OF_SHAPES: dict = {}
