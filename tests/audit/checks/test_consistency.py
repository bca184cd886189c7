import pytest
import torch
from torch import nn

import sobolev
from sobolev.audit.checks.consistency import cross_sample, grad_mode, relative_change, stateful, stochastic
from sobolev.audit.probe import Probe

X = torch.linspace(-1, 1, 12, dtype=torch.float64)[:, None]


def probe(f, x=X):
    return Probe(f, x, 2, {})


def test_nothing_is_wrong_with_a_function():
    assert not [*stochastic(probe(torch.sin)), *cross_sample(probe(torch.sin)), *grad_mode(probe(torch.sin))]


@pytest.mark.parametrize(("noise", "found"), [(1e-3, True), (1e-10, True), (1e-16, False)])
def test_noise_is_told_from_rounding(noise, found):
    findings = list(stochastic(probe(lambda x: torch.sin(x) + noise * torch.randn_like(x))))
    assert bool(findings) is found
    assert all(finding.severity == "error" for finding in findings)


@pytest.mark.parametrize(
    ("f", "how"),
    [
        (lambda x: x - x.mean(0), "in half the batch"),
        (lambda x: x * torch.arange(len(x))[:, None], "when the batch is in another order"),
        (lambda x: x * (1 if len(x) > 1 else 2), "when it is alone"),
        (lambda x: x.reshape(12, 1) * 1, "cannot be evaluated in half the batch"),
    ],
)
def test_how_samples_depend_on_each_other(f, how):
    (finding,) = cross_sample(probe(f))
    assert finding.kind == "cross-sample" and how in finding.message


def test_one_sample_cannot_depend_on_others():
    assert not list(cross_sample(probe(lambda x: x - x.mean(0), X[:1])))


def test_a_lost_batch_axis_is_a_matter_of_shape():
    (finding,) = cross_sample(probe(lambda x: x.squeeze() * 2))
    assert finding.kind == "output-shape"
    assert "(12,) for 12 samples, but () for 1" in finding.message


@pytest.mark.parametrize(
    ("f", "how"),
    [
        (lambda x: x if torch.is_grad_enabled() else 2 * x, "under torch.no_grad()"),
        (lambda x: x if x.requires_grad else 2 * x, "where x requires gradients"),
    ],
)
def test_the_value_must_not_depend_on_who_asks_for_gradients(f, how):
    (finding,) = grad_mode(probe(f))
    assert (finding.kind, finding.severity) == ("grad-mode", "error") and how in finding.message


def test_a_function_that_cannot_do_without_gradients_has_one_value():
    def force(x):
        x = x if x.requires_grad else x.clone().requires_grad_()
        return torch.autograd.grad(torch.sin(x).sum(), x, create_graph=True)[0]

    assert not list(grad_mode(probe(force)))


def test_what_is_kept_of_the_first_batch():
    class Centred(nn.Module):
        mean = None

        def forward(self, x):
            self.mean = x.mean(0) if self.mean is None else self.mean
            return torch.sin(x - self.mean)

    net = Centred().eval()
    (finding,) = sobolev.audit(net, X.exp()).findings
    assert (finding.kind, finding.severity) == ("stateful", "error")
    assert net.mean is None


def test_stateful_compares_with_the_first_value():
    assert not list(stateful(torch.sin(X), torch.sin(X)))
    assert [finding.kind for finding in stateful(torch.sin(X) + 1e-6, torch.sin(X))] == ["stateful"]


def test_relative_change():
    a = torch.tensor([1.0, 4.0, torch.nan])
    assert relative_change(a, a) == 0
    assert relative_change(a, torch.tensor([1.0, 5.0, torch.nan])) == 0.25
    assert relative_change(a, a[:2]) == float("inf")
    assert relative_change(a, torch.tensor([1.0, 4.0, 0.0])) > 1e30


def test_rounding_that_large_weights_magnify_is_no_dependence_on_other_samples():
    """Weights that cancel, as of a readout by least squares, in a sum whose order is the matrix product's choice."""
    weights = 1e8 * torch.tensor([1.0, 0.3, -0.7, 0.1, -1.0, -0.3, 0.7, -0.1], dtype=torch.float64)

    def f(x, coupling=0.0):
        parts = weights * torch.sin(x)
        parts = parts if len(x) > 6 else parts.flip(1)
        total = torch.sin(x[:, 0]) + coupling * x.mean()
        for part in parts.unbind(1):
            total = total + part
        return total

    change = relative_change(f(X)[:6], f(X[:6]))
    assert change > 1e-9
    assert not list(cross_sample(probe(f)))
    assert [finding.kind for finding in cross_sample(probe(lambda x: f(x, 1e-2)))] == ["cross-sample"]


def test_a_sample_with_a_small_output_may_be_rounded_like_the_others():
    """Rounding of a sum of large terms, seen at a sample whose terms cancel."""

    def f(x):
        return torch.where(x == X[0], 1e-9, x) + (1e-13 if len(x) == 1 else 0.0)

    assert relative_change(f(X)[:1], f(X[:1])) > 1e-5
    assert not list(cross_sample(probe(f)))


@pytest.mark.parametrize(("share", "severity"), [(1e-8, "warning"), (1e-3, "error")])
def test_a_solver_that_looks_at_the_whole_batch(share, severity):
    """As an adaptive one does, whose steps depend on the hardest sample."""
    found = sobolev.audit(lambda x: torch.sin(3 * x) + share * torch.sin(x.mean(0)), X[:, :1], order=1)
    (finding,) = [finding for finding in found.findings if finding.kind == "cross-sample"]
    assert (finding.severity, found.trustworthy) == (severity, severity == "warning")
