import pytest
import torch
from torch import nn
from zoo.settings import Coarse

import sobolev

X = torch.linspace(-1, 1, 40)[:, None]


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)).eval()


def test_digits_lost_are_measured():
    findings = sobolev.audit(lambda x: (1e5 + torch.sin(x)) - 1e5, X).findings
    (finding,) = [each for each in findings if each.kind == "dtype"]
    lost = float(finding.message.split("by ")[1].split()[0])
    y = (1e5 + torch.sin(X)) - 1e5
    exact = torch.sin(X.double())
    assert lost == pytest.approx(((y - exact).square().mean() / exact.square().mean()).sqrt().item(), rel=0.1)


def test_float32_is_enough_for_a_network_and_bfloat16_is_not():
    assert sobolev.audit(net(), X).findings == ()
    kinds = [finding.kind for finding in sobolev.audit(net().bfloat16(), X.bfloat16()).findings]
    assert kinds == ["dtype"]


@pytest.fixture
def high():
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("scale", "severity"), [(1.0, "note"), (60.0, "warning")])
def test_products_in_tf32_are_measured(high, scale, severity):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), Coarse(16, 16), nn.Tanh(), nn.Linear(16, 1)).eval()
    with torch.no_grad():
        model[2].weight *= scale
    findings = [each for each in sobolev.audit(model, X).findings if each.kind == "reduced-precision"]
    assert [each.severity for each in findings] == [severity]
    assert torch.get_float32_matmul_precision() == "high"


def test_products_in_tf32_that_change_nothing_are_no_finding(high):
    assert sobolev.audit(lambda x: torch.sin(x) * x, X).findings == ()


def test_rounding_that_float64_does_not_cure_is_said():
    weight = 1e11 * torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def f(x):
        h = torch.tanh(x * torch.linspace(0.1, 1, 40, dtype=x.dtype))
        return torch.sin(x) + ((h @ weight) - (h * weight).sum(1))[:, None]

    kinds = [finding.kind for finding in sobolev.audit(f, X.double()).findings]
    assert "dtype" in kinds
    assert not {"cross-sample", "kink", "discontinuity"} & set(kinds)


@pytest.mark.parametrize("spread", [3e-8, 3e-10, 3e-12])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_input_that_hardly_varies_is_the_cause_and_no_operation(spread, dtype):
    """It is divided by its spread; of 1000 (1 + 3e-12) float64 holds four digits, float32 none."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 2, generator=generator, dtype=torch.float64)
    x[:, 1] = 1e3 * (1 + spread * torch.randn(200, generator=generator, dtype=torch.float64))
    torch.manual_seed(0)
    model = sobolev.Standardized(sobolev.MLP(2, 1, (16,), "tanh")).fit(x, torch.sin(x[:, :1])).to(dtype)
    audit = sobolev.audit(model, x.to(dtype))
    assert {finding.kind for finding in audit.findings} <= {"dtype", "unverified"}
    if spread < 1e-11 and dtype == torch.float64:
        assert all("input 2 varies by 3e-12 of its size" in finding.message for finding in audit.findings)


def test_a_backward_with_a_side_effect_is_no_matter_of_precision():
    """It turns the sign of what it has cached; the default computes without it."""
    cached = torch.ones(1, dtype=torch.float64)

    class Turning(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * 3 * x**2 * cached.neg_()

    x = torch.linspace(0.5, 1, 5, dtype=torch.float64)[:, None]
    found = sobolev.audit(Turning.apply, x)
    (finding,) = found.findings
    assert (found.method, finding.kind, finding.severity) == ("taylor", "autograd-disagrees", "warning")
    assert "change from call to call" in finding.message
    _, slope, bend = sobolev.derivatives(Turning.apply, x)
    torch.testing.assert_close(slope, 3 * x**2)
    torch.testing.assert_close(bend, 6 * x)
