"""Which module and operation made what: every intermediate tensor of one forward, in order."""

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from sobolev.audit.modules import label

_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


ESCAPES = ("item", "tolist", "numpy", "__float__", "__array__", "__int__", "__bool__")
"""Calls that take numbers out of torch, where no gradient follows."""


@dataclass(frozen=True)
class Step:
    """One floating-point tensor that the forward made, or, empty, numbers that it took out of torch.

    Attributes:
        where: module and, outside torch's own layers, the operation and the line of the forward.
        operation: name of the torch function, or of the module's class where a module returned the tensor.
        inputs: the tensors the operation was given, with the module's weights.
        output: the tensor.
        value: a copy of it, with its graph: the forward may write to the tensor later.
        recorded: whether autograd was on; it is off within no_grad and within a custom function's forward.
    """

    where: str
    operation: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    value: Tensor
    recorded: bool


class _Recorder(TorchFunctionMode):
    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._names = names
        self._inside: list[tuple[nn.Module, tuple]] = []

    def __torch_function__(self, func: Callable, types: Iterable, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", str(func))
        if name in ("__get__", "__set__"):  # an attribute: x.data, x.T
            name = getattr(func.__self__, "__name__", name)
        self._record(name, (args, kwargs), result)
        return result

    def enter(self, module: nn.Module, inputs: tuple) -> None:
        self._inside.append((module, inputs))

    def leave(self, module: nn.Module, inputs: tuple, result: Any) -> None:
        while self._inside and self._inside.pop()[0] is not module:
            pass  # a forward that was left by an exception which its caller caught
        self._inside.append((module, inputs))
        self._record(type(module).__name__, inputs, result)
        self._inside.pop()

    def _record(self, operation: str, inputs: Any, result: Any) -> None:
        tensors = tuple(leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor) and not _is_wrapper(leaf))
        for output in [torch.empty(0, dtype=torch.float64)] if operation in ESCAPES else tree_leaves(result):
            if isinstance(output, Tensor) and _is_plain(output):
                with DisableTorchFunction():
                    value = torch.clone(output)  # not by a method, which may be the class's own
                where, recorded = self._where(operation), torch.is_grad_enabled()
                self.steps.append(Step(where, operation, tensors, output, value, recorded))

    def _where(self, operation: str) -> str:
        module = self._inside[-1][0] if self._inside else None
        path = label(self._names.get(id(module), ""), module) if module is not None else ""
        if module is not None and type(module).__module__.startswith("torch."):
            return path
        return ", ".join(filter(None, (path, operation, _users_line(sys._getframe(2)))))


def traced(f: Callable[[Tensor], Any], x: Tensor, modules: dict[str, nn.Module]) -> list[Step]:
    """Run f(x) and list every floating-point tensor it made."""
    names = {id(module): path for path, module in reversed(modules.items())}
    recorder = _Recorder(names)
    with ExitStack() as stack:
        for module in {id(module): module for module in modules.values()}.values():
            if not isinstance(module, torch.jit.ScriptModule):  # whose inside is out of Python's sight
                stack.callback(module.register_forward_pre_hook(recorder.enter).remove)
                stack.callback(module.register_forward_hook(recorder.leave).remove)
        with recorder, torch.set_grad_enabled(torch.is_grad_enabled()):  # f may leave it switched off
            f(x)
    return recorder.steps


def _is_plain(tensor: Tensor) -> bool:
    """Whether one can calculate with it: numbers in the usual layout, of the usual width, outside torch.func."""
    if _is_wrapper(tensor) or tensor.layout is not torch.strided or is_functorch_wrapped_tensor(tensor):
        return False
    return tensor.is_complex() or (tensor.is_floating_point() and tensor.element_size() > 1)


def _is_wrapper(tensor: Tensor) -> bool:
    """Whether its class does the calculations itself (DTensor, MaskedTensor), and may not know those we need."""
    return getattr(type(tensor), "__torch_dispatch__", None) is not getattr(Tensor, "__torch_dispatch__", None)


def _users_line(frame: FrameType | None) -> str:
    """`file.py:12` of the innermost frame that is neither torch's nor ours."""
    while frame is not None and frame.f_code.co_filename.startswith((*_OURS, "<")):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else ""
