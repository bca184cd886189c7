"""Which module of a network calls an operation that cannot be exported."""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sobolev.audit.modules import label, modules_behind

_OPERATION = re.compile(r"OpOverload\(op='(?:\w+)\.(\w+)'|\b(?:aten|prims)(?:\.|::)(\w+)|implementation for (\w+)\(")


def operation_in(message: str) -> str | None:
    """The operation that an error of an exporter or a runtime names."""
    found = _OPERATION.search(message)
    return next(filter(None, found.groups())) if found else None


def caller_of(operation: str, network: Callable[[Tensor], Tensor], x: Tensor) -> str:
    """`, in network.1 (Softplus)` for the module that calls an operation, or that it comes from the derivatives."""
    paths = {module: path for path, module in modules_behind(network).items()}
    with torch.no_grad(), _Calls() as calls:
        network(x)
    name = operation.lower().replace("_", "")
    for called, module in calls.found:
        if called.replace("_", "").removeprefix("special") == name.removeprefix("special") and module in paths:
            return f", in {label(paths[module], module)}"
    return ", which comes in by the derivatives"


def module_of(error: BaseException, network: Callable[[Tensor], Tensor]) -> str:
    """`, in network.1 (Softplus)` for the innermost module that was at work when an error came up."""
    paths = {module: path for path, module in modules_behind(network).items()}
    found, trace = None, error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        found = owner if isinstance(owner, nn.Module) and owner in paths else found
        trace = trace.tb_next
    return "" if found is None else f", in {label(paths[found], found)}"


def complex_numbers_in(network: Callable[[Tensor], Tensor], x: Tensor) -> str | None:
    """`fft_r2c in network.1 (Spectrum)`: the first operation that makes complex numbers of others, if any."""
    paths = {module: path for path, module in modules_behind(network).items()}
    with torch.no_grad(), _Calls() as calls:
        network(x)
    if calls.first_complex is None:
        return None
    name, module = calls.first_complex
    return f"{name.lstrip('_')} in {label(paths[module], module)}" if module in paths else name.lstrip("_")


def numbers_of(network: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """How many numbers the network computes on its way."""
    with torch.no_grad(), _Calls() as calls:
        network(x)
    return calls.numbers


class _Calls(TorchDispatchMode):
    """Every operation by its name and the module whose forward it belongs to; how many numbers they make."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, nn.Module]] = []
        self.first_complex: tuple[str, nn.Module | None] | None = None
        self.numbers = 0
        self._inside: list[nn.Module] = []

    def __enter__(self) -> Any:
        self._hooks = [
            register_module_forward_pre_hook(lambda module, _: self._inside.append(module)),
            register_module_forward_hook(lambda *_: self._leave()),
        ]
        return super().__enter__()

    def __exit__(self, *arguments: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*arguments)

    def _leave(self) -> None:
        self._inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, module = func._schema.name.split("::")[-1], self._inside[-1] if self._inside else None
        if module is not None:
            self.found.append((name, module))
        result = func(*args, **(kwargs or {}))
        tensors = [tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor)]
        self.numbers += sum(tensor.numel() for tensor in tensors)
        made = any(isinstance(leaf, Tensor) for leaf in tree_leaves(args)) and any(y.is_complex() for y in tensors)
        if self.first_complex is None and made:
            self.first_complex = name, module
        return result
