import torch
from rule_check import assert_rule

from sobolev.autodiff.taylor import operators as taylor

X = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)


def test_conversions_keep_derivatives():
    assert_rule(lambda x: x.to(torch.float64).sin().double().cpu().type_as(x).to(x).type(torch.float64), X)
    y, J = taylor.jacobian(lambda x: x.sin().float().to("cpu"), X)
    assert y.dtype == J.dtype == torch.float32
    torch.testing.assert_close(J.diagonal(dim1=1, dim2=2), X.cos().float())


def test_integers_have_no_derivatives():
    y, J = taylor.jacobian(lambda x: x * x.long() + x.bool().to(x.dtype) + (x > 0).type_as(x), X)
    torch.testing.assert_close(J.diagonal(dim1=1, dim2=2), X.long().double())
    torch.testing.assert_close(y, X * X.long() + 1 + (X > 0))


def test_detach_is_the_identity():
    _, J = taylor.jacobian(lambda x: x.detach() * x.data * x.requires_grad_(), X)
    torch.testing.assert_close(J.diagonal(dim1=1, dim2=2), 3 * X**2)
