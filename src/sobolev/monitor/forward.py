"""The ways in which a module's forward may take a batch: by its signature, or as its own step was seen to call it."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sobolev.monitor.batch import children, entry, leaves

_WHOLE = ("batch", "data", "sample")
"""A forward whose only argument is named so takes the whole batch."""


class Arguments(NamedTuple):
    """One way to call forward.

    Attributes:
        of: from a batch to positional and named arguments.
        behind: the position in a sequence of what comes after the arguments.
        whole: the targets, too, may be among them.
    """

    of: Callable[[Any], tuple[tuple, dict[str, Any]]]
    behind: int = 1
    whole: bool = False


def calls(model: nn.Module, batch: Any, chosen: tuple[str, ...] | None) -> Iterator[Arguments]:
    """Ways to call forward on a batch, the likeliest first."""
    required, accepted, rest = _parameters(model)
    names = children(batch)
    sequence = isinstance(batch, list | tuple)
    if required and names and set(required) <= set(names):
        wanted = [name for name in accepted if name in names]
        yield Arguments(lambda batch: ((), {name: entry(batch, name) for name in wanted}))
    if isinstance(batch, Tensor) or (len(required) == 1 and required[0] in _WHOLE):
        yield Arguments(lambda batch: ((batch,), {}), whole=True)
    if rest and isinstance(batch, Mapping):
        yield Arguments(lambda batch: ((), dict(batch)), whole=True)
    if sequence and names and children(next(iter(names.values()))):
        for call in calls(model, batch[0], _inside(chosen)):
            yield Arguments(lambda batch, call=call: call.of(batch[0]))  # the targets are behind
    if sequence and len(batch) >= max(1, len(required)):
        count = max(1, len(required))
        yield Arguments(lambda batch: (tuple(batch[:count]), {}), behind=count)
    paths = chosen or _only_one(batch)
    if names and paths:
        yield Arguments(lambda batch: (tuple(entry(batch, path) for path in paths), {}), behind=len(paths))
    if names:
        yield Arguments(lambda batch: ((batch,), {}), whole=True)


def takes_all(model: nn.Module, batch: Any) -> bool:
    """Whether forward requires as many arguments as a sequence has tensors, the last of which may be its targets."""
    if not isinstance(batch, list | tuple) or len(batch) < 2 or hasattr(batch, "_fields"):
        return False
    floats = (isinstance(item, Tensor) and item.is_floating_point() for item in batch)
    return all(floats) and len(_parameters(model)[0]) == len(batch)


def _parameters(model: nn.Module) -> tuple[list[str], list[str], bool]:
    """The names forward requires and accepts, and whether it takes any others."""
    parameters = inspect.signature(model.forward).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p.name for p in named if p.default is p.empty]
    return required, [p.name for p in named], any(p.kind is p.VAR_KEYWORD for p in parameters)


def _inside(chosen: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if chosen is None else tuple(path.partition(".")[2] for path in chosen)


def _only_one(batch: Any) -> tuple[str, ...] | None:
    found = [path for path, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return tuple(found) if len(found) == 1 else None


def taken(arguments: Arguments, batch: Any) -> list[str]:
    """The paths of the tensors that go to forward."""
    try:
        handed = {id(leaf) for _, leaf in leaves(arguments.of(batch)) if isinstance(leaf, Tensor)}
    except (LookupError, TypeError):
        return []
    first = {id(leaf): path for path, leaf in reversed(list(leaves(batch)))}
    return [path for path, leaf in leaves(batch) if id(leaf) in handed and first[id(leaf)] == path]


def floating(arguments: Arguments, batch: Any) -> tuple[str, ...]:
    """The inputs nobody has named; where targets may be among the arguments, they cannot be told apart."""
    tensors = [(path, entry(batch, path)) for path in taken(arguments, batch)]
    found = [path for path, tensor in tensors if tensor.is_floating_point() and tensor.dim()]
    return () if arguments.whole and len(found) > 1 else tuple(found)


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
