"""Files of ONNX: written by PyTorch's exporter, run by onnxruntime."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

_PACKAGES = "an .onnx file needs onnx, onnxscript and onnxruntime: pip install 'sobolev[export]'"


def write(program: ExportedProgram, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """One file, the weights in it.

    Raises:
        ValueError: the packages are missing.
    """
    _packages()
    with _quiet():
        found: Any = torch.onnx.export(
            program, (), dynamo=True, verbose=False, input_names=list(inputs), output_names=list(outputs),
            custom_translation_table={torch.ops.aten.scalar_tensor.default: _number},
        )  # fmt: skip
    found.save(path, external_data=False)


def describe(path: Path, metadata: dict[str, str]) -> None:
    """Write the metadata into the file."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def runner(path: Path, threads: int = 0) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """What runs the file, on the CPU."""
    runtime = _packages()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: x.contiguous().numpy() for name, x in zip(names, inputs, strict=True)}
        return [torch.from_numpy(y) for y in session.run(None, given)]

    return run


def _number(s: Any, dtype: int = 1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:  # noqa: ARG001
    """A constant with all its digits: the exporter's own goes through float32."""
    import onnx
    from onnxscript import opset18 as op

    if not isinstance(s, int | float):
        return op.Cast(s, to=dtype)
    return op.Constant(value=onnx.helper.make_tensor("number", dtype, [], [s]))


def _packages() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{_PACKAGES} ({error})") from None
    return onnxruntime


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter tells of its steps."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
