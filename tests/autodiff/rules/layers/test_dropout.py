import pytest
import torch
from rule_check import assert_rule
from torch import nn

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(6, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LAYERS = [
    nn.Dropout(0.4),
    nn.Dropout1d(),
    nn.AlphaDropout(),
    nn.FeatureAlphaDropout(),
    nn.Dropout(0.3, inplace=True),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_eval_mode(layer):
    assert_rule(nn.Sequential(nn.Tanh(), layer, nn.Tanh()).eval(), X)


def test_one_mask_for_value_and_derivatives():
    x = torch.full((1, 1000), 2.0)
    y, d1, d2 = taylor.derivatives(nn.Sequential(nn.Dropout(0.5), nn.Identity()).train(), x**1, 2, x)
    torch.testing.assert_close(y, d1)
    assert 300 < (y == 0).sum() < 700
    assert not d2.any()


def test_alpha_dropout_in_training_mode_is_refused():
    with pytest.raises(NoRuleError, match=r"model\.eval"):
        taylor.jacobian(nn.AlphaDropout(), X)
