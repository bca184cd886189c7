"""What is said about the numbers of a table, and what is not."""

import pytest
import torch

import sobolev
from sobolev.data.suspicions import Columns, beyond_single, refuse_beyond_float64, suspicions


def columns(names, *values):
    numbers = torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in values], 1)
    return Columns(tuple(names), numbers, torch.arange(len(numbers)) + 2)


def said(x, y, names="ab"):
    inputs = x if isinstance(x, list) else [x]
    return suspicions(columns(names[: len(inputs)], *inputs), columns(["y"], y))


GENERATOR = torch.Generator().manual_seed(0)
X, Z = torch.rand(2, 100, generator=GENERATOR, dtype=torch.float64)


def changed(values, at, number):
    values = values.clone()
    values[at] = number
    return values


@pytest.mark.parametrize(
    ("x", "y", "names", "words"),
    [
        (1e9 + X, X, ["a"], "'a' is almost constant: it varies by less than 1e-6"),
        (changed(X * 0 + 5, 3, 6.0), X * 0, ["a"], "'a' is 5 in all but 1 row"),
        ([X, Z], X, "ab", None),
        ([X[:5], Z[:5]], X[:5], "ab", "5 rows are fewer than the 6 unknowns of a quadratic function of 2 inputs"),
        ([X, Z, 2 * X - Z + 1], X, "abc", "inputs a, b, c are linearly dependent"),
        ([X, Z, 3 * X], X, "abc", "inputs a, c are linearly dependent"),
        ([X.round(decimals=3), Z, (2 * X - 1).round(decimals=3)], X, "abc", "inputs a, c are linearly dependent"),
        ([(9 * X).round(), (9 * Z).round(), (9 * X * X).round()], X * 0, "abc", None),
        (changed(X, [7, 9], -999.0), changed(Z, [7, 9], 0.5), ["a"], "'a' is -999 in 2 row(s), first in row 9"),
        (X, changed(Z, 0, 9999.0), ["a"], "'y' is 9999 in 1 row(s), first in row 2"),
        (1.7e9 + torch.arange(100).double() * 60, Z, ["a"], "'a' looks like a clock"),
        (500 + torch.arange(100) / 10.0, Z, ["time_s"], "'time_s' looks like a clock"),
        (torch.arange(100) / 10.0, Z, ["a"], None),
        (torch.cat([X, X[:3]]), torch.cat([Z, Z[:2], Z[2:3] + 0.1]), ["a"], "rows 4 and 104 have the same inputs"),
        (torch.cat([X, X[:3]]), torch.cat([Z, Z[:3]]), ["a"], None),
        (torch.arange(990, 1000) + 0.0, Z[:10], ["a"], None),
        (X.repeat(2), Z.repeat(2), ["a"], "100 of 200 rows are copies of others, in every column ("),
        (torch.cat([X, X[:4]]), torch.cat([Z, Z[:4]]), ["a"], None),
        (X.repeat(2), torch.full((200,), torch.nan), ["a"], None),
        (torch.exp(5 * (2 * X - 1)), Z, ["a"], "learnt far better from a column with its logarithm"),
        ([X, (2 * Z).round()], X + Z, "ab", "'b' has 3 different values only"),
        ([X, (3 * Z).round()], X + Z, "ab", None),
        (0.001 + X, Z, ["a"], None),
        (0.0001 + X * X, Z, ["a"], None),
    ],
)
def test_a_line_for_each(x, y, names, words):
    found = said(x, y, names)
    assert len(found) == (words is not None), found
    assert words is None or words in found[0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (changed(X, 4, 1e308), r"t\.csv: column 'a', row 6 is 1e\+308, too large"),
        (X * 1e-320, r"column 'a', row \d+ is \d.*e-32\d, the largest of its column and too small"),
        (2.0**60 + 1000 * X, r"column 'a' varies by 1.*around 1.15292150460684\d+e\+18 .*subtract a constant"),
        (X * 0 + 2.0**60, r"column 'a' varies by 0 around 1.152921504606847e\+18"),
    ],
)
def test_what_float64_cannot_hold_is_refused(column, message):
    with pytest.raises(ValueError, match=message):
        refuse_beyond_float64("t.csv", columns(["a"], column))


@pytest.mark.parametrize("column", [X, X * 1e39, changed(X, 0, 1e-320), X * 0, X * 2.0**60, 1e6 + X, X * torch.nan])
def test_what_float64_holds_is_not_refused(column):
    refuse_beyond_float64("t.csv", columns(["a"], column))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (X, None),
        (X * 1e5, None),
        (300 + 20 * X, None),
        (X * 1e39, "a reaches 9.*e\\+38|a reaches 1e\\+39"),
        (X * 1e-30, "a reaches"),
        (1.7e9 + 1e5 * X, "a varies by 2.* around 1.7e\\+09"),
        (X * 0 + 7, None),
    ],
)
def test_what_needs_float64(column, words):
    import re

    found = beyond_single(["a"], column[:, None])
    assert (found is None) == (words is None) and (words is None or re.match(words, found))


@pytest.mark.parametrize(("offset", "unit"), [(0.0, 1e39), (1.7e9, 1.0)])
@pytest.mark.filterwarnings("ignore")
def test_huge_and_shifted_numbers_are_learnt_in_float64(tmp_path, offset, unit):
    import lightning

    x = torch.linspace(-1, 1, 200, dtype=torch.float64)
    rows = "\n".join(f"{a + offset!r},{a**3 * unit!r}" for a in x.tolist())
    (tmp_path / "t.csv").write_text(f"x,y\n{rows}\n")
    data = sobolev.TableData(tmp_path / "t.csv", ["x"], ["y"])
    network = sobolev.Regressor(sobolev.MLP(hidden=[32, 32], activation="tanh"))
    readout = sobolev.LeastSquaresReadout("float64")
    trainer = lightning.Trainer(
        max_epochs=30, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[readout],
    )  # fmt: skip
    trainer.fit(network, datamodule=data)
    points = torch.linspace(-0.8, 0.8, 9, dtype=torch.float64)[:, None]
    y, slope, bend = sobolev.derivatives(network, points + offset, order=2)
    for found, right in ((y, points**3), (slope, 3 * points**2), (bend, 6 * points)):
        assert (found / unit - right).abs().max() < 1e-3
