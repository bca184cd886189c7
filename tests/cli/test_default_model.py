"""How the data are looked at before a model is chosen: cheaply, and without a word."""

import logging
import sys

import pytest
from jsonargparse import Namespace

from sobolev import TableData
from sobolev.cli.default_model import _is_large, _made, _reason, _silent, _training, follow_data


def table(path, rows):
    path.write_text("x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(rows)))
    options = Namespace(path=str(path), inputs=["x"], outputs=["y"])
    return Namespace(class_path="sobolev.TableData", init_args=options)


def test_a_large_table_is_not_made(tmp_path, monkeypatch):
    assert len(_training(_made(table(tmp_path / "small.csv", 50))).inputs) == 40
    monkeypatch.setattr(TableData, "make_splits", pytest.fail)
    large = table(tmp_path / "large.csv", 13_000)
    assert _training(_made(large)) is None
    monkeypatch.setattr(sys, "argv", ["sobolev", "fit"])
    model = Namespace(class_path="sobolev.Regressor")
    callbacks = [Namespace(class_path="sobolev.LeastSquaresReadout", init_args=Namespace(evidence=False))]
    follow_data(Namespace(model=model, data=large, trainer=Namespace(callbacks=callbacks)), model)
    assert callbacks[0].init_args.evidence


@pytest.mark.parametrize(("hidden", "extended"), [([64, 64], True), ([8], False)])
def test_a_training_that_was_cut_off_goes_on_as_it_began(tmp_path, monkeypatch, hidden, extended):
    """A checkpoint's network has the sizes of its data; one that somebody chose is not that of the default job."""
    monkeypatch.setattr(sys, "argv", ["sobolev", "fit"])

    def regressor(inputs, hidden):
        network = Namespace(class_path="sobolev.MLP", init_args=Namespace(inputs=inputs, outputs=1, hidden=hidden))
        return Namespace(class_path="sobolev.Regressor", init_args=Namespace(network=network))

    def resumed(rows):
        callbacks = [Namespace(class_path="sobolev.LeastSquaresReadout", init_args=Namespace(evidence=False))]
        data = table(tmp_path / f"{rows}.csv", rows)
        config = Namespace(ckpt_path="last.ckpt", model=regressor(2, hidden), data=data)
        config.trainer = Namespace(callbacks=callbacks)
        follow_data(config, regressor(1, [64, 64]))
        assert config.model == regressor(2, hidden)
        return callbacks[0].init_args.evidence

    assert resumed(13_000) is extended
    assert resumed(50) is False


def test_nothing_is_said_inside_and_all_of_it_after(caplog):
    logger = logging.getLogger("anybody's")
    with caplog.at_level(logging.INFO):
        with pytest.raises(ValueError, match="stop"), _silent():
            logger.warning("first")
            raise ValueError("stop")
        logger.info("second")
    assert [record.message for record in caplog.records] == ["second"]


def test_labels_of_derivatives_count(tmp_path):
    options = Namespace(function="x*y", samples=400, derivative_order=1)
    few = _training(_made(Namespace(class_path="sobolev.FunctionData", init_args=options)))
    assert _reason(few) == "400 rows of 2 inputs with derivatives"
    options.samples = 8000
    many = _training(_made(Namespace(class_path="sobolev.FunctionData", init_args=options)))
    assert _is_large(many) and not _is_large(few)
