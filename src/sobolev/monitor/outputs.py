"""Which parts of what forward returns are differentiated."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from sobolev.monitor.batch import Key, described, entry, leaves


class OutputError(TypeError):
    """An output in which nothing, or too much, can be differentiated."""


def output_paths(y: Any, rows: int, output: Key | Sequence[Key] | None) -> tuple[str, ...]:
    """The paths of the outputs that count: those named, else the only one with a row for each sample.

    Of a distribution that is the mean; of a tensor a number names a column.
    """
    if output is not None:
        keys = output if isinstance(output, Sequence) and not isinstance(output, str) else [output]
        for key in keys:
            try:
                output_entry(y, key)
            except (LookupError, ValueError):
                raise OutputError(f"forward returns no {key!r}, but {described(y)}") from None
        return tuple(map(str, keys))
    if isinstance(y, Distribution) and y.mean.shape[:1] == (rows,):
        return ("mean",)
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
    if not tensors:
        raise OutputError(
            f"forward returns {described(y)}, in which there is no tensor of floating point; override the method "
            "`outputs_at(self, model, batch, x)`"
        )
    example = (found or list(tensors))[0]
    raise OutputError(
        f"forward returns {described(y)}; say which of these is meant. In a configuration `output: {example}`, in "
        f"Python `DerivativeMonitor(output={literal(example)})`; several as a list"
    )


def output_entry(y: Any, path: Key) -> Any:
    """What lies at a path of what forward returns, attributes and columns of a tensor included.

    Raises:
        LookupError: nothing does.
    """
    try:
        return entry(y, path)
    except LookupError:
        parent, _, last = str(path).rpartition(".")
        owner = entry(y, parent)
        if last.isdigit() and hasattr(type(owner), "__torch_function__") and owner.dim() > 1:
            column = range(owner.shape[1])[int(last)]
            return owner[:, column : column + 1]
        if isinstance(owner, Distribution) and isinstance(found := getattr(owner, last, None), Tensor):
            return found
        raise


def literal(path: str) -> str:
    """A path as one writes it in Python."""
    return path if path.isdigit() else repr(path)
