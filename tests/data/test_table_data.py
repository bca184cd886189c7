import gzip

import polars
import pytest
import torch

from sobolev import TableData

ROWS = 40


def frame():
    x = [0.1 * i for i in range(ROWS)]
    z = [1e5 + 1000 * ((7 * i) % ROWS) for i in range(ROWS)]
    y = [a * a + b for a, b in zip(x, z, strict=True)]
    return polars.DataFrame({"x": x, "z": z, "y": y, "slope": [2 * a for a in x], "bend": [2.0] * ROWS})


def splits(data):
    data.setup()
    return data.training, data.validation, data.test


def table(path, **options):
    return TableData(path, ["x", "z"], ["y"], **options)


def written(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def save(path, kind):
    if kind == "parquet":
        frame().write_parquet(path)
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(frame().write_csv().encode()))
    elif kind == "semicolon":
        path.write_text(frame().write_csv(separator=";").replace(".", ","))
    else:
        frame().write_csv(path)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("t.csv", "csv", {}),
        ("t.csv.gz", "csv.gz", {}),
        ("t.parquet", "parquet", {}),
        ("t.txt", "semicolon", {}),
        ("t.any", "semicolon", {"separator": ";", "decimal_comma": True}),
    ],
)
def test_formats_give_every_row_once(tmp_path, name, kind, options):
    save(tmp_path / name, kind)
    parts = splits(table(tmp_path / name, **options))
    assert [len(part.inputs) for part in parts] == [32, 4, 4]
    inputs = torch.cat([part.inputs for part in parts])
    inputs = inputs[inputs[:, 0].argsort()]
    expected = torch.tensor(frame().select("x", "z").to_numpy().copy())
    torch.testing.assert_close(inputs, expected, rtol=0, atol=0)


def test_derivative_columns_become_labels_and_empty_cells_nan(tmp_path):
    text = frame().with_columns(slope=polars.when(polars.col("x") > 1).then("slope")).write_csv()
    data = table(written(tmp_path, text), derivatives={"dy/dx": "slope", "d2y/dx2": "bend", "d2y/dxdz": "slope"})
    training, *_ = splits(data)
    d1, d2 = training.labels
    assert d1.shape == (32, 1, 2)
    assert d2.shape == (32, 1, 2, 2)
    x = training.inputs[:, 0]
    expected = torch.where(x > 1, 2 * x, torch.nan)
    torch.testing.assert_close(d1[:, 0, 0], expected, equal_nan=True)
    assert d1[:, 0, 1].isnan().all()
    assert (d2[:, 0, 0, 0] == 2).all()
    torch.testing.assert_close(d2[:, 0, 0, 1], expected, equal_nan=True)
    torch.testing.assert_close(d2[:, 0, 1, 0], expected, equal_nan=True)
    assert d2[:, 0, 1, 1].isnan().all()
    assert [part.shape for part in next(iter(data.train_dataloader()))] == [
        (32, 2),
        (32, 1),
        (32, 1, 2),
        (32, 1, 2, 2),
    ]


def test_beside_derivative_columns_values_may_be_empty(tmp_path):
    text = frame().with_columns(y=polars.when(polars.col("x") > 1).then("y")).write_csv()
    training, *_ = splits(table(written(tmp_path, text), derivatives={"dy/dx": "slope"}))
    assert torch.equal(training.targets[:, 0].isnan(), training.inputs[:, 0] <= 1)
    with pytest.raises(ValueError, match=r"column 'y'.*is empty"):
        table(tmp_path / "t.csv").setup()


@pytest.mark.parametrize("kept", [(3, 17), (0, 8, 30), tuple(range(9))])
def test_the_few_values_beside_many_derivatives_are_all_trained_on(tmp_path, kept):
    text = frame().with_columns(y=polars.when(polars.col("x").is_in([0.1 * i for i in kept])).then("y")).write_csv()
    for seed in range(5):
        training, *others = splits(
            table(written(tmp_path, text), derivatives={"dy/dx": "slope", "d2y/dx2": "bend"}, seed=seed)
        )
        assert int(training.targets.isfinite().sum()) == len(kept)
        assert all(part.labels[0].isfinite().any() for part in others)


