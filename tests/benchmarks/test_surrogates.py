"""The table of the surrogates, and what it calls a shortfall."""

from benchmarks import surrogates
from benchmarks.machine import describe


def measured(surrogate, error, function="Franke1", noise=0.0):
    errors = {"value": error, "gradient": 2 * error, "Hessian": 3 * error}
    return {"function": function, "noise": noise, "surrogate": surrogate, **errors, "seconds": 1.5}


def test_every_measurement_has_a_line():
    data = {"machine": describe(), "rows": [measured("sobolev", 1e-3), measured("SMT KRG", 1e-2, noise=0.1)]}
    text = surrogates.document(data)
    assert "| Franke1 | 0 | sobolev | 1.0e-03 | 2.0e-03 | 3.0e-03 | 1.5 |" in text
    assert "| Franke1 | 0.1 | SMT KRG | 1.0e-02 | 2.0e-02 | 3.0e-02 | 1.5 |" in text


def test_a_peer_that_is_clearly_nearer_is_said():
    rows = [measured("sobolev", 1e-2), measured("SMT KRG", 1e-3), measured("scikit-learn GP", 0.9e-2)]
    rows += [measured("sobolev", 1e-4, "Ishigami"), measured("SMT KRG", 1e-2, "Ishigami")]
    assert surrogates.shortfalls({"rows": rows}) == [
        "Franke1, noise 0: gradient 2.0e-02, of SMT KRG 2.0e-03",
        "Franke1, noise 0: Hessian 3.0e-02, of SMT KRG 3.0e-03",
    ]
