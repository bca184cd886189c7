"""What all processes of a training tell each other, and the one that started them."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakValueDictionary

from torch import distributed as dist

from sobolev.callbacks.base import is_a

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_WAITING: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Callbacks of this process by their ids: what they are in the processes it starts comes back to them."""


def gathered(value: Any) -> list[Any]:
    """What every process has to say, by rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def awaits_results(callback: Any) -> str:
    """An id under which a callback gets what `send_home` sends."""
    name = uuid4().hex
    _WAITING[name] = callback
    return name


def send_home(trainer: "Trainer", name: str, results: dict[str, Any]) -> None:
    """Let the process that started this one (`ddp_spawn`, `ddp_fork`, `ddp_notebook`) know what a callback found.

    Lightning hands it the state of the trainer, weights and logged metrics, but no callbacks.

    Args:
        trainer: at the end of its work.
        name: as `awaits_results` gave it.
        results: attributes of the callback, in plain types.
    """
    if is_a(getattr(trainer.strategy, "launcher", None), "_MultiProcessingLauncher"):
        vars(trainer.state).setdefault("_sobolev", {})[name] = _Parcel(name, results)


class _Parcel:
    """Results on their way; they arrive where they are unpickled."""

    def __init__(self, name: str, results: dict[str, Any]) -> None:
        self._arguments = name, results

    def __deepcopy__(self, _: Any) -> "_Parcel":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, self._arguments


def _arrive(name: str, results: dict[str, Any]) -> None:
    if (callback := _WAITING.get(name)) is not None:
        vars(callback).update(results)
