import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import sobolev
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.kernel_features import KernelFeatures
from sobolev.networks.surrogate import Surrogate
from sobolev.networks.wave_features import WaveFeatures


def run(path, **inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


class Square(nn.Module):
    def forward(self, x):
        return x[:, :1] ** 2 * x[:, 1:]


def test_named_inputs_and_outputs(tmp_path):
    path = tmp_path / "model.onnx"
    names = {"y": "price", "dprice/da": "delta", "d2y/da2": "gamma"}
    found = sobolev.export(Square(), path, "hessian", inputs={"a": (1, 3), "b": (-2, 2)}, names=names)
    a, b = np.array([[2.0], [3.0]], dtype=np.float32), np.array([[5.0], [-1.0]], dtype=np.float32)
    values = run(path, a=a, b=b)
    expected = {"price": a * a * b, "delta": 2 * a * b, "dprice/db": a * a, "gamma": 2 * b, "d2price/dadb": 2 * a}
    assert list(values) == [*expected, "d2price/db2"] == list(found.errors)
    for name, truth in {**expected, "d2price/db2": 0 * a}.items():
        np.testing.assert_allclose(values[name], truth, rtol=1e-6, err_msg=name)


def test_metadata(tmp_path):
    path = tmp_path / "model.onnx"
    sobolev.export(Square(), path, "jacobian", inputs={"a": (1, 3), "b": (-2, 2)})
    about = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    first, second = json.loads(about["sobolev.inputs"])
    assert (first["name"], second["name"]) == ("a", "b")
    assert 1 <= first["minimum"] < 1.01
    assert 1.99 < second["maximum"] <= 2
    assert about["sobolev.version"] == sobolev.__version__
    assert json.loads(about["sobolev.batches"]) == [1, 2, 7, 4096]
    assert set(json.loads(about["sobolev.errors"])) == set(json.loads(about["sobolev.outputs"]))
    assert max(json.loads(about["sobolev.errors"]).values()) < 1e-6


def test_metadata_of_torch_files(tmp_path):
    sobolev.export(sobolev.MLP(), tmp_path / "model.pt2")
    extra = {"sobolev.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["sobolev.json"])["sobolev.operator"] == "derivatives"


def test_samples_that_are_no_rows_of_numbers_stay_whole(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)).eval()
    x = torch.randn(9, 1, 4, 4)
    sobolev.export(network, tmp_path / "model.onnx", "jacobian", inputs=x)
    values = run(tmp_path / "model.onnx", x=x.numpy())
    _, truth = sobolev.jacobian(network.double(), x.double(), method="reverse")
    assert list(values) == ["y", "dy/dx"]
    assert np.abs(values["dy/dx"] - truth.detach().numpy()).max() < 1e-6


@pytest.mark.slow  # a C++ compiler is at work
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_file(tmp_path):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("there is no C++ compiler here")
    torch.manual_seed(0)
    network, x = sobolev.MLP(2, 1, (16, 16), "silu"), torch.randn(7, 2)
    found = sobolev.export(network, tmp_path / "model.pt2", "hessian", inputs=x, compiled=True)
    assert max(found.errors.values()) < 2e-5
    run = torch._inductor.aoti_load_package(str(tmp_path / "model.pt2"))
    _, jacobian, hessian = sobolev.hessian(network.double(), x.double(), method="reverse")
    for rows in (1, 7):
        outputs = run(x[:rows])
        truth = [
            jacobian[:rows, 0, :1],
            jacobian[:rows, 0, 1:],
            *(hessian[:rows, 0, i, j, None] for i, j in ((0, 0), (0, 1), (1, 1))),
        ]
        for output, expected in zip(outputs[1:], truth, strict=True):
            torch.testing.assert_close(output.double(), expected.detach(), rtol=1e-4, atol=1e-6)


def test_float64_keeps_its_digits(tmp_path):
    torch.manual_seed(0)
    found = sobolev.export(sobolev.MLP(1, 1, (16, 16), "tanh"), tmp_path / "m.onnx", order=3, dtype=torch.float64)
    assert max(found.errors.values()) < 1e-10


def test_nothing_is_computed_twice(tmp_path):
    sobolev.export(sobolev.MLP(3, 1, (16, 16), "tanh"), tmp_path / "m.pt2", "hessian")
    operations = [str(node.target) for node in torch.export.load(tmp_path / "m.pt2").graph.nodes]
    assert operations.count("aten.tanh.default") == operations.count("aten.exp.default") == 2


class WritesOver(nn.Module):
    def forward(self, x):
        ones = torch.ones_like(x[:1])
        before = x * ones
        ones.mul_(3)
        kept = x * torch.ones_like(x[:1])
        kept.mul_(2)
        return before.sin() + (x * ones).sin() + kept.cos()


def test_what_is_written_over_is_no_repetition(tmp_path):
    sobolev.export(WritesOver(), tmp_path / "m.onnx", inputs={"x": (-1, 1)})
    x = np.array([[-0.7], [0.4]], dtype=np.float32)
    second = -np.sin(x) - 9 * np.sin(3 * x) - 4 * np.cos(2 * x)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", x=x)["d2y/dx2"], second, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_digits_far_out(dtype, tmp_path):
    sobolev.export(nn.Tanh(), tmp_path / "m.onnx", inputs={"x": (-40.0, 40.0)}, dtype=dtype)
    x = np.array([[10.0], [20.0], [40.0], [60.0]], dtype=np.float32 if dtype == torch.float32 else np.float64)
    x = x[:3] if dtype == torch.float32 else x  # at 60 it is 1e-51, which float32 does not have
    second = run(tmp_path / "m.onnx", x=x)["d2y/dx2"]
    exp = np.exp(-2 * x.astype(np.longdouble))
    truth = -8 * exp * (1 - exp) / (1 + exp) ** 3
    np.testing.assert_allclose(second, truth, rtol=1e-6)


def test_the_network_stays_as_it_was(tmp_path):
    network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1)).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sobolev.export(network, tmp_path / "m.pt2")
    assert network.training
    assert network[2].training
    assert all(p.requires_grad and p.dtype == torch.float64 for p in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


class SeesItsBatch(nn.Module):
    def forward(self, x):
        return x.sin() * (2.0 if len(x) > 6 else 1.0)


class Stochastic(nn.Module):
    def forward(self, x):
        return x.sin() * (1 + torch.rand_like(x))


class Decides(nn.Module):
    def forward(self, x):
        return x.sin() if x.sum() > 0 else x.cos()


class Spectrum(nn.Module):
    """Writes into a tensor that Taylor mode does not follow, and plans by the number of rows."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, dtype=torch.cfloat))

    def forward(self, x):
        kept = torch.zeros(x.shape[0], 5, dtype=self.weight.dtype)
        many = [3 * int(size) > 100 for size in x.shape]
        kept[:, :3] = torch.fft.rfft(x)[:, :3] * self.weight if not all(many) else 0
        return torch.fft.irfft(kept, n=8).tanh().sum(1, keepdim=True)


def test_complex_numbers_stay_in_torch(tmp_path):
    torch.manual_seed(0)
    network, x = Spectrum(), torch.randn(7, 8)
    sobolev.export(network, tmp_path / "model.pt2", "jacobian", inputs=x)
    found = torch.export.load(tmp_path / "model.pt2").module()(x)
    y, jacobian = sobolev.jacobian(network, x, method="reverse")
    torch.testing.assert_close(torch.cat(found, 1), torch.cat([y, jacobian[:, 0]], 1), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"complex numbers \(fft_r2c in Spectrum\): write a .pt2"):
        sobolev.export(network, tmp_path / "model.onnx", "jacobian", inputs=x)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.parametrize(
    ("network", "reason"), [(SeesItsBatch(), "looks at the number of rows"), (Decides(), "decides by")]
)
def test_what_is_no_graph_is_said(network, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        sobolev.export(network, tmp_path / "model.pt2", inputs={"x": (-1, 1)})


@pytest.mark.parametrize("network", [SeesItsBatch(), Stochastic()])
def test_a_wrong_file_is_deleted(network, tmp_path):
    with pytest.raises((sobolev.UntrustworthyDerivativeError, ValueError)):
        sobolev.export(network, tmp_path / "model.onnx", inputs={"x": (-1, 1)})
    assert not list(tmp_path.iterdir())


class Special(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


def test_an_operation_that_cannot_be_exported_is_named_with_its_module(tmp_path):
    network = nn.Sequential(nn.Linear(1, 4), Special(), nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"bessel_j0.*in 1 \(Special\)"):
        sobolev.export(network, tmp_path / "model.onnx", order=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("m.txt",), {}, "ends in .onnx or .pt2"),
        (("m.onnx", "gradient"), {}, "choose derivatives, jacobian"),
        (("m.onnx", "derivatives", 0), {}, "order is 0"),
        (("m.onnx",), {"dtype": torch.float16}, "choose torch.float32"),
        (("m.onnx",), {"compiled": True}, "goes with .pt2"),
        (("nowhere/m.onnx",), {}, "is no folder"),
        (("m.onnx",), {"inputs": {"a": (0, 1), "b": (0, 1)}}, "does not take points"),
        (("m.onnx",), {"inputs": {"a": (1, 0)}}, "the lower end first"),
        (("m.onnx",), {"names": {"dy/dz": "slope"}}, "no output 'dy/dz'"),
        (("m.onnx",), {"names": ["x"]}, "two things called 'x'"),
    ],
)
def test_mistakes_are_explained(arguments, options, message, tmp_path):
    path, *others = arguments
    with pytest.raises(ValueError, match=message):
        sobolev.export(sobolev.MLP(), tmp_path / path, *others, **options)


def test_a_network_that_does_not_say_what_goes_in(tmp_path):
    with pytest.raises(ValueError, match="give inputs"):
        sobolev.export(nn.Tanh(), tmp_path / "m.onnx")


def surrogate(by=None, units=2):
    """What few data are learnt by: polynomials, waves and bumps, and derivatives of bumps where `by` says so."""
    generator = torch.Generator().manual_seed(0)
    degrees = torch.tensor([[1, 0], [0, 3], [2, 1]])
    polynomials = ChebyshevFeatures(degrees, torch.tensor([1.0, 0.5, 2.0]), -torch.ones(2), torch.ones(2))
    centres = torch.rand(5, 2, generator=generator) * 2 - 1
    waves = WaveFeatures(torch.tensor([[1.0, 2.0]]), torch.tensor(1.0), polynomials)
    bumps = KernelFeatures(centres, torch.tensor([1.0, 2.0]), units, by)
    network = Surrogate([polynomials, waves, bumps], 2).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=generator)
    return network


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize("units", [0, 2])
@pytest.mark.parametrize("by", [None, torch.tensor([[-1, -1], [-1, -1], [0, -1], [1, -1], [0, 1]])])
def test_surrogates_of_few_data(tmp_path, by, units, suffix):
    path = tmp_path / f"model{suffix}"
    found = sobolev.export(surrogate(by, units), path, "hessian", inputs=(2,), dtype=torch.float64)
    assert len(found.errors) == 6
    assert max(found.errors.values()) < 1e-10


class Cancelling(nn.Module):
    """x² as the difference of large numbers, which each way of adding rounds otherwise."""

    def __init__(self, large):
        super().__init__()
        self.large = large

    def forward(self, x):
        return (self.large * torch.exp(x / 7) + x * x) - self.large * torch.exp(x / 7).clone() * torch.ones_like(x)


def test_weights_that_cancel_want_float64(tmp_path):
    path = tmp_path / "model.pt2"
    with pytest.raises(sobolev.UntrustworthyDerivativeError, match=r"PyTorch's own is, too, .*--float64"):
        sobolev.export(Cancelling(1e9), path, order=1, inputs={"x": (0.5, 2)})
    assert not path.exists()
    found = sobolev.export(Cancelling(1e9), path, order=1, inputs={"x": (0.5, 2)}, dtype=torch.float64)
    assert found.errors["y"] < 1e-6
