import copy
import time

import pytest
import torch
from torch import nn

import sobolev
from sobolev.audit import Audit, audit


def mlp(activation, width=32):
    return nn.Sequential(nn.Linear(1, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, 1))


X = torch.rand(200, 1) * 2 - 1


def test_function_and_module_are_one_name():
    assert isinstance(sobolev.audit(torch.sin, X), Audit)
    assert isinstance(audit(torch.sin, X), Audit)


@pytest.mark.parametrize("seed", range(4))
def test_the_forum_network(seed):
    """ReLU everywhere, behind the last layer too, raw inputs: all of it is said, dead or alive."""
    torch.manual_seed(seed)
    net = nn.Module()
    net.network = nn.Sequential(*mlp(nn.ReLU, 64), nn.ReLU())
    net.forward = net.network.forward
    verdict = audit(net, torch.rand(10_000, 1) * 100 - 50)
    places = {finding.kind: finding.where for finding in verdict.findings}
    assert places["piecewise-linear"] == "network.1 (ReLU)"
    assert places["scaling"] == "network.0 (Linear)"
    assert places["clipped"] == "network.5 (ReLU)"
    assert not verdict.trustworthy
    assert verdict.findings[0].severity == "error"


def test_the_model_is_bit_identical_afterwards():
    net = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))
    net[1].eval()
    net[0].bias.requires_grad_(False)
    net(X).sum().backward()
    hook = net[0].register_forward_hook(lambda *_: None)
    state = copy.deepcopy(net.state_dict())
    gradients = {name: copy.deepcopy(p.grad) for name, p in net.named_parameters()}
    pointers = [p.data_ptr() for p in net.parameters()]
    flags, generator, x = [m.training for m in net.modules()], torch.get_rng_state(), X.clone().requires_grad_()
    audit(net, x)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all((p.grad is None) is (gradients[n] is None) for n, p in net.named_parameters())
    assert all(p.grad is None or torch.equal(p.grad, gradients[n]) for n, p in net.named_parameters())
    assert [p.data_ptr() for p in net.parameters()] == pointers
    assert [p.requires_grad for p in net.parameters()].count(False) == 1
    assert [m.training for m in net.modules()] == flags
    assert torch.equal(torch.get_rng_state(), generator)
    assert list(net[0]._forward_hooks) == [hook.id]
    assert x.grad is None


def test_training_goes_on_as_without_it():
    def trained(audited):
        torch.manual_seed(3)
        net = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))
        optimiser = torch.optim.Adam(net.parameters())
        for _ in range(3):
            loss = (net(X) - X**2).square().mean()
            if audited:
                audit(net, X)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return net.state_dict()

    plain, audited = trained(False), trained(True)
    assert all(torch.equal(value, audited[name]) for name, value in plain.items())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_modes_of_the_caller_change_nothing(mode):
    torch.manual_seed(0)
    net = mlp(nn.Tanh)
    expected = audit(net, X)
    with mode():
        assert audit(net, X) == expected


def test_deterministic():
    net = mlp(nn.ReLU)
    assert str(audit(net, X)) == str(audit(net, X))


def test_training_mode_matters_only_where_it_does():
    assert audit(mlp(nn.Tanh).train(), X).findings == ()
    dropout = nn.Sequential(mlp(nn.Tanh), nn.Dropout(0.5))
    (finding,) = audit(dropout.train(), X).findings
    assert finding.kind == "stochastic"
    assert ".eval()" in finding.message
    assert "Dropout" in finding.where
    assert audit(dropout.eval(), X).findings == ()


def test_quick():
    net = nn.Sequential(*mlp(nn.SiLU, 1000))
    audit(net, X[:64])
    start = time.process_time()
    audit(net, X[:64])
    assert time.process_time() - start < 2  # alone on a core it takes a fifth of a second


def test_bad_arguments():
    with pytest.raises(TypeError, match="floating-point tensor"):
        audit(torch.sin, [1.0])
    with pytest.raises(TypeError, match="int64"):
        audit(torch.sin, torch.arange(3))
    with pytest.raises(ValueError, match="at least one row"):
        audit(torch.sin, torch.tensor(1.0))
    with pytest.raises(ValueError, match="order is 0"):
        audit(torch.sin, X, order=0)


def test_method_and_errors():
    verdict = audit(torch.sin, X)
    assert verdict.method in ("taylor", "reverse")
    assert len(verdict.errors) == 2
    assert max(verdict.errors) < 1e-6
    assert audit(lambda x: x.detach() ** 2 + x, X).method in ("taylor", "none")


@pytest.mark.parametrize("allowed", [1, 2, 5, 9, 14, 20, 28])
@pytest.mark.parametrize("end", [OSError("no licence left"), None])
def test_a_model_that_fails_at_a_later_call(allowed, end):
    calls = []

    def f(x):
        calls.append(None)
        if len(calls) <= allowed:
            return torch.sin(x)
        if end is None:
            return None
        raise end

    assert any(finding.severity != "note" for finding in audit(f, X).findings)


@pytest.mark.parametrize("order", [3, 4])
def test_high_orders_where_torch_has_no_second_derivative(order):
    """There Taylor mode is compared with differences of itself, which in turn agrees with those of the values."""
    verdict = audit(torch.special.spherical_bessel_j0, X, order=order)
    assert (verdict.method, len(verdict.errors), verdict.trustworthy) == ("taylor", order, True)
    assert [finding.kind for finding in verdict.findings] == ["detached"]


def test_tensors_that_do_their_own_arithmetic():
    def masked(x):
        return torch.masked.masked_tensor(x, x > -9).sin().get_data()

    assert [finding.kind for finding in audit(masked, X).findings] == ["detached"]


def test_outputs_that_are_rounding_alone():
    net = mlp(torch.nn.SiLU)

    def f(x):
        return torch.cat([0.1 * net(x), torch.softmax(x * torch.arange(5).to(x), -1).sum(-1, keepdim=True) - 1], 1)

    assert not [finding for finding in audit(f, X).findings if finding.severity != "note"]


def test_zero_at_all_points_only():
    """A boundary condition, looked at where it holds."""
    x = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    assert not audit(lambda x: x * (1 - x) * torch.exp(x), x).findings


def test_points_that_are_all_the_same():
    assert not audit(mlp(torch.nn.SiLU), torch.full((10, 1), 0.3)).findings


def test_points_that_have_merged():
    (finding,) = audit(lambda x: torch.sin(x - 1e9), 1e9 + 100 * X).findings
    assert (finding.kind, finding.severity) == ("dtype", "warning")
    assert "rounded before f sees them" in finding.message
