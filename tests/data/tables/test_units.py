"""Units in the header: the name is what stands before them."""

import pytest

from sobolev.data.tables import Table
from sobolev.data.tables.units import check_same_units, without_units


@pytest.mark.parametrize(
    ("header", "names", "units"),
    [
        ("Temperature [°C];Speed [m/s]", ["Temperature", "Speed"], {"Temperature": "°C", "Speed": "m/s"}),
        ("T[K];p", ["T", "p"], {"T": "K"}),
        ("n [-];share [1];fill [%]", ["n", "share", "fill"], {"fill": "%"}),
        ("x[0];x[1];A [0, 1]", ["x[0]", "x[1]", "A [0, 1]"], {}),
        ("T [K];T [°C];p [bar]", ["T [K]", "T [°C]", "p"], {"p": "bar"}),
        ("T;T [K]", ["T", "T [K]"], {}),
        ("f(x);[K];T [K] mean", ["f(x)", "[K]", "T [K] mean"], {}),
        ("T (degC);p(bar);v (m/s)", ["T", "p", "v"], {"T": "degC", "p": "bar", "v": "m/s"}),
        ("c (kJ/(kg K));k (1/s);n (-)", ["c", "k", "n"], {"c": "kJ/(kg K)", "k": "1/s"}),
        ("a (m s⁻²);b (kg·m^-3);t (min)", ["a", "b", "t"], {"a": "m s⁻²", "b": "kg·m^-3", "t": "min"}),
        ("T (min);T (max);cell (A);cell (B)", ["T (min)", "T (max)", "cell (A)", "cell (B)"], {}),
        ("f(s);y(t);log(kPa);weight (dry);x (1)", ["f(s)", "y(t)", "log(kPa)", "weight (dry)", "x (1)"], {}),
        ("m;F (m);flow (in);y (t);q (x, z)", ["m", "F (m)", "flow (in)", "y (t)", "q (x, z)"], {}),
        ("T (K);T (°C);p (bar)", ["T (K)", "T (°C)", "p"], {"p": "bar"}),
        ("dy/dx [m/s];d2y/dx2 [m/s²]", ["dy/dx", "d2y/dx2"], {"dy/dx": "m/s", "d2y/dx2": "m/s²"}),
    ],
)
def test_names_without_units(header, names, units):
    assert without_units(header.split(";")) == (names, units)


@pytest.mark.parametrize("columns", [["z", "x"], ["z [kg/m3]", "x [K]"], ["z", "x [K]"]])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_are_asked_for_with_units_or_without(tmp_path, kind, columns):
    import polars as pl

    frame = pl.DataFrame({"x [K]": [1.0, 3.0], "y": [0.0, 0.0], "z [kg/m3]": [2.0, 4.0]})
    getattr(frame, f"write_{kind}")(tmp_path / "t")
    (tmp_path / "t").rename(path := tmp_path / f"t.{kind}")
    table = Table(path, columns)
    assert table.columns == ("z", "x") and table.units == {"z": "kg/m3", "x": "K"}
    assert table.read().numbers.tolist() == [[2, 1], [4, 3]]


def test_a_row_of_units_below_the_header_says_more(tmp_path):
    (path := tmp_path / "t.csv").write_text("x [s],z\nms,K\n1,2\n3,4\n")
    assert Table(path, ["x", "z"]).units == {"x": "ms", "z": "K"}


def test_other_units_are_named(tmp_path):
    (path := tmp_path / "t.csv").write_text("Temperature [°C];z\n1;2\n")
    with pytest.raises(ValueError, match="no column 'Temperature \\[K\\]'; did you mean 'Temperature'"):
        Table(path, ["Temperature [K]"])
    with pytest.raises(ValueError, match="'T' is in K, but the network was trained with T in °C"):
        check_same_units(path, {"T": "°C"}, {"T": "K"})
    with pytest.raises(ValueError, match="is in mm"):
        check_same_units(path, {"x": "Mm"}, {"x": "mm"})


@pytest.mark.parametrize(
    ("known", "found"), [("°C", "degC"), ("m/s²", "m/s^2"), ("kg/(m s)", "kg/(ms)"), ("µm", "μm"), ("K", "")]
)
def test_the_same_unit_in_other_words(known, found):
    check_same_units("t.csv", {"x": known}, {"x": found, "other": "s"})
