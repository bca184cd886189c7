"""Cells that are no numbers: what is said of them."""

import pytest

from sobolev.data.tables import Table


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            "abc",
            r"t\.csv: column 'z', row 11 \(the file's first line is 1\) is 'abc', which is no number \(1 such cell",
        ),
        ("", r"row 11 .* is empty"),
        ("nan", r"row 11 .* is NaN"),
        ("n/a", r"row 11 .* is 'n/a', a missing number"),
        ("inf", r"row 11 .* is infinite"),
        ("-1e400", r"row 11 .* is -1e400, too large for float64"),
        ("2024-01-01 10:00", r"row 11 .*a date or time goes in as a number"),
        ("True", r"'True', which is no number"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(tmp_path, cell, message):
    path = tmp_path / "t.csv"
    path.write_text("x,z\n" + "1,2\n" * 9 + f"1,{cell}\n" + "1,2\n" * 5)
    with pytest.raises(ValueError, match=message):
        list(Table(path, ["x", "z"]).batches(4))


def test_cells_that_may_be_missing_are_nan(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,z\n1,\n2,NaN\n3, N/A \n4,-\n5,6\n")
    z = Table(path, ["x", "z"], may_lack=["z"]).read().numbers[:, 1]
    assert z.isnan().tolist() == [True] * 4 + [False]
    with pytest.raises(ValueError, match=r"column 'z', row 2 .* is empty \(4 such cells in the file\)"):
        Table(path, ["x", "z"], may_lack=["x"]).read()


def test_a_late_decimal_comma_is_refused_with_the_option(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x;z\n" + "1;2\n" * 2000 + "1;2,5\n")
    with pytest.raises(ValueError, match=r"column 'z', row 2002 .*--data.decimal_comma true"):
        Table(path).read()
    assert Table(path, decimal_comma=True).read().numbers[-1].tolist() == [1, 2.5]
