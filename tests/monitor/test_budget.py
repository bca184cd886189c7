"""How many points: arithmetic, the same everywhere."""

from types import SimpleNamespace

import pytest
from torch import nn

from sobolev.monitor.budget import advice, affordable, coefficients, is_worth_measuring, steps_between


def test_more_training_affords_more_points_and_more_inputs_fewer():
    network = nn.Linear(99, 10)
    usual = affordable(network, passes=3, steps=400, rows=128)
    assert usual == round(0.005 * 400 * (3 * 128 + 15_000) / 3)
    assert affordable(network, 3, 800, 128) == pytest.approx(2 * usual, abs=1)
    assert affordable(network, 60, 800, 128) == pytest.approx(usual / 10, abs=1)
    assert affordable(network, 10**6, 400, 128) == 32
    assert affordable(network, 3, 1, 1) == affordable(network, 10, 1, 1) == 64


@pytest.mark.parametrize(
    ("epochs", "every", "check", "batches", "steps"),
    [(1, 1, 40, 40, 40), (1, 1, 10, 40, 10), (3, 1, 40, 40, 120), (1, 5, 40, 40, 200), (1, 1, 1e9, float("inf"), 1e9)],
)
def test_steps_between_two_measurements(epochs, every, check, batches, steps):
    trainer = SimpleNamespace(check_val_every_n_epoch=every, num_training_batches=batches, val_check_batch=check)
    assert steps_between(trainer, epochs) == steps


@pytest.mark.parametrize(
    ("batches", "measured", "seconds", "worth"),
    [(40, 500, 9.0, True), (39, 500, 9.0, False), (39, 500, 0.4, True), (39, 0, 9.0, True), (39, 1, 0.41, False)],
)
def test_short_epochs_are_measured_as_often_as_takes_little(batches, measured, seconds, worth):
    trainer = SimpleNamespace(
        check_val_every_n_epoch=1, num_training_batches=batches, val_check_batch=batches, max_epochs=1000,
        current_epoch=502,
    )  # fmt: skip
    assert is_worth_measuring(trainer, measured, seconds, elapsed=10.0) == worth
    trainer.current_epoch = 503  # 8 * 63: every 63rd of 1000
    assert is_worth_measuring(trainer, measured, seconds, elapsed=10.0)
    trainer.max_epochs = -1
    assert is_worth_measuring(trainer, measured, seconds, elapsed=10.0) == (worth or measured < 16)


def test_a_line_only_where_it_took_too_much():
    assert advice(2.0, 100.0, 50) is None and advice(0.9, 2.0, 50) is None
    assert "25%" in (advice(20.0, 100.0, 50) or "") and "now 50" in (advice(20.0, 100.0, 50) or "")
    assert "(estimate: never), fewer points" in (advice(20.0, 100.0, 50, estimated=True) or "")


@pytest.mark.parametrize(("inputs", "order", "numbers"), [(1, 2, 3), (1, 4, 5), (3, 0, 1), (3, 1, 4), (3, 2, 10)])
def test_coefficients_of_a_pass(inputs, order, numbers):
    assert coefficients(inputs, order) == numbers
