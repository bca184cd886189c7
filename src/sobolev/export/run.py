"""`export`: record, write, run, compare; only then the file gets its name."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import get_args
from uuid import uuid4

import torch
from torch import Tensor
from torch.export import ExportedProgram

from sobolev.autodiff.torch_export import pushed_only
from sobolev.errors import UntrustworthyDerivativeError
from sobolev.export import onnx_file, torch_file
from sobolev.export.check import BATCHES, Errors, Run, check, sizes
from sobolev.export.graph import Derivatives, differentiate, frozen, recorded
from sobolev.export.operations import caller_of, complex_numbers_in, numbers_of, operation_in
from sobolev.export.sample_points import Inputs, points_for
from sobolev.export.signature import Names, Operator, Signature, signature

_SUFFIXES = (".onnx", ".pt2")
_MOST_NUMBERS = 300_000_000
"""Intermediate numbers of the check, derivatives included: a batch of a large network is smaller than the largest."""


@dataclass(frozen=True)
class Export:
    """A file that was checked. `str()` of it is a table.

    Attributes:
        path: where it is.
        inputs: the names of its inputs.
        errors: of each output, by its name: the largest difference from nested reverse mode in float64, relative to
            the output's largest size.
        batches: how many rows it was run on.
        metadata: what is written into the file, names and JSON.

    Examples:
        >>> import sobolev
        >>> file = sobolev.export(sobolev.MLP(1, 1, [8]), "network.pt2", inputs={"x": (-1, 1)})
        >>> file.inputs, max(file.errors.values()) < 1e-4
        (('x',), True)
    """

    path: Path
    inputs: tuple[str, ...]
    errors: dict[str, float]
    batches: tuple[int, ...]
    metadata: dict[str, str]

    def __str__(self) -> str:
        width = max(map(len, self.errors))
        batches = ", ".join(f"{rows:,}" for rows in self.batches)
        head = f"{self.path}: {', '.join(self.inputs)} -> {len(self.errors)} outputs"
        lines = [f"  {name:<{width}}  {error:.1e}" for name, error in self.errors.items()]
        return "\n".join([head, f"relative errors against reverse mode in float64, batches of {batches}:", *lines])


def export(
    network: Callable[[Tensor], Tensor],
    path: str | PathLike[str],
    operator: Operator = "derivatives",
    order: int = 2,
    *,
    inputs: Inputs = None,
    names: Names | None = None,
    units: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
    compiled: bool = False,
) -> Export:
    """Write a network and its derivatives to one file that runs without sobolev and, as ONNX, without torch.

    The file takes batches of any size. Before it gets its name it is run on batches of 1, 2, 7 and 4,096 rows and
    compared with nested reverse mode in float64. The network, a module or any function of a tensor, maps
    (batch, *in) to (batch, *out); it is left as it was.

    Inputs and outputs are called as `predict` calls its columns, `y`, `dy/dx`, `d2y/dxdz`, each (batch, 1). A network
    whose inputs have names of their own gets an input for each, (batch, 1); else there is one, `x`, (batch, *in).
    Samples that are no row of numbers, or with more than 16 inputs or outputs without names, stay in one piece:
    `y` (batch, *out), `dy/dx` (batch, *out, *in), `d2y/dx2` (batch, *out, *in, *in).

    Args:
        network: what to write.
        path: `.onnx`, or `.pt2` for torch.export.
        operator: which derivatives, see the functions of `sobolev` of that name; `"derivatives"` of one input.
        order: the highest order of `"derivatives"`.
        inputs: points (rows, *in), as of the training data; or a range for each input by its name,
            `{"spot": (50, 150)}`; or the shape of one sample; None: what the network standardises by, or the inputs of
            its first layer.
        names: names of the outputs in a row, or of outputs and derivatives by what they would be called:
            `{"y": "price", "dy/dspot": "delta"}`.
        units: of inputs and outputs by their names, for the metadata.
        dtype: torch.float32, or torch.float64 where nine digits are worth it.
        compiled: a `.pt2` by AOTInductor, for the processor of this machine; it needs a C++ compiler.

    Returns:
        Where the file is, and how large its errors are.

    Raises:
        ValueError: a suffix, operator, name or input that makes no sense; an operation that cannot be exported, with
            the module that calls it; missing packages.
        UntrustworthyDerivativeError: the file was wrong or did not run on all batch sizes, and is deleted.

    Examples:
        >>> import sobolev
        >>> file = sobolev.export(sobolev.MLP(1, 1, [8]), "network.pt2", order=2, inputs={"x": (-1, 1)})
        >>> list(file.errors)
        ['y', 'dy/dx', 'd2y/dx2']
    """
    path = _checked(Path(path), operator, order, dtype, compiled)
    x, names_, truth = _truth(network, operator, order, inputs, names, dtype)
    unfinished = path.with_name(f".{path.stem}-{uuid4().hex[:8]}{path.suffix}")
    try:
        with frozen(network, dtype):
            module = Derivatives(network, operator, order, names_)
            errors = _first_that_can(module, unfinished, x, truth, compiled)
        metadata = _metadata(module, x, errors, units or {})
        (onnx_file if path.suffix == ".onnx" else torch_file).describe(unfinished, metadata)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return Export(path, names_.inputs, errors, tuple(sizes(len(x))), metadata)


def _checked(path: Path, operator: str, order: int, dtype: torch.dtype, compiled: bool) -> Path:
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"path is {str(path)!r}; a file of derivatives ends in .onnx or .pt2")
    if operator not in get_args(Operator):
        raise ValueError(f"operator is {operator!r}; choose {', '.join(get_args(Operator))}")
    if type(order) is not int or order < 1:
        raise ValueError(f"order is {order!r}; it is a whole number, 1 or more")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype is {dtype}; choose torch.float32 or torch.float64")
    if compiled and path.suffix != ".pt2":
        raise ValueError(f"compiled goes with .pt2, not with {path.name}: AOTInductor writes no other file")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path.parent} is no folder; make it first")
    return path


def _truth(
    network: Callable[[Tensor], Tensor],
    operator: Operator,
    order: int,
    inputs: Inputs,
    names: Names | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Signature, tuple[Tensor, ...]]:
    """The points in the file's precision, the names, and what the outputs are there, by reverse mode in float64."""
    given = list(inputs) if isinstance(inputs, Mapping) else None
    with frozen(network, torch.float64):
        x = points_for(network, inputs, BATCHES[-1]).to(dtype).double()
        y = _values(network, x[:2])
        found = signature(operator, order, x.shape[1:], y.shape[1:].numel(), given, names)
        if operator == "derivatives" and x.shape[1:].numel() != 1:
            raise ValueError(
                f"operator 'derivatives' is of one input, and each sample has {x.shape[1:].numel()}: choose jacobian, "
                "hessian, hessian_diagonal or laplacian"
            )
        x = x[: _rows(network, x, 1 if operator == "derivatives" else 1 + x.shape[1:].numel())]
        truth = found.pick(_second_opinion(network, operator, order, x))
    return x.to(dtype), found, tuple(t.detach() for t in truth)


