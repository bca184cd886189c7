"""A network and its derivatives as one graph of plain operations, for any number of rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from sobolev import autodiff
from sobolev.audit.modules import modules_behind
from sobolev.audit.twin import isolated
from sobolev.autodiff.guard import guarded
from sobolev.export.operations import module_of
from sobolev.export.signature import Operator, Signature

_ROWS = 5
"""To record with; PyTorch takes 0 and 1 for special."""


def differentiate(
    network: Callable[[Tensor], Tensor], operator: Operator, order: int, x: Tensor, method: Any = "auto"
) -> tuple[Tensor, ...]:
    """The results of an operator; along the only input for `derivatives`."""
    options = {"order": order} if operator == "derivatives" else {}
    return getattr(autodiff, operator)(network, x, method=method, **options)


class Derivatives(nn.Module):
    """What a file computes: its inputs to its outputs."""

    def __init__(self, network: Callable[[Tensor], Tensor], operator: Operator, order: int, names: Signature) -> None:
        super().__init__()
        self.network, self.operator, self.order, self.names = network, operator, order, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Each input and each output is (batch, 1), or all of them in one."""
        return self.names.pick(differentiate(self.network, self.operator, self.order, self.names.joined(*inputs)))  # pyright: ignore[reportArgumentType]


@contextmanager
def frozen(network: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Iterator[None]:
    """The network in eval mode, of constant weights in this precision; afterwards it is what it was."""
    modules = list({id(module): module for module in modules_behind(network).values()}.values())
    with ExitStack() as stack:
        stack.enter_context(guarded(torch.device("cpu")))
        stack.enter_context(isolated(modules, double=dtype == torch.float64))
        for module in modules:
            module.training = False
            for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                wide = tensor.is_floating_point() and tensor.dtype != dtype
                tensor.data = tensor.data.to("cpu", dtype if wide else tensor.dtype)
                tensor.requires_grad_(False)
        yield


def recorded(module: Derivatives, x: Tensor) -> ExportedProgram:
    """What `torch.export` records of it, for any number of rows.

    Raises:
        ValueError: an operation that it cannot record, with the module that calls it.
    """
    inputs = module.names.split(x[:_ROWS])
    batch = Dim("batch", min=1)
    try:
        return torch.export.export(module, inputs, dynamic_shapes=(tuple({0: batch} for _ in inputs),), strict=False)
    except Exception as error:  # whatever a network may do
        _call_plainly(module.network, x[:_ROWS])
        where = module_of(error, module.network)
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"the derivatives cannot be recorded as one graph{where}: {text}") from error


def _call_plainly(network: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """A mistake of the network's own shows itself here."""
    with torch.no_grad():
        network(x)
