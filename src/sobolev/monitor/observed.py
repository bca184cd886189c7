"""What a module's own steps hand to its forward, where its signature and the batch do not tell."""

from typing import Any

import torch
from torch import Tensor, nn

from sobolev.monitor.batches import entry, leaves
from sobolev.monitor.forward_calls import Arguments, takes_all


class Observer:
    """Watches the first call of forward within a step on a batch of which the last tensor may be the targets."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._call: tuple[tuple, dict[str, Any]] | None = None

    def begin(self, model: nn.Module, batch: Any) -> None:
        """Before a step."""
        self.end()
        self._call = None
        if takes_all(model, batch):
            self._handles.append(model.register_forward_pre_hook(self._note, with_kwargs=True))

    def end(self) -> None:
        """After it; the module is as it was."""
        while self._handles:
            self._handles.pop().remove()

    def arguments(self, batch: Any) -> Arguments | None:
        """How the step on this batch called forward; None where it did not, or with tensors it had made itself."""
        self.end()
        if self._call is None:
            return None
        (args, kwargs), self._call = self._call, None
        sources: dict[Any, tuple[str | None, Any]] = {}
        for key, value in [*enumerate(args), *kwargs.items()]:
            source = _source(value, batch)
            if source is None:
                return None
            sources[key] = source

        def of(batch: Any) -> tuple[tuple, dict[str, Any]]:
            found = {key: value if path is None else entry(batch, path) for key, (path, value) in sources.items()}
            return tuple(found[k] for k in range(len(args))), {name: found[name] for name in kwargs}

        places = [int(path) for path, _ in sources.values() if path is not None]
        return Arguments(of, behind=max(places, default=-1) + 1)

    def _note(self, _: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if self._call is None:
            self._call = args, kwargs


def _source(value: Any, batch: Any) -> tuple[str | None, Any] | None:
    """The path of an argument in the batch, or the argument itself, if it is the same for all samples."""
    if not isinstance(value, Tensor):
        return None, value
    for path, leaf in leaves(batch):
        if leaf is value or (leaf.shape == value.shape and leaf.dtype == value.dtype and torch.equal(leaf, value)):
            return path, None
    return (None, value.detach().clone()) if value.numel() == 1 else None
