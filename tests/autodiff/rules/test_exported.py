"""Programs of torch.export, loaded from a file: Taylor mode against reverse mode of the network they came from."""

import pytest
import torch
from torch import nn
from torch.export import Dim

import sobolev
from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.rules.exported import rule_of


class Recurrent(nn.Module):
    """A sequence of three made of each sample."""

    def __init__(self, kind):
        super().__init__()
        self.cell, self.last = kind(2, 4, batch_first=True, num_layers=2), nn.Linear(4, 1)

    def forward(self, x):
        return self.last(self.cell(x[:, None, :].expand(-1, 3, -1) * torch.arange(1.0, 4.0).to(x)[:, None])[0][:, -1])


class Parts(nn.Module):
    """Slices, indices, buffers, an embedding beside numbers."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 4)
        self.register_buffer("which", torch.tensor([0, 2]))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        rows = self.table(self.which).sum(0)
        y = torch.cat([a * b, x[:, 1:].exp(), x[..., :1] ** 2], dim=1)[:, self.which]
        return torch.stack([y.softmax(1)[:, 0], (y * rows[:2]).mean(1)], dim=1).to(torch.float64) + x.new_zeros(1)


def _images(*layers):
    return nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)), *layers, nn.Flatten(), nn.LazyLinear(2))


NETWORKS = {
    "tanh": lambda: sobolev.MLP(2, 1, [8, 8], activation="tanh"),
    "silu, standardised": lambda: sobolev.Standardized(sobolev.MLP(2, 2, [8], activation="silu")),
    "gelu": lambda: sobolev.MLP(2, 1, [8], activation="gelu"),
    "softplus": lambda: sobolev.MLP(2, 1, [8], activation="softplus"),
    "layer norm": lambda: nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)),
    "batch norm": lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)),
    "convolution": lambda: _images(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.SiLU(), nn.AvgPool2d(2)),
    "transposed": lambda: _images(nn.ConvTranspose2d(1, 2, 2, stride=2), nn.GroupNorm(2, 2), nn.Tanh()),
    "instance norm": lambda: _images(nn.InstanceNorm2d(1, affine=True), nn.Softplus()),
    "Transformer": lambda: nn.Sequential(
        nn.Linear(2, 8), nn.Unflatten(1, (2, 4)), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Flatten()
    ),
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "parts": Parts,
}


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore")
def test_loaded_programs(name, decomposed, tmp_path):
    if decomposed and name in ("Transformer", "LSTM", "GRU", "instance norm"):
        pytest.skip("decompositions leave operations of one backend")
    torch.manual_seed(0)
    network, x = NETWORKS[name]().double().eval(), torch.randn(7, 2, dtype=torch.float64)
    network(x)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: Dim("batch", min=1)},))
    torch.export.save(program.run_decompositions() if decomposed else program, tmp_path / "network.pt2")
    loaded = torch.export.load(tmp_path / "network.pt2").module()
    truth = sobolev.hessian(network, x, method="reverse")
    for found, expected in zip(sobolev.hessian(loaded, x, method="taylor"), truth, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_an_audit_of_a_loaded_program(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(9, 1)
    for activation, trustworthy in ((nn.Tanh(), True), (nn.ReLU(), False)):
        network = nn.Sequential(nn.Linear(1, 8), activation, nn.Linear(8, 1))
        program = torch.export.export(network, (x,), dynamic_shapes=({0: Dim("batch", min=1)},))
        torch.export.save(program, tmp_path / "network.pt2")
        audit = sobolev.audit(torch.export.load(tmp_path / "network.pt2").module(), x)
        assert audit.trustworthy == trustworthy
        assert audit.method == "taylor" or not trustworthy


def test_derivatives_of_a_file_of_derivatives(tmp_path):
    sobolev.export(sobolev.MLP(1, 1, [8], activation="tanh"), tmp_path / "slope.pt2", "jacobian")
    slope = torch.export.load(tmp_path / "slope.pt2").module()
    x = torch.linspace(-1, 1, 5)[:, None]
    _, first = sobolev.derivatives(lambda x: slope(x)[0], x, 1, method="taylor")
    torch.testing.assert_close(first, slope(x)[1])


def test_functions_of_torch_in_the_order_of_their_own(tmp_path):
    weight, bias, mean, variance = torch.rand(4, 3, dtype=torch.float64) + 1
    f = lambda x: torch.batch_norm(x, weight, bias, mean, variance, False, 0.1, 1e-5, False) ** 2  # noqa: E731
    x = torch.randn(5, 3, dtype=torch.float64)
    for found, truth in zip(*(sobolev.jacobian(f, x, method=m) for m in ("taylor", "reverse")), strict=True):
        torch.testing.assert_close(found, truth)


def test_what_has_no_rule_is_named():
    with pytest.raises(NoRuleError, match=r"aten\._fft_c2c"):
        rule_of(torch.ops.aten._fft_c2c.default)