def test_split_depends_on_the_seed_alone(tmp_path):
    frame().write_csv(path := tmp_path / "t.csv")
    first, again, other = (splits(table(path, seed=seed))[0].inputs for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


HEAD = "x,z,y\n"
GOOD = "".join(f"{i},{i * i},{i + 1}\n" for i in range(30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,zz,y\n" + GOOD, r"no column 'z'; did you mean 'zz'"),
        ("x,z,y,x\n1,2,3,4\n", r"2 columns named 'x'; rename"),
        (HEAD + GOOD + "1,two,3\n", r"t\.csv: column 'z', row 32 .*'two'.*correct the cell"),
        (HEAD + GOOD + '1,"1,5,5",3\n', r"column 'z', row 32 .*'1,5,5'"),
        (HEAD + GOOD + "1,,3\n", r"column 'z', row 32 .*is empty"),
        (HEAD + GOOD + "1,2\n", r"row 32 .*has 2 cells, but the header has 3"),
        (HEAD + GOOD + "1,NaN,3\n", r"column 'z', row 32 .*is NaN"),
        (HEAD + GOOD + "1,2,-inf\n", r"column 'y', row 32 .*is infinite"),
        (HEAD + GOOD + "1,2,3,4\n", r"row 32 .*has 4 cells, but the header has 3: '1,2,3,4'"),
        (HEAD + "".join(f"{i},7,{i}\n" for i in range(30)), r"column 'z' is 7 in every training row.*inputs"),
        (HEAD + "".join(f"{i},{i},7\n" for i in range(30)), r"column 'y' is 7 .*outputs"),
        (HEAD + "1,2,3\n2,3,4\n", r"2 row\(s\), too few"),
        (HEAD, r"0 row\(s\), too few"),
        ("", r"is empty; it needs a header"),
    ],
)
def test_bad_tables_are_explained(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        table(path).setup()
    assert str(path) in str(caught.value)


def test_whether_there_are_more_rows_is_told_from_the_start_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(200_000)) + "no,number\n")
    data = TableData(path, ["x"], ["y"])
    assert data.exceeds(10_000)  # what is wrong at the end was not read
    path.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(100)))
    data.setup()
    assert len(data.training.inputs) == 80
    assert data.exceeds(70) and not data.exceeds(80)


@pytest.mark.parametrize("seed", range(5))
def test_the_ends_of_a_table_of_one_input_are_trained_on(tmp_path, seed):
    x = [-3.0, *torch.linspace(-1, 1, 17).tolist(), 5.0, 0.55]
    path = written(tmp_path, "x,y\n" + "\n".join(f"{v},{v * v + k}" for k, v in enumerate(x)))
    parts = splits(TableData(path, seed=seed))
    assert [len(part.inputs) for part in parts] == [16, 2, 2]
    assert parts[0].inputs.min() == -3 and parts[0].inputs.max() == 5
    every = torch.cat([part.targets for part in parts])
    assert sorted(every[:, 0].tolist()) == pytest.approx(sorted(v * v + k for k, v in enumerate(x)))


