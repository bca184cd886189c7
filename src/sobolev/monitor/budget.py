"""What a monitor costs, and how many points it can measure for a small share of the time of the training."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from torch import nn

SHARE = 0.05
"""Of the training's time: what is reported as too much."""

_FEW_SECONDS = 5.0

_IN_ALL = 0.045
"""Of the time of everything else so far: what measurements take, and what is paid once, where there is a choice."""

ALWAYS_STEPS = 40
"""Steps between two validations from which on each is measured."""

_ALWAYS = 16
"""So many measurements, evenly over all of the training, or at the beginning where nobody knows its end."""

_AIM = 0.005
"""Of the training's time, by the arithmetic alone, which is a third of what the derivatives take; the audits, the log
and the figure take theirs."""

_FEWEST, _DEAR = 64, 2000
"""So many points at least, or half of them where these take more passes than that: Hessians by many inputs."""

_STEP = 15e6
"""Weights times rows: a forward pass that takes as long as what a training step costs whatever the size of the batch,
about half a millisecond."""


_LAST_LOOK = 5e9
"""Weights times passes times points of the measurement at the end: about half a second."""

LONGEST_LAST_LOOK = 2.0
"""Seconds after which it ends all the same: weights that are used many times, as those of convolutions, cost more."""


def affordable(model: nn.Module, passes: int, steps: int, rows: int) -> int:
    """A number of points, the same on every machine.

    A training step costs three forward passes of its rows and a fixed overhead.

    Args:
        model: that is trained.
        passes: what the derivatives at a point cost, in forward passes.
        steps: of the training between two measurements.
        rows: of the training in each of these steps.
    """
    weights = max(1, sum(parameter.numel() for parameter in model.parameters()))
    fewest = _FEWEST if _FEWEST * passes <= _DEAR else _FEWEST // 2
    return max(fewest, round(_AIM * steps * (3 * rows + _STEP / weights) / passes))


def affordable_in_the_end(model: nn.Module, passes: int) -> int:
    """How many points to measure, once, when the training is over, the same on every machine; as in `affordable`."""
    weights = max(1, sum(parameter.numel() for parameter in model.parameters()))
    return max(_FEWEST, round(_LAST_LOOK / (weights * passes)))


def is_worth_measuring(
    done: float | None, before: float, measured: int, seconds: float, once: float, rest: float
) -> bool:
    """Whether a validation of a training is measured: epochs may be shorter than what a measurement may take.

    What is paid once, the audit, the first estimate and all that is slow at first, comes about once more at the end,
    and is spread over the training.

    Args:
        done: which part of the training is, see `part_done`.
        before: the same at the last measurement.
        measured: validations so far.
        seconds: these took, but for the first.
        once: seconds that are paid once, so far and soon.
        rest: seconds of everything else since the training began.
    """
    if not measured or seconds + (once if done is None else 2 * once * done) <= _IN_ALL * rest:
        return True
    return measured < _ALWAYS if done is None else int(_ALWAYS * done) > int(_ALWAYS * before)


def part_done(trainer: Any) -> float | None:
    """Which part of a training is done, from 0 to 1; None where nobody knows its end."""
    parts = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        of_epoch = (trainer.fit_loop.epoch_loop.batch_idx + 1) / max(1, trainer.num_training_batches)
        parts.append((trainer.current_epoch + min(of_epoch, 1.0)) / trainer.max_epochs)
    if trainer.max_steps > 0:
        parts.append(trainer.global_step / trainer.max_steps)
    return min(max(parts), 1.0) if parts else None


def steps_between(trainer: Any, epochs: int) -> int:
    """Training steps between two validations, or in so many epochs where that is more."""
    epochs = max(epochs, trainer.check_val_every_n_epoch or 1)
    batches = trainer.num_training_batches
    between = min(trainer.val_check_batch, batches)
    finite = between if epochs == 1 else batches * epochs
    return int(finite) if finite != float("inf") else 1000


def coefficients(inputs: int, order: int) -> int:
    """How many numbers a pass for derivatives up to `order` computes in place of each number of a plain one."""
    if inputs == 1:
        return order + 1
    return sum((1, inputs, inputs * (inputs + 1) // 2, *(inputs**k for k in range(3, order + 1)))[: order + 1])


def advice(seconds: float, total: float, points: int, *, estimated: bool = False) -> str | None:
    """One line where the monitor took more than its share of a run, else None; nobody minds a few seconds."""
    rest = total - seconds
    if seconds < _FEW_SECONDS or seconds <= SHARE * rest:
        return None
    ways = f"Fewer points (max_points, now {points}) or epochs (every_n_epochs)"
    if estimated:
        ways = f"No estimates of errors (estimate: never), f{ways[1:]}"
    return (
        f"DerivativeMonitor took {seconds:.1f} s, {seconds / rest:.0%} of the time of everything else. {ways} take less"
    )


class Stopwatch:
    """Adds up the seconds inside it; inside another `with` of the same one they do not count twice.

    Args:
        clock: says the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.seconds, self._depth, self.clock = 0.0, 0, clock

    def __enter__(self) -> None:
        if not self._depth:
            self._start = self.clock()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.seconds += self.clock() - self._start
