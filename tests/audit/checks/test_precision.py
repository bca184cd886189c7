import pytest
import torch
from torch import nn

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
