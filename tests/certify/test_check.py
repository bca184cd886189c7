"""The second proof: it confirms what is true, and finds gaps, bounds that are too low and values that are not there."""

import copy
import json

import pytest
import torch

import sobolev
from sobolev.certify import check
from sobolev.certify.check import covers


def _certificate(tmp_path, inputs=1, activation="tanh", function="x**2*exp(-x/3)", order=2):
    torch.manual_seed(0)
    net = sobolev.Standardized(sobolev.MLP(inputs, 1, [6, 5], activation=activation))
    net.fit(torch.randn(100, inputs) * 2, torch.randn(100, 1) * 3 + 1)
    domain = {"x": (-1.0, 2.0), "t": (0.0, 1.5)}
    certificate = sobolev.certify(net, function, dict(list(domain.items())[:inputs]), order)
    certificate.save(tmp_path / "proof.json")
    return json.loads((tmp_path / "proof.json").read_text())


@pytest.mark.parametrize("activation", ["tanh", "silu", "softplus", "sigmoid"])
def test_what_is_proved_is_proved_again(tmp_path, activation):
    assert check(_certificate(tmp_path, activation=activation)) == []


def test_two_inputs_and_the_network_alone(tmp_path):
    assert check(_certificate(tmp_path, 2, function="sin(x)*cos(t)", order=1), cells=1) == []
    assert check(_certificate(tmp_path, 1, function=None), cells=2) == []


def test_a_gap_is_found(tmp_path):
    data = _certificate(tmp_path)
    part = data["parts"][0]
    for key in ("low", "high", "upper"):
        del part[key][5]
    assert any("gap" in line for line in check(data, cells=1))


def test_a_bound_that_is_too_low_is_found(tmp_path):
    data = _certificate(tmp_path)
    for k in range(3):
        wrong = copy.deepcopy(data)
        wrong["bounds"][k]["upper"] *= 0.9
        assert any("above" in line for line in check(wrong, cells=1))
        for row in wrong["parts"][0]["upper"]:
            row[k] *= 0.9
        assert any("could not be proved" in line for line in check(wrong, cells=1))


def test_what_is_not_attained_is_found(tmp_path):
    data = _certificate(tmp_path)
    data["bounds"][1]["lower"] *= 1.05
    assert any("not attained" in line for line in check(data, cells=1))


def test_another_network_is_found(tmp_path):
    data = _certificate(tmp_path)
    data["network"][1]["weight"][0][0] += 0.5
    assert check(data, cells=2)


def test_without_cells_or_layers_there_is_nothing_to_check(tmp_path):
    data = _certificate(tmp_path)
    with pytest.raises(ValueError, match="no network"):
        check({**data, "network": None})
    del data["parts"]
    with pytest.raises(ValueError, match="no cells"):
        check(data)


def test_covers():
    quarters = [[(0, 1), (0, 2)], [(1, 2), (0, 1)], [(1, 2), (1, 2)]]
    assert covers([(0, 2), (0, 2)], quarters)
    assert not covers([(0, 2), (0, 2.5)], quarters)
    assert not covers([(0, 2), (0, 2)], quarters[:2])
    assert not covers([(0, 2), (0, 2)], [quarters[0], quarters[1], [(1, 2), (1.0000001, 2)]])
    assert not covers([(0, 1)], [])
