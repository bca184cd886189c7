"""What the comparison measures, and how it is written down."""

import pytest
from benchmarks import differential, twin_network
from benchmarks.machine import describe
from torch import nn

from sobolev import PathsData


def small(**options):
    data = PathsData(**{"assets": 3, "samples": 300, "validation_samples": 5, "test_samples": 50, "seed": 3, **options})
    data.setup()
    return data


class Off(nn.Module):
    """The closed form and an error that is known."""

    def __init__(self, data):
        super().__init__()
        self.price = data.market.price

    def forward(self, x):
        return self.price(x.double()) + 0.01 + 0.02 * x[:, :1] + 0.005 * x.sum(1, keepdim=True) ** 2


def test_errors_are_those_of_price_first_delta_and_parallel_gamma():
    """d/dx_1 of the error: 0.02 + 0.01 sum(x); second derivative along (1, 1, 1): 0.01 · 9."""
    data = small()
    found, x = differential.errors(Off(data), data), data.test.inputs
    price = 0.01 + 0.02 * x[:, 0] + 0.005 * x.sum(1) ** 2
    delta = 0.02 + 0.01 * x.sum(1)
    assert found["price"] == pytest.approx(100 * float(price.square().mean().sqrt()), rel=1e-4)
    assert found["delta"] == pytest.approx(100 * float(delta.square().mean().sqrt()), rel=1e-4)
    assert found["gamma"] == pytest.approx(0.09, rel=1e-3)


def test_the_published_recipe_learns(monkeypatch):
    monkeypatch.setattr(twin_network, "EPOCHS", 15)
    data = small(samples=2000)
    network = twin_network.train(data.training.inputs, data.training.targets, data.training.labels[0], seed=1)
    found = differential.errors(network, data)
    spread = 100 * float(data.test.targets.std())
    assert found["price"] < 0.2 * spread


def test_the_table_pairs_seeds():
    def result(price):
        return {"price": price, "delta": 1.0, "gamma": 1.0, "seconds": 2.0}

    results = {"theirs": [result(1.0), result(4.0)], "ours": [result(0.5), result(5.0)]}
    case = {"model": "bachelier", "assets": 20, "paths": 4096, "results": results}
    text = differential.document({"machine": describe(), "seeds": [1, 2], "cases": [case]})
    assert "| bachelier | 20 | 4,096 | theirs | 2.500 | 1.000 | 1.000 | 2.0 | | |" in text
    assert "| ours | 2.750 | 1.000 | 1.000 | 2.0 | 0.79 / 1.00 / 1.00 | 1 / 0 / 0 |" in text