def _second_opinion(
    network: Callable[[Tensor], Tensor], operator: Operator, order: int, x: Tensor
) -> tuple[Tensor, ...]:
    """By reverse mode; where an operation has no second derivative there, by Taylor mode."""
    try:
        return differentiate(network, operator, order, x, "reverse")
    except UntrustworthyDerivativeError:
        return differentiate(network, operator, order, x, "auto")


def _values(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            y = network(x)
    except Exception as error:
        raise ValueError(
            f"the network does not take points of shape {tuple(x.shape)}: {error}. Say in inputs what goes into it"
        ) from error
    if not isinstance(y, Tensor) or not y.is_floating_point() or y.shape[:1] != x.shape[:1]:
        shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"the network makes {shape} of {tuple(x.shape)}; it must return one tensor (batch, *out)")
    return y


def _rows(network: Callable[[Tensor], Tensor], x: Tensor, derivatives: int) -> int:
    """As many as the check can hold."""
    each = numbers_of(network, x[:1]) * derivatives
    return max(BATCHES[-2], min(BATCHES[-1], _MOST_NUMBERS // max(each, 1)))


def _first_that_can(
    module: Derivatives, path: Path, x: Tensor, truth: tuple[Tensor, ...], compiled: bool
) -> dict[str, float]:
    """With passes backwards, which take less time, or else without: their operations may be unknown."""
    try:
        return _written(module, path, x, truth, compiled)
    except (ValueError, UntrustworthyDerivativeError):
        with suppress(ValueError, UntrustworthyDerivativeError), pushed_only():
            return _written(module, path, x, truth, compiled)
        raise


def _written(module: Derivatives, path: Path, x: Tensor, truth: tuple[Tensor, ...], compiled: bool) -> dict[str, float]:
    """The errors of each output of the file."""
    names, program = module.names, recorded(module, x)
    try:
        run = _file(program, path, module, x, compiled)
        worst = check(run, names, x, Errors(names, x.double(), truth), lambda x: module(*names.split(x)))
    except UntrustworthyDerivativeError as error:
        raise UntrustworthyDerivativeError(f"no file was written: {error}") from error.__cause__
    return dict(zip((output.name for output in names.outputs), worst, strict=True))


def _file(program: ExportedProgram, path: Path, module: Derivatives, x: Tensor, compiled: bool) -> Run:
    """Write the file, and give what runs it."""
    try:
        if path.suffix == ".onnx":
            onnx_file.write(program, path, module.names.inputs, [output.name for output in module.names.outputs])
            return onnx_file.runner(path)
        torch_file.write(program, path, compiled)
        return torch_file.runner(path, compiled)
    except Exception as error:  # of an exporter, a compiler or a runtime
        operation = operation_in(str(error))
        if operation is None:
            raise
        if path.suffix == ".onnx" and (maker := complex_numbers_in(module.network, x[:2])) is not None:
            raise ValueError(f".onnx knows hardly any operation of complex numbers ({maker}): write a .pt2") from error
        where = caller_of(operation, module.network, x[:2])
        raise ValueError(f"{path.suffix} has no {operation} of {x.dtype}{where}") from error


def _metadata(module: Derivatives, x: Tensor, errors: dict[str, float], units: Mapping[str, str]) -> dict[str, str]:
    """What the file says about itself."""
    from sobolev import __version__

    names = module.names
    each = x.reshape(len(x), len(names.columns), -1)
    ends = each.amin((0, 2)), each.amax((0, 2))
    columns = [
        {"name": name, "unit": units.get(name, ""), "minimum": low, "maximum": high}
        for name, low, high in zip(names.columns, *(end.tolist() for end in ends), strict=True)
    ]
    return {
        "sobolev.version": __version__,
        "sobolev.operator": module.operator,
        "sobolev.order": str(max(output.order for output in names.outputs)),
        "sobolev.dtype": str(x.dtype).removeprefix("torch."),
        "sobolev.inputs": json.dumps(columns),
        "sobolev.outputs": json.dumps([output.name for output in names.outputs]),
        "sobolev.units": json.dumps(dict(units)),
        "sobolev.errors": json.dumps(errors),
        "sobolev.batches": json.dumps(sizes(len(x))),
    }
