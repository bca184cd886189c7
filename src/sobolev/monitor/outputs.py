"""Which outputs of a module count, and which entries of a batch are their targets."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sobolev.monitor.batches import Key, children, described, entry, leaves
from sobolev.monitor.forward_calls import Arguments, taken

Keys = Key | Sequence[Key] | None
Targets = Key | Sequence[Key | None] | None

_TARGETS = ("y", "target", "targets", "label", "labels")


class OutputError(TypeError):
    """An output in which nothing, or too much, can be differentiated."""


def output_paths(y: Any, rows: int, output: Keys) -> tuple[str, ...]:
    """The paths of the outputs that count."""
    if output is not None:
        keys = output if isinstance(output, Sequence) and not isinstance(output, str) else [output]
        for key in keys:
            try:
                entry(y, key)
            except (LookupError, ValueError):
                raise OutputError(f"forward returns no {key!r}, but {described(y)}") from None
        return tuple(map(str, keys))
    if isinstance(y, Tensor):
        if y.shape[:1] != (rows,):
            raise ValueError(
                f"forward returns shape {tuple(y.shape)} for {rows} samples; the first axis must be the samples"
            )
        return ("",)
    tensors = {path: leaf for path, leaf in leaves(y) if isinstance(leaf, Tensor) and leaf.is_floating_point()}
    found = [path for path, leaf in tensors.items() if leaf.shape[:1] == (rows,)]
    if len(found) == 1:
        return (found[0],)
    example = (found or list(tensors) or ["y"])[0]
    raise OutputError(
        f"forward returns {described(y)}; say which of these is meant. In a configuration `output: {example}`, in "
        f"Python `DerivativeMonitor(output={literal(example)})`; several as a list"
    )


def target_paths(batch: Any, targets: Targets, arguments: Arguments) -> tuple[str | None, ...]:
    """The paths of targets and derivative labels: those named, else what stands behind the arguments."""
    if targets is not None:
        keys = targets if isinstance(targets, Sequence) and not isinstance(targets, str) else [targets]
        return tuple(None if key is None else str(key) for key in keys)
    names = children(batch)
    handed = set(taken(arguments, batch))
    by_name = [name for name in _TARGETS if name in names and name not in handed and not isinstance(names[name], str)]
    if by_name:
        return (by_name[0],)
    return tuple(list(names)[arguments.behind :]) if isinstance(batch, list | tuple) else ()


def literal(path: str) -> str:
    """A path as one writes it in Python."""
    return path if path.isdigit() else repr(path)
