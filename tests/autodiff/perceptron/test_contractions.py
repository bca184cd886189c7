"""Hessian and Laplacian of perceptrons: blocks of rows, several outputs, compiled code."""

import pytest
import torch
from torch import nn

import sobolev
from sobolev.autodiff.perceptron import contractions, many_inputs


def perceptron(inputs, *widths, activation=nn.Tanh):
    torch.manual_seed(0)
    layers = []
    for entering, units in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Linear(entering, units), activation()]
    return nn.Sequential(*layers[:-1]).double()


NETWORKS = {
    "one hidden layer": perceptron(3, 5, 1),
    "three of different widths": perceptron(4, 7, 3, 6, 2, activation=nn.SiLU),
    "many inputs": perceptron(40, 6, 5, 1, activation=nn.Sigmoid),
    "ends in an activation": nn.Sequential(*perceptron(6, 4, 3), nn.Tanh()),
}


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.fixture(params=[1, 400, 10**6], ids=["a row", "some rows", "all rows"])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(contractions, "cached_numbers", lambda _: request.param)
    monkeypatch.setattr(many_inputs, "cached_numbers", lambda _: 3 * request.param)
    monkeypatch.setattr(contractions, "FEWEST_ROWS", 1)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("operator", [sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian])
@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_of_rows(name, operator):
    network = NETWORKS[name]
    x = torch.randn(11, network[0].in_features, dtype=torch.float64)
    with torch.no_grad():
        close(operator(network, x, method="taylor"), operator(network, x, method="reverse"))


@pytest.mark.parametrize("operator", [sobolev.hessian, sobolev.hessian_diagonal, sobolev.laplacian])
def test_compiled_code_of_many_inputs_calls_one_operation(operator, monkeypatch):
    monkeypatch.setattr(contractions, "LARGEST_COMPILED", 100)
    network, graphs = NETWORKS["many inputs"], []

    def keep(module, _):
        graphs.append(module)
        return module

    compiled = torch.compile(lambda x: operator(network, x), fullgraph=True, backend=keep)
    x = torch.randn(9, 40, dtype=torch.float64)
    with torch.no_grad():
        close(compiled(x), operator(network, x, method="reverse"))
    assert sum("sobolev.contracted" in str(node.target) for graph in graphs for node in graph.graph.nodes) == 1
    found = compiled(x)[-1].sum()  # with a graph to the weights
    ours, theirs = (
        torch.autograd.grad(y, [*network.parameters()], allow_unused=True)
        for y in (found, operator(network, x, method="reverse")[-1].sum())
    )
    close(ours[:-1], theirs[:-1])


@pytest.mark.parametrize("kind", contractions.CONTRACTIONS)
def test_the_operation_is_what_a_compiler_takes_it_for(kind):
    weights, units = [torch.randn(5, 4), torch.randn(6, 5)], [torch.randn(7, 5), torch.randn(7, 6)]
    torch.library.opcheck(torch.ops.sobolev.contracted, (kind, torch.randn(4, 5), weights, units, [*units, *units]))
