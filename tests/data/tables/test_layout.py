"""How text is laid out: every row is a file as people write it, and the numbers that are in it."""

import pytest

from sobolev.data.tables import Table


def read(tmp_path, text, columns=("x", "z"), **options):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    table = Table(path, columns, **options)
    return table, table.read().numbers.tolist()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "x,z\n1.5,2\n-3,4e2\n",
        "x;z\n1,5;2\n-3;4e2\n",
        "x;z\n1,50;2,00\n-3;400\n",
        "x\tz\n1,5\t2\n-3\t4e2\n",
        "x|z\n1.5|2\n-3|4e2\n",
        "   x    z\n  1.5  2.0\n -3    4e2\n",
        "x, z\n1.5, 2\n-3, 4e2\n",
        " x , z \n 1.5 , 2 \n-3 ,4e2",
        '"x","z"\n"1.5","2"\n-3,4e2\n',
        '"x", "z"\n"1,5", "2"\n"-3,0", 4e2\n',
        "\n\nx,z\n\n1.5,2\n\n-3,4e2\n\n\n",
        "# a comment\n# x,y,z\nx,z\n1.5,2\n# 7,8\n-3,4e2\n",
        "# x z\n1.5 2\n-3 4e2\n",
        "# a comment\n# x,z\n1.5,2\n-3,4e2\n",
        "% x z\n1.5,2\n-3,4e2\n",
        "x,z\n1.5,2,\n-3,4e2,\n",
        "x,z,\n1.5,2,\n-3,4e2,\n",
        "x,z,,\n1.5,2,,\n-3,4e2,,\n",
        "x,z\r1.5,2\r-3,4e2\r",
        "x,z\r\n1.5,2\r\n-3,4e2\r\n",
        "sep=;\nx;z\n1,5;2\n-3;4e2\n",
        "\ufeffx,z\n1.5,2\n-3,4e2\n",
        "x,z\n1.5D0,2\n−3,4e2\n",
        "x,z\nK,kg/m3\n1.5,2\n-3,4e2\n",
    ],
)
def test_what_people_write_is_read(tmp_path, text, named):
    _, numbers = read(tmp_path, text, ["x", "z"] if named else None)
    assert numbers == [[1.5, 2], [-3, 400]]


@pytest.mark.parametrize(
    ("text", "columns", "numbers"),
    [
        ("1,2\n3,4\n", None, [[1, 2], [3, 4]]),
        ("1,5;2\n3;4\n", ["column_1"], [[1.5], [3]]),
        ("x\n1,5\n2\n", None, [[1.5], [2]]),
        ("air temperature\n1.5\n2\n", None, [[1.5], [2]]),
        ("400,410\n1,2\n", ["410"], [[2]]),
        ("station: A\nfrom: 2020, to: 2021\n\nx,z\n1,2\n", ["z", "x"], [[2, 1]]),
        ("time,x,z\n2024-01-01,1,2\n", ["x", "z"], [[1, 2]]),
        ("p, kPa;T\n1;2\n", ["p, kPa"], [[1]]),
        ("# of cycles,z\n1,2\n", ["# of cycles"], [[1]]),
        ("x,z\n1,\n2,3\n", ["x"], [[1], [2]]),
        ("x;z\n1,500;2\n", ["x"], [[1.5]]),
    ],
)
def test_special_headers(tmp_path, text, columns, numbers):
    options = {"decimal_comma": True} if "1,500" in text else {}
    assert read(tmp_path, text, columns, **options)[1] == numbers


def test_units_are_kept(tmp_path):
    table, numbers = read(tmp_path, "x,note,z\nK,,kg/m3\n1,a,2\n")
    assert table.units == {"x": "K", "z": "kg/m3"}
    assert numbers == [[1, 2]]


@pytest.mark.parametrize("separator", [r"\t", "\t", "tab"])
def test_a_separator_can_be_spelt_out(tmp_path, separator):
    assert read(tmp_path, "x\tz\n1\t2\n", separator=separator)[1] == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x;z\n1,500;2,250\n", r"'1,500' means 1.500 or 1500 cannot be told; set decimal_comma \(--data.decimal_comma"),
        ("x,z\n1,5,2,5\n3,5,4,5\n", r"row 2 .*has 4 cells, but the header has 2: '1,5,2,5'.*commas are decimal"),
        ("x,z\n1,2\n\n3\n", r"row 4 .*has 1 cells, but the header has 2: '3'; fill it up"),
        ("1,2\n3,4\n", r"no column 'x'; it has no header.*name its columns column_1, column_2"),
        ("# nothing\n", "holds no table"),
        ("\n \n", "holds no table"),
        ("x;z\n1.234,5;2\n", r"column 'x', row 2 .*'1.234,5'.*leave out the marks between thousands"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("separator", ["", ";;", '"'])
def test_what_is_no_separator(tmp_path, separator):
    with pytest.raises(ValueError, match="it is one character, such as ';', or tab or space"):
        read(tmp_path, "x,z\n1,2\n", separator=separator)


def test_a_wrong_separator_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"header 'x;z' is not separated by ',': leave the separator out"):
        read(tmp_path, "x;z\n1;2\n", separator=",")


def test_a_separator_given_is_not_recognised_otherwise(tmp_path):
    assert read(tmp_path, "x z;y\n1 2;3\n", ["y"], separator=";", decimal_comma=False)[1] == [[3]]
