"""Callbacks and schedules that wait for a value of the monitor."""

from typing import Any

from sobolev.callbacks.base import callbacks_of


def is_waited_for(trainer: Any, prefix: str) -> bool:
    """Whether a callback, such as EarlyStopping, or a schedule waits for a value whose name begins so."""
    names = [getattr(callback, "monitor", None) for callback in callbacks_of(trainer)]
    names += [schedule.monitor for schedule in trainer.lr_scheduler_configs if schedule.reduce_on_plateau]
    return any(str(name).startswith(prefix) for name in names)


def refuse_early_questions(trainer: Any, prefix: str) -> None:
    """Refuse what asks for a value at the end of an epoch that has no validation, which would end the training there.

    Args:
        trainer: about to fit.
        prefix: what the names of the monitor's values begin with.

    Raises:
        ValueError: with what to set.
    """
    every = trainer.check_val_every_n_epoch
    if not every or every == 1:
        return
    why = f"but only every {every} epochs is there a validation (check_val_every_n_epoch)"
    for schedule in trainer.lr_scheduler_configs:
        early = schedule.reduce_on_plateau and schedule.strict and schedule.interval == "epoch"
        if early and schedule.frequency % every and str(schedule.monitor).startswith(prefix):
            raise ValueError(
                f"{type(schedule.scheduler).__name__} asks for {schedule.monitor} every {schedule.frequency} epoch(s), "
                f'{why}: set "frequency": {every} beside "monitor" in what configure_optimizers returns'
            )
    for callback in callbacks_of(trainer):
        early = getattr(callback, "_check_on_train_epoch_end", False) and getattr(callback, "strict", False)
        if early and str(callback.monitor).startswith(prefix):
            raise ValueError(
                f"{type(callback).__name__} asks for {callback.monitor} at the end of each epoch, {why}: leave "
                "check_on_train_epoch_end out"
            )
