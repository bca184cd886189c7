"""Where x is in a batch, and where its targets are; what forward takes, and which of its outputs count."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.autodiff.tensor_classes import ordinary
from sobolev.monitor.batch import Key, by_sample, described, entry, leaves, length, replaced
from sobolev.monitor.forward import Arguments, calls, floating, taken, takes_all
from sobolev.monitor.outputs import OutputError, literal, output_entry, output_paths
from sobolev.monitor.targets import NAMES, Target, Targets, targets_in

Keys = Key | Sequence[Key] | None

_OUTPUTS_AT = "`outputs_at(self, model, batch, x)`"
_INPUTS_OF = (
    "`inputs_of(self, batch)` for other inputs than entries of the batch (where points=... are given, their shape)"
)
_NOTHING = (
    "the batch is {}, which holds no tensor of floating point to differentiate by: override the method " + _INPUTS_OF
)
_NO_FORWARD = ("lightning.pytorch.core.module", "pytorch_lightning.core.module", "torch.nn.modules.module")
_ALL = "it takes as many tensors as a batch has, the last of which may be the targets, and no step called it on them"


@dataclass(frozen=True)
class Evaluation:
    """A module on batches of one form.

    Attributes:
        arguments: of forward.
        inputs: the paths of the entries that are differentiated; None: x alone is handed to forward.
        output: the paths of the outputs that count, in what forward returns.
        targets: where targets and derivative labels are, None where there is none.
        alone: forward takes nothing but the inputs.
        ordinary: these are tensors of no class of somebody's own.
    """

    arguments: Arguments
    inputs: tuple[str, ...] | None
    output: tuple[str, ...]
    targets: tuple[Target | None, ...]
    alone: bool
    ordinary: bool = True

    def x(self, batch: Any) -> Tensor:
        """The inputs, (batch, *in); several as the columns of one tensor, (batch, in)."""
        return joined([by_sample(batch, path) for path in self.inputs or ("",)])

    def y(self, model: Callable[..., Any], batch: Any, x: Tensor) -> Tensor:
        """The outputs at x, all else as in the batch, which has as many rows."""
        args, kwargs = self.arguments.of(self._with(batch, x))
        value = model(*args, **kwargs)
        return joined([output_entry(value, path) for path in self.output])

    def _with(self, batch: Any, x: Tensor) -> Any:
        if self.inputs is None:
            return x
        given = [(path, entry(batch, path), by_sample(batch, path).shape[1:]) for path in self.inputs]
        start = 0
        for path, old, shape in given:
            part = x if len(given) == 1 else x[:, start : start + shape.numel()].reshape(x.shape[0], *shape)
            part = part.flatten(0, 1) if old.dim() == len(shape) else part  # of graphs, to rows of nodes
            batch = replaced(batch, path, part)
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
        if not paths and arguments.whole:
            try:
                paths = _read(model, arguments, batch, output)
            except OutputError as error:
                raise (TypeError if output is None else ValueError)(f"DerivativeMonitor: {error}") from None
            except Exception as error:
                failure = failure or error
        if not paths or not set(paths) <= set(taken(arguments, batch)):
            continue
        try:
            return _tried(model, batch, arguments, paths, output, targets)
        except OutputError as error:  # of a name that was given, or because none was
            raise (TypeError if output is None else ValueError)(f"DerivativeMonitor: {error}") from None
        except Exception as error:  # whatever forward raises at arguments that are not its own
            failure = failure or error
    raise TypeError(_question(model, batch, failure)) from failure


def _read(model: nn.Module, arguments: Arguments, batch: Any, output: Keys) -> tuple[str, ...]:
    """The tensors of a whole batch on which the outputs depend, each with a row for each sample.

    Raises:
        ValueError: it cannot be told which of them are inputs.
        Exception: whatever else forward raises.
    """
    paths = [path for path in taken(arguments, batch) if entry(batch, path).is_floating_point()]
    with torch.enable_grad():
        alive = batch
        for path in paths:
            alive = replaced(alive, path, entry(batch, path).detach().clone().requires_grad_())
        args, kwargs = arguments.of(alive)
        y, rows = model(*args, **kwargs), length(batch)
        total = joined([output_entry(y, path) for path in output_paths(y, rows, output)]).sum()
        gradients = torch.autograd.grad(total, [entry(alive, path) for path in paths], allow_unused=True)
    found = [path for path, gradient in zip(paths, gradients, strict=True) if gradient is not None]
    others = [path for path in found if by_sample(batch, path).shape[:1] != (rows,) or path in NAMES]
    if others:
        named = ", ".join(map(literal, found))
        raise ValueError(f"it reads {named}, of which {others[0]} may be a target, or no input; say inputs=[{named}]")
    return tuple(found)


def evaluation_by_user(batch: Any, inputs: Keys, targets: Targets, x: Tensor | None = None) -> Evaluation:
    """Where the user's own method calls forward.

    Args:
        batch: one of them.
        inputs: which entries to differentiate by; None: the first of floating point.
        targets: as in `evaluation`.
        x: what the user's own method takes as inputs.

    Raises:
        ValueError: there is nothing to differentiate by.
    """
    first = next((path for path, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.is_floating_point()), None)
    if first is None and x is None:
        raise ValueError(f"DerivativeMonitor: {_NOTHING.format(described(batch))}")
    arguments = Arguments(lambda batch: ((batch,), {}))
    paths = _chosen(batch, first if inputs is None and x is None else inputs, x)
    behind = Arguments(lambda batch: (tuple(entry(batch, path) for path in paths or ()), {}))
    return Evaluation(arguments, paths, ("",), targets_in(batch, targets, behind), alone=False)


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
    first = by_sample(batch, inputs[0]) if inputs else x
    rows = len(first)  # pyright: ignore[reportArgumentType]
    tensors = [leaf for _, leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    return Evaluation(
        arguments,
        inputs,
        output_paths(y, rows, output),
        targets_in(batch, targets, arguments, inputs or ()),
        alone=inputs is None or len(tensors) == len(inputs),
        ordinary=ordinary(first) is first,  # pyright: ignore[reportArgumentType]
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
    if type(model).forward.__module__ in _NO_FORWARD:
        return (
            f"DerivativeMonitor: {type(model).__name__} has no forward of its own; the batch is {described(batch)}. "
            f"Override the method {_OUTPUTS_AT}, which calls the network, and {_INPUTS_OF}"
        )
    found = [path for path, leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    if not found:
        return f"DerivativeMonitor: {_NOTHING.format(described(batch))}; and {_OUTPUTS_AT}, if need be"
    signature = f"forward{inspect.signature(model.forward)}"
    reason = f" ({type(failure).__name__}: {str(failure).strip().splitlines()[0]})" if failure and str(failure) else ""
    names = ""
    if found[0]:
        names = (
            f" Name the entries: in a configuration `inputs: {found[0]}`, in Python "
            f"`DerivativeMonitor(inputs={literal(found[0])})`; several as a list."
        )
    return (
        f"DerivativeMonitor cannot tell by which entries of a batch to differentiate, or how {signature} takes "
        f"them{reason}; the batch is {described(batch)}.{names} Where forward takes them in another form, override the "
        f"method {_OUTPUTS_AT}, and {_INPUTS_OF}"
    )
