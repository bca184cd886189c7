"""Which layer is solved for, its features with all derivatives, and who is refused with which reason."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import sobolev
from sobolev import MLP, Standardized
from sobolev.readout.layer import find_layer


class Skip(nn.Module):
    """x A + network(x)."""

    def __init__(self):
        super().__init__()
        self.body, self.skip = MLP(2, 3, (8,), "tanh"), nn.Linear(2, 3)

    def forward(self, x):
        return self.skip(x) + self.body(x)


class Masked(nn.Module):
    """Zero where x is 0 or 1, and one where y is 0: hard boundary conditions."""

    def __init__(self):
        super().__init__()
        self.network = MLP(2, 1, (8,), "tanh")

    def forward(self, x):
        return torch.cos(x[:, 1:]) + x[:, :1] * (1 - x[:, :1]) * self.network(x)


class Flat(nn.Module):
    """(batch,) instead of (batch, 1)."""

    def __init__(self):
        super().__init__()
        self.network = MLP(2, 1, (8,), "softplus")

    def forward(self, x):
        return 3 - 2 * self.network(x).squeeze(-1)


def standardized(inputs=2, outputs=3, **options):
    data = torch.randn(50, inputs) * 7 + 3
    return Standardized(MLP(inputs, outputs, (8, 6), "tanh", **options)).fit(data, torch.randn(50, outputs) * 40)


GOOD = {
    "mlp": (lambda: MLP(2, 3, (8,), "tanh"), "2"),
    "standardized": (standardized, "network.4"),
    "skip": (Skip, "body.2"),
    "masked": (Masked, "network.2"),
    "flat": (Flat, "network.2"),
    "no-bias": (lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2, bias=False)), "2"),
    "linear": (lambda: nn.Linear(2, 2), ""),
    "dropout": (lambda: nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 1)), "3"),
    "layer-norm": (lambda: nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1)), "3"),
}


@pytest.mark.parametrize("name", GOOD)
def test_outputs_and_derivatives_are_those_of_features_and_weights(name):
    """y = t + s c (w φ + b): the model's own derivatives by reverse mode, from features by the Taylor engine."""
    make, layer_name = GOOD[name]
    torch.manual_seed(0)
    model, x = make().double().eval(), torch.randn(20, 2, dtype=torch.float64)
    found = find_layer(model, x)
    assert found.name == layer_name and found.layer is model.get_submodule(layer_name)
    assert found.varying == (name == "masked")
    weights = torch.cat([torch.zeros(len(found.scale), 1) if found.layer.bias is None else found.layer.bias[:, None],
                         found.layer.weight], dim=1).detach().double()  # fmt: skip
    features = sobolev.hessian(lambda x: found.features(model, x), x, method="taylor")
    reference = sobolev.hessian(model, x, method="reverse")
    for columns, exact in zip(features, reference, strict=True):
        columns = columns.reshape(20, columns.shape[1], -1)
        split = weights.shape[1]
        y = torch.einsum("ok,bkd->bod", weights, columns[:, :split]) * found.scale[:, None] + columns[:, split:]
        torch.testing.assert_close(y.flatten(), exact.flatten(), rtol=1e-10, atol=1e-11)


def test_the_model_is_left_as_it_was():
    model = GOOD["dropout"][0]().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_layer(model, torch.randn(5, 2))
    assert all(
        torch.equal(before[name], value) and value.dtype == torch.float32 for name, value in model.state_dict().items()
    )
    assert model.training and not any(module._forward_hooks for module in model.modules())


class Tokens(nn.Module):
    """The mean over four tokens of a linear layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x[:, None] * torch.ones(4, 1)).mean(1)


class Twice(nn.Module):
    """One layer, called two times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))


class Mixed(nn.Module):
    """A rotation behind the last layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x) @ torch.tensor([[1.0, 2.0], [-2.0, 1.0]]).to(x)


def tied():
    first, second, last = nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)
    last.weight = first.weight
    return nn.Sequential(first, second, last)


def frozen():
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    model[2].requires_grad_(False)
    return model


BAD = {
    "relu": (lambda: MLP(2, 1, (8,), "tanh", "relu"), "activation"),
    "sigmoid": (lambda: standardized(output_activation="sigmoid"), "activation"),
    "softmax": (lambda: nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(-1)), "activation"),
    "clamp": (lambda: nn.Sequential(nn.Linear(2, 1), nn.Hardtanh(-20, 20)), "activation"),
    "tied": (tied, "shares"),
    "frozen": (frozen, "frozen"),
    "weight-norm": (lambda: nn.Sequential(weight_norm(nn.Linear(2, 1))), "parametrised"),
    "tokens": (Tokens, "not on one vector"),
    "twice": (Twice, "2 times"),
    "mixed": (Mixed, "mixed"),
    "none": (lambda: nn.Bilinear(2, 2, 1), "no torch.nn.Linear"),
}


def test_an_output_that_is_no_tensor_is_named():
    class Pair(nn.Module):
        """Two outputs in a tuple."""

        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match="returns a tuple"):
        find_layer(Pair(), torch.randn(3, 1))


@pytest.mark.parametrize("name", BAD)
def test_refused_with_the_reason(name):
    make, reason = BAD[name]
    torch.manual_seed(0)
    made = make()
    model = made if name != "none" else nn.Sequential()
    with pytest.raises(ValueError, match="no linear layer reaches the output linearly") as error:
        find_layer(model, torch.randn(20, 2))
    assert reason in str(error.value)