def test_bad_files_are_explained(tmp_path):
    frame().write_parquet(path := tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    for wrong, message in [
        (path, "damaged or cut off"),
        (tmp_path, "is a folder"),
        (tmp_path / "t.parqet", r"no file .*did you mean t\.parquet"),
        (tmp_path / "nowhere" / "t.csv", "no file"),
        (written(tmp_path, "PK\3\4 xl/", "t.xlsx"), "is a workbook of Excel"),
    ]:
        with pytest.raises(ValueError, match=message):
            table(wrong).setup()
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress((HEAD + GOOD * 50).encode())[:-200])
    with pytest.raises(ValueError, match="cannot be read"):
        table(cut).setup()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"derivatives": {"dy/dw": "c"}}, r"'dy/dw' names no derivative.*dy/dx"),
        ({"validation_fraction": 0.0}, "validation_fraction is 0.0"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "leave no rows"),
        ({"decimal_comma": True, "separator": ","}, "separator cannot be ','"),
        ({"separator": "and"}, "separator is 'and'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        table("t.csv", **options)


def test_a_column_has_one_role():
    with pytest.raises(ValueError, match="'x' is named 2 times"):
        TableData("t.csv", ["x"], ["x"])
    with pytest.raises(ValueError, match="inputs is"):
        TableData("t.csv", [], ["x"])


def test_the_last_column_is_the_output_where_nobody_names_it(tmp_path):
    path = written(tmp_path, "a,b,c\n" + "\n".join(f"{i},{i * i % 7},{i + 1}" for i in range(20)))
    data = TableData(path)
    assert (data.input_names, data.output_names) == (("a", "b"), ("c",))
    assert TableData(path, outputs=["a"]).input_names == ("b", "c")
    assert TableData(path, inputs=["c"]).output_names == ("b",)
    made = data.description()["init_args"]
    assert (made["inputs"], made["outputs"]) == (["a", "b"], ["c"])


def test_columns_named_as_derivatives_are_labels_where_nobody_names_any(tmp_path):
    path = written(tmp_path, "x,y,dy/dx\n" + "\n".join(f"{i},{i * i},{2 * i}" for i in range(20)))
    data = TableData(path)
    assert (data.input_names, data.output_names, data.derivatives) == (("x",), ("y",), {"dy/dx": "dy/dx"})
    training, *_ = splits(data)
    assert torch.equal(training.labels[0][:, 0, 0], 2 * training.inputs[:, 0])
    assert not TableData(path, ["x"], ["y"]).derivatives


def test_a_table_of_one_column_is_refused(tmp_path):
    path = written(tmp_path, "x\n1\n2\n3")
    with pytest.raises(ValueError, match="inputs and outputs need one each, it has x"):
        TableData(path)


def test_a_number_beyond_float32_comes_with_column_and_line(tmp_path):
    rows = "\n".join(f"{i / 10},{i * i}" for i in range(10)) + "\n0.55,-1e39\n" + "0.6,36\n" * 10
    data = TableData(written(tmp_path, f"x,y\n{rows}"))
    with pytest.raises(ValueError, match=r"y is -1e\+39 in row 12 of the table, beyond torch\.float32"):
        for part in (data.setup, data.train_dataloader, data.val_dataloader, data.test_dataloader):
            part()


def test_units_in_the_header(tmp_path):
    rows = [f"{i / 7 % 1},{i / 40},{i * i}" for i in range(40)]
    (path := tmp_path / "rig.csv").write_text("\n".join(["T [°C],p [bar],load [kN]", *rows]))
    data = TableData(path)
    assert (data.input_names, data.output_names) == (("T", "p"), ("load",))
    named = TableData(path, ["T [°C]"], ["load [kN]"])
    assert (named.input_names, named.output_names) == (("T",), ("load",))
    data.setup()
    assert data.units == {"T": "°C", "p": "bar", "load": "kN"}
    points = tmp_path / "points.csv"
    for header, refused in (("p,T", False), ("p [bar],T [degC]", False), ("p,T [K]", True)):
        points.write_text(f"{header}\n1,2\n3,4\n")
        again = TableData(path, ["T", "p"], ["load"], predict_points=str(points))
        again.load_state_dict(data.state_dict())
        again.setup("predict")
        if refused:
            with pytest.raises(ValueError, match=r"points.csv: column 'T' is in K, but .* in °C"):
                again.predict_dataloader()
        else:
            assert next(iter(again.predict_dataloader()))[0].tolist() == [[2, 1], [4, 3]]


def test_of_several_outputs_each_has_the_rows_that_know_it(tmp_path, caplog):
    rows = [f"{i},{'' if i % 3 == 0 else i * i},{'' if i % 6 == 0 else -i}" for i in range(60)]
    (path := tmp_path / "t.csv").write_text("\n".join(["x,y,z", *rows]))
    with pytest.raises(ValueError, match=r"column 'y'.*y is taken as an input.*\(z\).*--data.outputs '\[y, z\]'"):
        TableData(path).setup()
    data = TableData(path, outputs=["y", "z"])
    with caplog.at_level("INFO"):
        data.setup()
    assert "10 row(s) are left out" in caplog.text and "y 40, z 50" in caplog.text
    targets = torch.cat([data.training.targets, data.validation.targets, data.test.targets])
    assert targets.isfinite().sum(0).tolist() == [40, 50] and targets.isfinite().any(1).all()


def test_an_output_without_any_value_is_refused(tmp_path):
    (path := tmp_path / "t.csv").write_text("\n".join(["x,y,z", *(f"{i},,{i}" for i in range(30))]))
    with pytest.raises(ValueError, match="the output 'y' is empty in every row"):
        TableData(path, ["x"], ["y", "z"]).setup()


@pytest.mark.parametrize(("header", "place"), [("x,,y", 2), (",x,y", 1), ("x,y,", 3)])
def test_a_column_without_a_name_that_is_left_out_is_said(tmp_path, caplog, header, place):
    path = written(tmp_path, "\n".join([header, *(f"{i},{i / 7},{i * i}" for i in range(1, 41))]))
    data = TableData(path)
    with caplog.at_level("INFO"):
        data.setup()
    assert (data.input_names, data.output_names) == (("x",), ("y",))
    assert f"left out, as the header has no name for it: column {place}" in caplog.text


def test_nothing_is_said_of_columns_without_a_name_that_are_empty_or_not_asked_for(tmp_path, caplog):
    empty = written(tmp_path, "\n".join(["x,y,,", *(f"{i},{i * i},," for i in range(40))]), "empty.csv")
    index = written(tmp_path, "\n".join([",x,y", *(f"{i},{i / 7},{i * i}" for i in range(40))]), "index.csv")
    with caplog.at_level("INFO"):
        TableData(empty).setup()
        TableData(index, ["x"], ["y"]).setup()
    assert "has no name" not in caplog.text


def test_units_in_parentheses_are_no_part_of_the_names(tmp_path):
    """The names may be given with them, as before."""
    path = written(tmp_path, "\n".join(["T (degC),f(x),p (kPa)", *(f"{i},{i % 7},{i * i}" for i in range(40))]))
    for data in (TableData(path), TableData(path, ["T (degC)", "f(x)"], ["p (kPa)"])):
        data.setup()
        assert (data.input_names, data.output_names) == (("T", "f(x)"), ("p",))
        assert data.units == {"T": "degC", "p": "kPa"}
