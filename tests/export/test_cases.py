"""Every kind of network with every operator: files of any batch size, against reverse mode in float64.

`export` checks that itself; here the files are opened and compared anew.
"""

import numpy as np
import onnxruntime
import pytest
import torch
from export_networks import ONE, SEVERAL

import sobolev
from sobolev.export.graph import Derivatives, frozen
from sobolev.export.signature import signature

CASES = [(name, "derivatives", order) for name in ONE for order in (1, 2, 3)] + [
    (name, operator, 2) for name in SEVERAL for operator in ("jacobian", "hessian", "hessian_diagonal", "laplacian")
]
QUICK = {
    ("silu", "derivatives", 2),
    ("gelu", "derivatives", 3),
    ("layer norm", "hessian", 2),
    ("Transformer", "jacobian", 2),
    ("convolution", "hessian", 2),
    ("two outputs", "hessian", 2),
    ("ten inputs", "hessian", 2),
}
MARKED = [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]


def network_of(name, operator):
    torch.manual_seed(0)
    make, inputs = (ONE[name], 1) if operator == "derivatives" else SEVERAL[name]
    return make().eval(), inputs


def columns(network, x, operator, order):
    """The outputs in their order, (batch, 1), by nested reverse mode in float64."""
    options = {"order": order} if operator == "derivatives" else {}
    results = getattr(sobolev, operator)(network.double(), x.double(), method="reverse", **options)
    if operator == "hessian":
        i, j = torch.triu_indices(x.shape[1], x.shape[1])
        results = [*results[:2], results[2][..., i, j]]
    flat = [result.detach().reshape(len(x), -1) for result in results]
    return torch.cat(flat, dim=1).numpy()


def differs(found, truth):
    """Relative to the largest of each column, or of all where a column is almost nothing."""
    sizes = np.abs(truth).max(0)
    return (np.abs(np.concatenate(found, axis=1) - truth).max(0) / np.maximum(sizes, 1e-2 * sizes.max())).max()


@pytest.mark.parametrize(("name", "operator", "order"), MARKED)
def test_onnx(name, operator, order, tmp_path):
    network, inputs = network_of(name, operator)
    points = 30 * torch.rand(64, inputs) if name in ("standardized", "regressor") else torch.randn(64, inputs)
    sobolev.export(network, tmp_path / "model.onnx", operator, order, inputs=points)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    truth = columns(network, points, operator, order)
    for rows in (1, 5, 64):
        found = session.run(None, {"x": points[:rows].numpy()})
        assert differs(found, truth[:rows]) < 2e-5


@pytest.mark.parametrize(("name", "operator", "order"), MARKED)
def test_pt2(name, operator, order, tmp_path):
    network, inputs = network_of(name, operator)
    points = 30 * torch.rand(64, inputs) if name in ("standardized", "regressor") else torch.randn(64, inputs)
    sobolev.export(network, tmp_path / "model.pt2", operator, order, inputs=points)
    module = torch.export.load(tmp_path / "model.pt2").module()
    truth = columns(network, points, operator, order)
    for rows in (1, 5, 64):
        found = [y.numpy() for y in module(points[:rows])]
        assert differs(found, truth[:rows]) < 2e-5


@pytest.mark.parametrize(("name", "operator", "order"), MARKED)
def test_strict_recording(name, operator, order):
    """Users may record the derivatives themselves, by the compiler's own reading of the code."""
    network, inputs = network_of(name, operator)
    x = torch.randn(5, inputs)
    with frozen(network, torch.float32):
        names = signature(operator, order, x.shape[1:], network(x).shape[1], None, None)
        module = Derivatives(network, operator, order, names)
        dynamic = (({0: torch.export.Dim("batch", min=1)},),)
        program = torch.export.export(module, (x,), dynamic_shapes=dynamic, strict=True).module()
        found = [[y.numpy() for y in program(x[:rows])] for rows in (1, 5)]
    truth = columns(network, x, operator, order)
    for rows, values in zip((1, 5), found, strict=True):
        assert differs(values, truth[:rows]) < 2e-5
