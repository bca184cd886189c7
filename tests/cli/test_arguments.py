"""Words of a command line, as they are typed and as the parser takes them."""

import pytest
import yaml

from sobolev.cli.arguments import as_parsed


@pytest.mark.parametrize(
    ("typed", "columns"),
    [
        ("T", ["T"]),
        ("T,p", ["T", "p"]),
        ("[T, p]", ["T", "p"]),
        ("Temperature [°C],p", ["Temperature [°C]", "p"]),
        ("[Temperature [°C], p [bar], v]", ["Temperature [°C]", "p [bar]", "v"]),
        ("[n [a, b], p]", ["n [a, b]", "p"]),
        ('["T [K]", p]', ["T [K]", "p"]),
    ],
)
def test_columns_may_have_units(typed, columns):
    (word,) = as_parsed(["--data.inputs", typed])
    option, _, value = word.partition("=")
    assert option == "--data.inputs" and yaml.safe_load(value) == columns


def test_what_is_no_list_of_columns_is_left_alone():
    words = ["--data.inputs=null", "--data.function=-x**2", "--data.domain=[-3,3]"]
    assert as_parsed(["--data.inputs", "null", "--data.function", "-x**2", "--data.domain", "-3,3"]) == words


@pytest.mark.parametrize("typed", [["--data", "mine.csv"], ["--data=mine.csv"]])
def test_a_table_needs_no_class(typed):
    assert as_parsed([*typed, "--seed_everything", "2"]) == [
        "--data=TableData", "--data.path=mine.csv", "--seed_everything", "2",
    ]  # fmt: skip


def test_any_file_that_is_no_configuration_is_a_table(tmp_path):
    rows, settings = tmp_path / "rows", tmp_path / "data.yaml"
    rows.write_text("x,y\n")
    settings.write_text("class_path: TableData\n")
    assert as_parsed(["--data", str(rows)]) == ["--data=TableData", f"--data.path={rows}"]
    assert as_parsed(["--data", str(settings)]) == [f"--data={settings}"]
    assert as_parsed(["--data", "TableData"]) == ["--data=TableData"]
    assert as_parsed(["--data", "--help"]) == ["--data", "--help"]
