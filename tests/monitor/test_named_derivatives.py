"""Names of a data module, if it has any."""

from types import SimpleNamespace

from sobolev.monitor.named_derivatives import named_places, names_for_figures


def test_names():
    data = SimpleNamespace(input_names=["spot", "time"], output_names=["price"])
    data.derivative_names = {"dprice/dspot": "delta", "d2price/dspot2": "gamma"}
    assert named_places(data) == {"delta": (0, 0), "gamma": (0, 0, 0)}
    assert set(names_for_figures(data)) == {"input_names", "output_names", "derivative_names"}
    assert named_places(None) == names_for_figures(object()) == {}
