"""Where x is in a batch, and where its targets are; what forward takes, and which of its outputs count."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.monitor.batch import Key, children, described, entry, leaves, replaced
from sobolev.monitor.forward import Arguments, calls, floating, taken, takes_all

Keys = Key | Sequence[Key] | None
Targets = Key | Sequence[Key | None] | None

_TARGETS = ("y", "target", "targets", "label", "labels")
_ALL = "it takes as many tensors as a batch has, the last of which may be the targets, and no step called it on them"


@dataclass(frozen=True)
class Evaluation:
    """A module on batches of one form.

    Attributes:
        arguments: of forward.
        inputs: the paths of the entries that are differentiated; None: x alone is handed to forward.
        output: the paths of the outputs that count, in what forward returns.
        targets: the paths of targets and derivative labels, None where there is none.
        alone: forward takes nothing but the inputs.
    """

    arguments: Arguments
    inputs: tuple[str, ...] | None
    output: tuple[str, ...]
    targets: tuple[str | None, ...]
    alone: bool

    def x(self, batch: Any) -> Tensor:
        """The inputs, (batch, *in); several as the columns of one tensor, (batch, in)."""
        return joined([entry(batch, path) for path in self.inputs or ("",)])

    def y(self, model: Callable[..., Any], batch: Any, x: Tensor) -> Tensor:
        """The outputs at x, all else as in the batch, which has as many rows."""
        args, kwargs = self.arguments.of(self._with(batch, x))
        value = model(*args, **kwargs)
        return joined([entry(value, path) for path in self.output])

    def _with(self, batch: Any, x: Tensor) -> Any:
        if self.inputs is None:
            return x
        shapes = [entry(batch, path).shape[1:] for path in self.inputs]
        if len(shapes) == 1:
            return replaced(batch, self.inputs[0], x)
        start = 0
        for path, shape in zip(self.inputs, shapes, strict=True):
            columns = x[:, start : start + shape.numel()]
            batch = replaced(batch, path, columns.reshape(x.shape[0], *shape))
            start += shape.numel()
        return batch


def joined(parts: list[Any]) -> Tensor:
    """One tensor as it is, several as columns, (batch, columns)."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.reshape(part.shape[0], -1) for part in parts], dim=1)


def evaluation(
    model: nn.Module,
    batch: Any,
    inputs: Keys = None,
    output: Keys = None,
    targets: Targets = None,
    x: Tensor | None = None,
    observed: Arguments | None = None,
) -> Evaluation:
    """Find out how to evaluate a module on batches like this one, by trying.

    Args:
        model: in eval mode, outside of inference mode.
        batch: one of them.
        inputs: which entries to differentiate by; None: all of floating point that forward takes.
        output: which entries of what forward returns count; None: the only one with a row for each sample.
        targets: where targets and derivative labels are, order by order; None: behind the inputs, or `y`, `target`,
            `targets`, `label`, `labels`.
        x: what the user's own method takes as inputs.
        observed: how a step of the module called forward, if that was looked at.

    Raises:
        TypeError: nothing fits, or too much; the message has an example of what to write.
        ValueError: an entry is not there, or cannot be differentiated.
    """
    chosen = _chosen(batch, inputs, x)
    if x is not None and chosen is None:  # made from the batch, not part of it
        return _tried(model, batch, Arguments(lambda x: ((x,), {})), None, output, targets, x)
    if observed is None and chosen is None and takes_all(model, batch):
        raise TypeError(_question(model, batch, TypeError(_ALL)))
    failure = None
    for arguments in [observed] if observed is not None else calls(model, batch, chosen):
        paths = chosen or floating(arguments, batch)
        if not paths or not set(paths) <= set(taken(arguments, batch)):
            continue
        try:
            return _tried(model, batch, arguments, paths, output, targets)
        except OutputError as error:  # of a name that was given, or because none was
            raise (TypeError if output is None else ValueError)(f"DerivativeMonitor: {error}") from None
        except Exception as error:  # whatever forward raises at arguments that are not its own
            failure = failure or error
    raise TypeError(_question(model, batch, failure)) from failure


def evaluation_by_user(batch: Any, inputs: Keys, targets: Targets) -> Evaluation:
    """Where the user's own method calls forward: the inputs named, or the first entry; errors as in `evaluation`."""
    first = next((path for path, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.is_floating_point()), "")
    arguments = Arguments(lambda batch: ((batch,), {}))
    paths = _chosen(batch, first if inputs is None else inputs, None)
    behind = Arguments(lambda batch: (tuple(entry(batch, path) for path in paths or ()), {}))
    return Evaluation(arguments, paths, ("",), target_paths(batch, targets, behind), alone=False)


def _tried(
    model: nn.Module,
    batch: Any,
    arguments: Arguments,
    inputs: tuple[str, ...] | None,
    output: Keys,
    targets: Targets,
    x: Tensor | None = None,
) -> Evaluation:
    args, kwargs = arguments.of(batch if x is None else x)
    y = model(*args, **kwargs)
    rows = len(entry(batch, inputs[0]) if inputs else x)  # pyright: ignore[reportArgumentType]
    tensors = [leaf for _, leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    return Evaluation(
        arguments,
        inputs,
        output_paths(y, rows, output),
        target_paths(batch, targets, arguments),
        alone=inputs is None or len(tensors) == len(inputs),
    )


def _chosen(batch: Any, inputs: Keys, x: Tensor | None) -> tuple[str, ...] | None:
    if x is not None:
        return next(((path,) for path, leaf in leaves(batch) if leaf is x), None)
    if inputs is None:
        return None
    keys = inputs if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    return tuple(_path_of(batch, key) for key in keys)


def _path_of(batch: Any, key: Key) -> str:
    """The full path of one chosen input."""
    try:
        value = entry(batch, key)
    except (LookupError, ValueError):
        raise ValueError(f"DerivativeMonitor: the batch has no entry {key!r}; it is {described(batch)}") from None
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise ValueError(
            f"DerivativeMonitor cannot differentiate by {key!r}, which is no tensor of floating point; the batch is "
            f"{described(batch)}"
        )
    return next(path for path, leaf in leaves(batch) if leaf is value)


def _question(model: nn.Module, batch: Any, failure: Exception | None) -> str:
    """What cannot be guessed is asked for, with an example."""
    found = [path for path, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    example = (found or ["x"])[0]
    signature = f"forward{inspect.signature(model.forward)}"
    reason = f" ({type(failure).__name__}: {str(failure).strip().splitlines()[0]})" if failure and str(failure) else ""
    return (
        f"DerivativeMonitor cannot tell by which entries of a batch to differentiate, or how {signature} takes "
        f"them{reason}; the batch is {described(batch)}. Name the entries: in a configuration `inputs: {example}`, "
        f"in Python `DerivativeMonitor(inputs={literal(example)})`; several as a list. Where forward takes them in "
        "another form, override the method `outputs_at(self, model, batch, x)`, and `inputs_of(self, batch)` for "
        "other inputs"
    )


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
