"""Labels that are spoilt on purpose are found, with what would mend them; right ones are left alone."""

import pytest
import torch

from sobolev import Function
from sobolev.training.contradicting_labels import contradictions

TWO = "sin(x)*exp(-z) + x*x"
OTHERS = ("1/(1 + 25*x**2)", "abs(x) + z**3", "x**2 + 3*z", "sin(x)*cos(z)*exp(q)*t**2")


def said(formula, spoil=lambda values, *labels: None, rows=400, order=1, noise=0.0):
    function = Function(formula)
    generator = torch.Generator().manual_seed(0)
    x = 4 * torch.rand(rows, len(function.inputs), generator=generator, dtype=torch.float64) - 2
    labels = [t.clone() for t in function.tensors(x, order)]
    spoil(*labels)
    labels[0] += noise * labels[0].std() * torch.randn(labels[0].shape, generator=generator, dtype=torch.float64)
    return list(contradictions(x, labels, function.inputs, function.outputs))


@pytest.mark.parametrize("formula", [TWO, *OTHERS])
@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_right_labels_are_left_alone(formula, noise):
    assert not said(formula, order=2, noise=noise)
    assert not said(formula, lambda _y, d1, _d2: d1.fill_(torch.nan), order=2, noise=noise)
    assert not said(formula, lambda _y, d1, _d2: d1[..., 1:].fill_(torch.nan), order=2, noise=noise)


@pytest.mark.parametrize("formula", ["exp(3*x) + z", "exp(x*z)", "exp(2*x + 2*z)", "exp(3*x)"])
@pytest.mark.parametrize("order", [1, 2])
def test_a_few_steep_places_of_few_rows_are_no_other_units(formula, order):
    """Half of all squares is one step, over which slopes change too much to be averaged."""
    function = Function(formula)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        x = 6 * torch.rand(60, len(function.inputs), generator=generator, dtype=torch.float64) - 3
        assert not list(contradictions(x, function.tensors(x, order), function.inputs, function.outputs))


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_another_sign(noise):
    """As forces have it; with noise between neighbours that are farther apart."""
    (sentence,) = said(TWO, lambda _, d1: d1.neg_(), noise=noise)
    assert "dy/dx, dy/dz contradict how y changes" in sentence
    assert "the other sign fits (forces are minus the gradient)" in sentence


def test_other_units():
    degrees = torch.pi / 180
    assert "about 57.3 times the labels would fit" in said(TWO, lambda _, d1: d1.mul_(degrees), rows=2000)[0]
    (sentence,) = said(TWO, lambda _, d1: d1[..., 1].mul_(0.5))
    assert "about 2 times dy/dz would fit" in sentence or "about 2.01 times dy/dz would fit" in sentence


def test_columns_in_another_order():
    assert "they fit as dy/dz, dy/dx, in this order" in said(TWO, lambda _, d1: d1.copy_(d1.flip(-1)))[0]
    three = "sin(x)*exp(-z) + q*q*x"
    (sentence,) = said(three, lambda _, d1: d1.copy_(d1.roll(1, -1)), rows=2000)
    assert "they fit as dy/dx, dy/dz, dy/dq" in sentence


def test_labels_of_another_output_and_transposed_ones():
    pair = "sin(x)*exp(-z), x + z**2"
    first, second = said(pair, lambda _, d1: d1.copy_(d1.flip(1)))
    assert "dy1/dx, dy1/dz contradict" in first
    assert "fit as dy2/dx, dy2/dz" in first
    assert "fit as dy1/dx, dy1/dz" in second
    assert "fit as dy1/dx, dy2/dx" in said(pair, lambda _, d1: d1.copy_(d1.mT.clone()))[0]


def test_second_derivatives_beside_slopes_or_values():
    assert "d2y/dx2, d2y/dxdz, d2y/dz2 contradict" in said(TWO, lambda _y, _d1, d2: d2.neg_(), order=2)[0]

    def alone(_y, d1, d2):
        d1.fill_(torch.nan)
        d2.neg_()

    assert "the other sign fits" in said(TWO, alone, order=2)[0]
    assert "about 2 times" in said("x**2", lambda _y, _d1, d2: d2.mul_(0.5), order=2)[0]


def test_labels_of_something_else():
    (sentence,) = said(TWO, lambda y, d1: d1.copy_(y[..., None].sin().expand_as(d1)))
    assert "no other sign, factor or order makes them agree" in sentence


def test_too_few_rows_say_nothing():
    assert not said(TWO, lambda _, d1: d1.neg_(), rows=12)
    assert not said("5 + 0*x", lambda _, d1: d1.add_(1.0), rows=12)
