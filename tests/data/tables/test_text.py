"""Encodings, compressions, quotes, and files that are something else."""

import gzip

import pytest

from sobolev.data.tables import Table
from sobolev.data.tables.text import blocks


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes("T [°C];x\n1,5;2\n".encode(encoding))
    assert Table(path, ["T [°C]", "x"]).read().numbers.tolist() == [[1.5, 2]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4 [Content_Types].xml xl/workbook.xml", "is a workbook of Excel, whatever its name says; save"),
        (b"PK\3\4 points.txt", "is a zip archive.*unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is a workbook of an old Excel"),
        (b"\n<!DOCTYPE html><html><table>", "is a page of HTML"),
        (b"%PDF-1.4", "is a PDF"),
        (b'[{"x": 1}]', "is JSON"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (bytes(range(256)) * 9, "is no text and no Parquet file"),
        (bytes(byte for byte in range(1, 256) if byte != 34) * 9, "is no text and no Parquet file"),
        (b"{\\rtf1\\ansi x,z}", "is a document of a word processor"),
        (
            gzip.compress(b"x,z\n" + b"".join(b"%d,2\n" % i for i in range(5000)))[:-100],
            "cannot be read: it is damaged or cut off",
        ),
        (b"\x28\xb5\x2f\xfd but no more", "cannot be read: it is damaged or cut off"),
        (b'x,z\n1,"2\n3,4\n', r"a quote in row 2 is not closed: '1,\"2'"),
        (b'x,z\n1,"2\n' + b"3,4\n" * 1000, r"a quote in row 2 is not closed"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Table(path, ["x", "z"]).read()


def test_lines_keep_their_numbers_and_quoted_breaks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a\n\n"b\nc",1\n \nd\n')
    assert [line for block in blocks(path) for line in block] == [(1, "a"), (3, '"b\nc",1'), (6, "d")]


def test_a_line_may_lie_across_pieces(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"{i},{'9' * (i % 70)}" for i in range(60_000)]
    path.write_text("\n".join(lines))
    assert [line for block in blocks(path) for line in block] == list(enumerate(lines, 1))


def test_no_permission_is_explained(tmp_path, monkeypatch):
    (path := tmp_path / "t.csv").write_text("x\n1\n")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ValueError, match="Permission denied; check its permissions"):
        Table(path)
