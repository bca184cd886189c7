"""Labels of derivatives: their entries, what they add to the evidence, and what is learnt from them."""

import numpy as np
import pytest
import torch

import sobolev
from sobolev.networks.surrogate import Surrogate
from sobolev.surrogates.kernels import Kernels
from sobolev.surrogates.labels import Labels, standardized
from sobolev.surrogates.marginal import LogSizes, kernel_evidence, kernel_solve, negative_log_evidence, reduced
from sobolev.surrogates.polynomials import Polynomials
from sobolev.surrogates.search import network, search

FORMULA = "sin(2*x)*exp(y)+x*y"


def labelled(rows, order=1, formula=FORMULA):
    """Rows of a function with exact derivatives, and the function."""
    function = sobolev.Function(formula)
    x = torch.rand(rows, len(function.inputs), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return Labels(x, tuple(t for t in function.tensors(x, order))), function


def learnt(labels):
    found = sobolev.Standardized(Surrogate()).double().fit(labels.x, *labels.tensors[:1], labels.tensors[1:])
    scales = found.input_mean, found.input_scale, found.output_mean, found.output_scale
    *_, last = search(standardized(labels.x, labels.tensors, *scales))
    found.network = network(last.fits)
    return found, last


def relative(found, truth):
    return float((found - truth).norm() / truth.norm())


def error(found, function, order):
    """Relative, of the derivatives of this order at other points."""
    x = torch.rand(100, len(function.inputs), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    with torch.no_grad():
        return relative(
            sobolev.hessian(found, x)[order], (function(x), function.jacobian(x)[1], function.hessian(x)[2])[order]
        )


def test_entries_are_sorted_and_the_upper_triangle_of_hessians():
    labels, _ = labelled(3, order=2)
    (entries,) = labels.entries()
    assert entries.by[::3].tolist() == [[-1, -1], [0, -1], [1, -1], [0, 0], [0, 1], [1, 1]]
    assert torch.equal(entries.targets[12:15, 0], labels.tensors[2][:, 0, 0, 1])
    assert labels.counts().tolist() == [6, 6, 6]
    assert len(labels.first(13)) == 2


def test_outputs_that_are_known_at_other_places_are_entries_of_their_own():
    x, y = torch.rand(4, 2).double(), torch.rand(4, 3).double()
    y[0, 1] = torch.nan
    slopes = torch.full((4, 3, 2), torch.nan).double()
    slopes[1:, 2, 1] = 1.0
    found = {part.outputs: part for part in Labels(x, (y, slopes)).entries()}
    assert {outputs: len(part.x) for outputs, part in found.items()} == {(0,): 4, (1,): 3, (2,): 7}
    assert found[2,].by[-1].tolist() == [1, -1]


@pytest.mark.parametrize(("rows", "features"), [(12, 5), (5, 12)])
def test_the_evidence_of_several_noises_is_that_of_the_normal_density(rows, features):
    generator = torch.Generator().manual_seed(0)
    phi, y = (torch.randn(2 * rows, n, generator=generator, dtype=torch.float64) for n in (features, 2))
    kinds = torch.arange(2).repeat_interleave(rows)
    log_noise = torch.tensor([-2.0, 0.5], dtype=torch.float64)
    covariance = (phi @ phi.T + (2 * log_noise[kinds]).exp().diag()).numpy()
    square = np.einsum("io,ij,jo->o", y, np.linalg.inv(covariance), y)
    wanted = 0.5 * (2 * rows * np.log(square / (2 * rows)) + np.linalg.slogdet(covariance)[1]).sum()
    ones = LogSizes(torch.zeros(features).double(), torch.zeros(features, 0).double(), lambda w: w.new_zeros(0, 0))
    found = negative_log_evidence(reduced(phi, y, kinds), ones, log_noise)[0]
    assert float(found) == pytest.approx(wanted, rel=1e-12)
    none = phi[:, :0]
    assert float(kernel_evidence(phi @ phi.T, none, y, log_noise[kinds])) == pytest.approx(wanted, rel=1e-12)
    weights = kernel_solve(phi @ phi.T, none, y, log_noise[kinds].exp())[0]
    np.testing.assert_allclose(weights, np.linalg.solve(covariance, y), rtol=1e-9, atol=1e-12)
    log_noise.requires_grad_()
    assert torch.autograd.gradcheck(lambda n: kernel_evidence(phi @ phi.T, none, y, n[kinds]), (log_noise,))


@pytest.mark.parametrize(
    "family", [Polynomials(2, terms=60, rounds=2), Kernels(2, iterations=40)], ids=lambda f: f.name
)
def test_each_family_predicts_its_own_labels_and_those_of_derivatives(family):
    labels, function = labelled(25, order=2)
    family.learn(labels)
    fit = family.fit(labels)
    (entries,) = labels.entries()
    assert relative(fit.at(entries), entries.targets) < 1e-3
    made = network(((1.0, fit),))
    x = labels.x
    with torch.no_grad():
        y, gradient, hessian = sobolev.hessian(made, x)
    for tensor, own in ((y, entries.order == 0), (gradient, entries.order == 1)):
        torch.testing.assert_close(fit.at(entries)[own][:, 0], tensor.flatten(1).T.flatten(), rtol=1e-6, atol=1e-8)
    assert relative(hessian, function.hessian(x)[2]) < 1e-2


def test_gradients_make_derivatives_more_accurate():
    labels, function = labelled(25)
    with_gradients, without = learnt(labels)[0], learnt(Labels(labels.x, labels.tensors[:1]))[0]
    for order in range(3):
        assert error(with_gradients, function, order) < 0.1 * error(without, function, order)


def test_one_column_of_a_gradient_and_empty_cells_help():
    labels, function = labelled(40, formula="sin(5*x)*exp(y)+x*y")
    values, gradients = labels.tensors
    part = gradients.clone()
    part[:, :, 1] = torch.nan
    part[::7] = torch.nan
    found, _ = learnt(Labels(labels.x, (values, part)))
    without, _ = learnt(Labels(labels.x, (values,)))
    assert error(found, function, 1) < 0.5 * error(without, function, 1)


def test_noise_of_gradients_is_their_own():
    labels, function = labelled(80)
    values, gradients = labels.tensors
    generator = torch.Generator().manual_seed(5)
    noisy = gradients + 0.2 * torch.randn(gradients.shape, generator=generator, dtype=torch.float64)
    found, last = learnt(Labels(labels.x, (values, noisy)))
    noise = last.fits[0][1].noise[:, 0] * found.output_scale
    assert noise[0] < 1e-2
    assert 0.15 < noise[1] / found.input_scale.mean() < 0.26
    assert error(found, function, 1) < 1e-2


def test_outputs_with_other_labels_are_learnt_together():
    labels, first = labelled(40)
    second = sobolev.Function("cos(x+2*y)")
    values, gradients = torch.cat([labels.tensors[0], second(labels.x)], 1), labels.tensors[1]
    slopes = torch.cat([gradients, torch.full_like(gradients, torch.nan)], 1)
    found, _ = learnt(Labels(labels.x, (values, slopes)))
    assert error(lambda x: found(x)[:, :1], first, 1) < 1e-4
    assert error(lambda x: found(x)[:, 1:], second, 1) < 1e-2
