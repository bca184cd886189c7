"""What a monitor draws and writes in TensorBoard, besides its scalars."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sobolev.callbacks.base import is_a

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_LOGGERS = ("lightning.pytorch.loggers.tensorboard", "pytorch_lightning.loggers.tensorboard")
_QUANTITIES = ("rmse", "relative_l2", "max", "estimated_rmse", "estimated_relative_l2")


def tensorboard(trainer: "Trainer") -> Any:
    """The TensorBoard logger of a trainer, on the process that writes, or None."""
    found = [logger for logger in trainer.loggers if is_a(logger, "TensorBoardLogger")]
    return found[0] if found and trainer.is_global_zero else None


def add_charts(trainer: "Trainer", orders: int, tag: Callable[[str, str], str]) -> None:
    """Correct digits of all orders, which are easiest to read, then one chart for each order with its quantities."""
    logger = tensorboard(trainer)
    if logger is not None:
        charts = {
            f"order {k}": ["Multiline", [tag("val", f"d{k}_{quantity}") for quantity in _QUANTITIES]]
            for k in range(orders)
        }
        digits = ["Multiline", [tag("digits", f"d{k}") for k in range(orders)]]
        logger.experiment.add_custom_scalars({"digits": {"correct digits": digits}, "derivatives": charts})


def add_scalars(logger: Any, values: dict[str, float], step: int | None) -> None:
    """Values of one step as one event, where `log_metrics` writes one for each, in five times the time.

    Args:
        logger: TensorBoard's, on any process.
        values: by their tags.
        step: of the training.
    """
    writer = getattr(logger.experiment, "file_writer", None)
    if writer is None or type(writer).__name__ != "FileWriter" or not _is_lightnings_own(logger):
        logger.log_metrics(values, step=step)
        return
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    entries = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    writer.add_summary(Summary(value=entries), step)


def _is_lightnings_own(logger: Any) -> bool:
    """Whether its `log_metrics` does nothing but write each value by its name."""
    return type(logger).__module__ in _LOGGERS and "log_metrics" not in vars(logger) and not logger._prefix


def add_text(trainer: "Trainer", tag: str, text: str) -> None:
    """A text in Markdown."""
    logger = tensorboard(trainer)
    if logger is not None:
        logger.experiment.add_text(tag, text, global_step=trainer.global_step)


def add_image(trainer: "Trainer", tag: str, pixels: Callable[[], Any]) -> None:
    """Pixels (height, width, channels), which are asked for only where they are written."""
    logger = tensorboard(trainer)
    if logger is not None:
        logger.experiment.add_image(tag, pixels(), global_step=trainer.global_step, dataformats="HWC")
