"""One module, one batch: what is measured, what is audited."""

import pytest
import torch
from cases import Plain
from torch import nn

from sobolev import DerivativeMonitor
from sobolev.monitor.opened import opened


class Scaled(nn.Module):
    def forward(self, x, factor):
        return factor * x**3


X, FACTOR = torch.rand(300, 1, dtype=torch.float64), torch.rand(300, 1, dtype=torch.float64)


def watched(**options):
    monitor = DerivativeMonitor(inputs=0, targets=[None], **options)
    module = Plain(Scaled()).double()
    module.forward = module.network.forward
    return monitor, monitor._watch, module


class NoTrainer:
    datamodule = None


def test_every_row_is_differentiated_with_its_own_entries():
    """In blocks, because of those entries."""
    monitor, watch, module = watched(order=1)
    with opened(module):
        watch.measure(NoTrainer, module, ((X, FACTOR), None))
    errors, points = monitor.measurement.errors()
    assert points == 300
    assert errors[1]["rms"] == pytest.approx((3 * FACTOR * X**2).square().mean().sqrt().item())


def test_at_given_points_the_first_sample_counts():
    monitor, watch, module = watched(order=1, reference="x**3")
    with opened(module):
        watch.measure(NoTrainer, module, ((X, FACTOR), torch.tensor([[1.0], [2.0]])))
    errors, _ = monitor.measurement.errors()
    assert errors[1]["rmse"] == pytest.approx((1 - FACTOR[0].item()) * ((9 + 144) / 2) ** 0.5)


def test_the_audit_is_about_the_first_batch_of_the_validation():
    _, watch, module = watched(order=2)
    assert watch.audit(module) == ()
    watch.see((X[:5], FACTOR[:5]), of_training=True)
    watch.see((X[5:], FACTOR[5:]))
    watch.see((X[:5], FACTOR[:5]))
    assert torch.equal(watch.first[0], X[5:69])
    assert not [finding for finding in watch.audit(module) if finding.severity == "error"]


def test_an_order_that_is_too_high_is_said_once():
    monitor = DerivativeMonitor(order=2)
    module = Plain(nn.Linear(300, 1))
    batch = (torch.rand(2, 300), torch.rand(2, 1))
    with opened(module), pytest.warns(UserWarning, match="90000 entries") as warned:
        for _ in range(2):
            monitor._watch.measure(NoTrainer, module, (batch, None))
    assert len(warned) == 1 and len(monitor.measurement.errors()[0]) == 2
