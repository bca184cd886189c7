"""How many points: arithmetic, the same everywhere."""

from types import SimpleNamespace

import pytest
from torch import nn

from sobolev.monitor.budget import advice, affordable, coefficients, is_worth_measuring, part_done, steps_between


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
    ("done", "before", "measured", "seconds", "worth"),
    [
        (0.52, 0.51, 500, 0.42, True),  # and 0.02 of what is paid once, of 10 s
        (0.52, 0.51, 500, 0.44, False),
        (0.51, 0.49, 500, 9.0, True),  # the eighth of sixteen
        (0.51, 0.5, 500, 9.0, False),
        (0.01, 0.0, 0, 9.0, True),
        (0.01, 0.005, 1, 9.0, False),
        (None, 0.0, 15, 9.0, True),
        (None, 0.0, 16, 9.0, False),
        (None, 0.0, 500, 0.42, True),
    ],
)
def test_a_validation_is_measured_where_all_takes_little_and_evenly(done, before, measured, seconds, worth):
    assert is_worth_measuring(done, before, measured, seconds, once=0.02, rest=10.0) == worth


@pytest.mark.parametrize(
    ("epochs", "steps", "batch", "batches", "done"),
    [(10, -1, 39, 40, 0.5), (10, -1, 19, 40, 0.45), (-1, 1000, 0, 40, 0.2), (100, 250, 39, 40, 0.8),
     (-1, -1, 0, 40, None), (10, -1, 5, float("inf"), 0.4), (None, 100, 0, 40, 1.0)],
)  # fmt: skip
def test_which_part_of_a_training_is_done(epochs, steps, batch, batches, done):
    trainer = SimpleNamespace(
        max_epochs=epochs, max_steps=steps, current_epoch=4, global_step=200, num_training_batches=batches,
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_idx=batch)),
    )  # fmt: skip
    assert part_done(trainer) == (None if done is None else pytest.approx(done))


def test_a_line_only_where_it_took_too_much():
    assert advice(2.0, 100.0, 50) is None and advice(0.9, 2.0, 50) is None
    assert "25%" in (advice(20.0, 100.0, 50) or "") and "now 50" in (advice(20.0, 100.0, 50) or "")
    assert "(estimate: never), fewer points" in (advice(20.0, 100.0, 50, estimated=True) or "")


@pytest.mark.parametrize(("inputs", "order", "numbers"), [(1, 2, 3), (1, 4, 5), (3, 0, 1), (3, 1, 4), (3, 2, 10)])
def test_coefficients_of_a_pass(inputs, order, numbers):
    assert coefficients(inputs, order) == numbers
