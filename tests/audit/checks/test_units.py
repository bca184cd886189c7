import pytest
import torch
from torch import nn

import sobolev


def net(*before):
    return nn.Sequential(*before, nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


@pytest.mark.parametrize(("size", "found"), [(1, False), (3, False), (50, True), (1e-4, True)])
def test_inputs_of_order_one(size, found):
    findings = sobolev.audit(net(), size * torch.randn(64, 2)).findings
    assert [finding.where for finding in findings if finding.kind == "scaling"] == ["0 (Linear)"] * found


def test_normalised_inside_is_well_scaled():
    assert sobolev.audit(net(nn.LayerNorm(2)), 50 * torch.randn(64, 2)).trustworthy
    kinds = {finding.kind for finding in sobolev.audit(net(nn.LayerNorm(2)), 50 * torch.randn(64, 2)).findings}
    assert "scaling" not in kinds
