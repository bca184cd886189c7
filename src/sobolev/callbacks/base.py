"""Lightning under both its names: `lightning.pytorch` and `pytorch_lightning` are the same code, twice.

A trainer of one does not know the classes of the other. Our callbacks belong to whichever is imported, or to both.
"""

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

_LIGHTNINGS = ("lightning.pytorch.", "pytorch_lightning.")
_AT_EACH_STEP = (
    "on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start",
)  # fmt: skip

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer
else:
    _LOADED = [sys.modules[name] for name in ("lightning.pytorch", "pytorch_lightning") if name in sys.modules]
    if not _LOADED:
        import lightning.pytorch

        _LOADED = [lightning.pytorch]

    class Callback(*(package.Callback for package in _LOADED)):
        """The base of our callbacks."""


def pass_over(callback: Callback, trainer: "Trainer", *done: str) -> None:
    """Let Lightning pass over those hooks of a callback of ours that do nothing, to be called in `setup`.

    It takes 3 µs for each hook of each callback, six times a training step: all in all 1.5 % of the time of a small
    network. What is not callable it leaves out.

    Args:
        callback: one of the trainer's; in another callback's hands it stays as it is.
        trainer: that calls it.
        *done: hooks that have done all they had to; where a subclass has its own they go on.
    """
    own = vars(callback)
    for name in () if done else _AT_EACH_STEP:  # as an earlier trainer left it
        if own.get(name, "") is None:
            del own[name]
    if callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        idle, homes = done or _AT_EACH_STEP, ("sobolev.",) if done else _LIGHTNINGS
        own.update({name: None for name in idle if _home(callback, name).startswith(homes)})


def needs_trainer(callback: Callback) -> None:
    """Refuse calls of the callback's hooks that no `setup` came before, as in loops of Fabric; `has_trainer` ends it.

    To be called when it is made.
    """
    refusal = partial(_refuse, type(callback).__name__)
    vars(callback).update(dict.fromkeys(_hooks_of(callback), refusal))


def _refuse(name: str, *_: Any, **__: Any) -> None:
    raise TypeError(
        f"{name} is a callback of Lightning's Trainer, which calls its `setup` first. In a loop of one's own, as with "
        "Fabric, sobolev.metrics.DerivativeError sums the errors of sobolev.jacobian and sobolev.hessian, and "
        "sobolev.audit says whether they can be trusted"
    )


def has_trainer(callback: Callback) -> None:
    """In `setup`: the hooks are its own."""
    for name in _hooks_of(callback):
        if isinstance(vars(callback).get(name), partial):
            del vars(callback)[name]


def _hooks_of(callback: Callback) -> list[str]:
    return [name for name in dir(type(callback)) if name.startswith("on_") and _home(callback, name)[:8] == "sobolev."]


def _home(callback: Callback, hook: str) -> str:
    return getattr(type(callback), hook).__module__


def is_a(thing: Any, name: str) -> bool:
    """Whether a class of that name, from either package, is among the classes of a thing."""
    return any(kind.__name__ == name for kind in type(thing).__mro__)


def callbacks_of(trainer: "Trainer") -> list[Any]:
    """All of a trainer's."""
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
