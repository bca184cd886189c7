import pytest
import torch
from rule_check import assert_rule

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.linspace(-1, 2, 5 * 2 * 3, dtype=torch.float64).reshape(5, 2, 3)

MAPS = {
    "reshape": lambda x: x.reshape(-1, 6).view(-1, 3, 2).reshape((5, 6)),
    "flatten": lambda x: x.flatten(1).unflatten(1, (3, 2)),
    "squeeze": lambda x: x.unsqueeze(1).unsqueeze(-1).squeeze(1).squeeze(),
    "permute": lambda x: x.permute(0, 2, 1).transpose(0, 1).movedim(1, 0).swapaxes(-1, 1).movedim((1, 2), (2, 1)),
    "T": lambda x: x.reshape(5, 6).T.t().mT.mT,
    "expand": lambda x: x.unsqueeze(1).expand(-1, 4, 2, 3),
    "as": lambda x: x.reshape_as(torch.empty(5, 6)).view_as(x).clone().contiguous(),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps(name):
    assert_rule(lambda x: MAPS[name](x).sin(), X)
    assert_rule(lambda x: MAPS[name](x.sin()), X)


def test_a_tensor_in_the_shape_of_a_jet():
    row, x = torch.arange(3.0, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64)
    assert_rule(lambda x: row.expand_as(x) * x**2 + torch.ones(2, 6).double().view_as(x) * x.sin(), x)


def test_no_axes_and_other_types():
    x = torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(2, 3)
    assert_rule(lambda x: torch.flip(x, ()) * x.flip(dims=[]), x)
    with pytest.raises(NoRuleError, match="view"):
        taylor.jacobian(lambda x: x.view(torch.int64), x)
