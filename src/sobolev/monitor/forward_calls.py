"""The ways in which a module's forward may take a batch."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from sobolev.monitor.batches import children, entry, leaves

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
