import mpmath
import pytest
import torch
from exact import assert_exact, bessel
from rule_check import assert_rule

from sobolev.autodiff.taylor import operators as taylor

special = torch.special
ANYWHERE = [0.0, 1e-8, 0.3, -2.0, 3.8317, 7.0, 12.0, -30.0, 1000.0]
POSITIVE = [1e-3, 0.3, 2.0, 7.0, 12.0, 30.0, 300.0]

FUNCTIONS = {
    "bessel_j0": (special.bessel_j0, lambda x: mpmath.besselj(0, x), ANYWHERE),
    "bessel_j1": (special.bessel_j1, lambda x: mpmath.besselj(1, x), ANYWHERE),
    "bessel_y0": (special.bessel_y0, bessel(mpmath.bessely, 0, 1), POSITIVE),
    "bessel_y1": (special.bessel_y1, bessel(mpmath.bessely, 1, 1), POSITIVE),
    "i0": (torch.i0, lambda x: mpmath.besseli(0, x), [*ANYWHERE[:-1], 600.0]),
    "i1": (special.i1, lambda x: mpmath.besseli(1, x), [*ANYWHERE[:-1], 600.0]),
    "modified_bessel_i0": (special.modified_bessel_i0, lambda x: mpmath.besseli(0, x), ANYWHERE[:-1]),
    "modified_bessel_i1": (special.modified_bessel_i1, lambda x: mpmath.besseli(1, x), ANYWHERE[:-1]),
    "modified_bessel_k0": (special.modified_bessel_k0, bessel(mpmath.besselk, 0, -1), POSITIVE),
    "modified_bessel_k1": (special.modified_bessel_k1, bessel(mpmath.besselk, 1, -1), POSITIVE),
}

EVERYWHERE = [1e-3, 0.3, 0.49, 0.51, 2.0, 7.0, 31.0, 60.0, 1000.0, 1e8]

SCALED = {
    "i0e": (special.i0e, lambda x: mpmath.exp(-x) * mpmath.besseli(0, x), EVERYWHERE),
    "i1e": (special.i1e, lambda x: mpmath.exp(-x) * mpmath.besseli(1, x), EVERYWHERE),
    "i0e, negative": (special.i0e, lambda x: mpmath.exp(x) * mpmath.besseli(0, x), [-0.5, -60.0]),
    "i1e, negative": (special.i1e, lambda x: mpmath.exp(x) * mpmath.besseli(1, x), [-0.5, -60.0]),
    "k0e": (special.scaled_modified_bessel_k0, bessel(mpmath.besselk, 0, -1, scaled=True), EVERYWHERE),
    "k1e": (special.scaled_modified_bessel_k1, bessel(mpmath.besselk, 1, -1, scaled=True), EVERYWHERE),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_order_at_ordinary_and_special_points(name):
    """The values of J and Y, which are PyTorch's, are off by up to 4e-7 between 5 and 20."""
    assert_exact(*FUNCTIONS[name], lowest=int("bessel_j" in name or "bessel_y" in name))


@pytest.mark.parametrize("name", list(FUNCTIONS)[:4])
def test_all_of_the_changes_of_method(name):
    function, exact, _ = FUNCTIONS[name]
    assert_exact(function, exact, [4.9, 5.1, 9.0, 16.0, 25.0, 31.9, 32.1, 33.1, 36.0, 45.0], 4, 1e-9, 1e-13, lowest=1)


@pytest.mark.parametrize("name", ["bessel_j0", "bessel_y1", "i1", "modified_bessel_k0"])
def test_float32(name):
    function, exact, points = FUNCTIONS[name]
    assert_exact(function, exact, points[2:6], 6, 1e-4, 1e-5, torch.float32)


def test_against_reverse_mode():
    x = torch.linspace(-3, 4, 6, dtype=torch.float64).reshape(3, 2)
    assert_rule(
        lambda x: torch.i0(x) + special.i1(x.sin()) + x.i0() + special.modified_bessel_i0(x), x, reference=twice
    )


def twice(x):
    return 3 * torch.i0(x) + special.i1(x.sin())


@pytest.mark.parametrize("name", ["bessel_j0", "bessel_j1", "modified_bessel_i1"])
def test_gradients_of_what_pytorch_cannot_differentiate(name):
    """Each derivative is one order of the other: a loss on f' has the gradient that f'' says, and so on twice more."""
    function, exact, _ = FUNCTIONS[name]
    x = torch.tensor([[0.7], [2.5]], dtype=torch.float64, requires_grad=True)
    _, d1, d2 = taylor.derivatives(function, x, 2, torch.ones_like(x))
    gradients = [d1.sum(), d2.sum()]
    for order in (2, 3, 4):
        gradients = [torch.autograd.grad(g.sum(), x, create_graph=True)[0] for g in gradients]
        for shift, g in enumerate(gradients):
            expected = [float(mpmath.diff(exact, p, order + shift)) for p in x[:, 0].tolist()]
            torch.testing.assert_close(g[:, 0].tolist(), expected, rtol=1e-8, atol=1e-10)


def test_gradients_compiled():
    w = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[0.7], [2.5]], dtype=torch.float64)

    def loss(x):
        return sum(d.square().sum() for d in taylor.derivatives(lambda x: special.modified_bessel_k1(w * x), x, 2, x))

    torch.compiler.reset()
    ours = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(x), w)
    torch.testing.assert_close(ours, torch.autograd.grad(loss(x), w))


@pytest.mark.parametrize("name", SCALED)
def test_scaled_functions_at_every_order(name):
    assert_exact(*SCALED[name])


def test_scaled_functions_against_reverse_mode():
    x = torch.linspace(-3, 4, 6, dtype=torch.float64).reshape(3, 2)
    assert_rule(lambda x: special.i0e(x) * special.i1e(x.sin() + 2), x)


def test_scaled_functions_on_both_sides_of_zero():
    """The even derivatives of exp(-|x|) I_0 agree there; the odd ones are 0, between both."""
    x = torch.zeros(1, 1, dtype=torch.float64)
    found = [d.item() for d in taylor.derivatives(special.i0e, x, 3, torch.ones_like(x))]
    assert found == pytest.approx([1, 0, 1.5, 0])
