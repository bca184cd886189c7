import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

X = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
CAUSAL = nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
PADDING = torch.tensor([[False, False, True], [False, False, False]])


@pytest.fixture(autouse=True)
def mathematical_form():
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    with sdpa_kernel(SDPBackend.MATH):
        yield
    torch.backends.mha.set_fastpath_enabled(True)


def attend(**options):
    return lambda x: functional.scaled_dot_product_attention(x, x.sin(), x[..., :2].exp(), **options).mean(1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"attn_mask": CAUSAL, "scale": 0.3},
        {"attn_mask": CAUSAL == 0},
    ],
)
def test_scaled_dot_product_attention(options):
    assert_rule(attend(**options), X, orders=(1, 3))


def test_grouped_heads():
    def f(x):
        q, k = x.reshape(2, 1, 3, 4).expand(2, 4, 3, 4), torch.stack([x, x.cos()], 1)
        return functional.scaled_dot_product_attention(q, k, k, enable_gqa=True).mean((1, 2))

    assert_rule(f, X, orders=(2,))


def test_what_may_look_at_nothing_gets_zero():
    mask = torch.ones(3, 3, dtype=torch.bool)
    mask[1] = False
    assert_rule(attend(attn_mask=mask), X, orders=(2,))


ATTENTION = {
    "plain": (nn.MultiheadAttention(4, 2, batch_first=True), {}),
    "masks": (
        nn.MultiheadAttention(4, 2, batch_first=True),
        {"attn_mask": CAUSAL, "key_padding_mask": PADDING.double() * -3},
    ),
    "no weights": (nn.MultiheadAttention(4, 1, batch_first=True, bias=False), {"need_weights": False}),
    "each head": (nn.MultiheadAttention(4, 2, batch_first=True), {"average_attn_weights": False}),
    "bias": (
        nn.MultiheadAttention(4, 2, batch_first=True, add_bias_kv=True, add_zero_attn=True),
        {"attn_mask": CAUSAL},
    ),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_multihead_attention(name):
    layer, options = ATTENTION[name]
    layer = layer.double().eval()

    def f(x):
        y, weights = layer(x, x.sin(), x.cos(), **options)
        return y.mean(1) if weights is None else y.mean(1) + weights.flatten(1)[:, 1:2]

    assert_rule(f, X, orders=(1, 3))


def test_separate_projections():
    layer = nn.MultiheadAttention(4, 2, kdim=2, vdim=3, batch_first=True).double()
    assert_rule(lambda x: layer(x, x[..., :2], x[..., 1:].sin())[0].mean(1), X, orders=(2,))


def test_transformer_encoder_layer():
    layer = nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True, norm_first=True).double().eval()
    for norm in (layer.norm1, layer.norm2):  # nested derivatives of PyTorch's own are wrong from order 3
        norm.forward = lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert_rule(lambda x: layer(x, CAUSAL).mean(1), X, orders=(1, 3))
