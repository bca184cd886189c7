"""A network and its derivatives as one graph of plain operations, for any number of rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from io import StringIO
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
    from torch._dynamo.exc import UserError  # takes longer to import than torch

    inputs = module.names.split(x[:_ROWS])
    try:
        try:
            return _of_any_batch(module, inputs)
        except UserError:  # a size was made a number, perhaps only to plan a contraction by it
            with _sizes_as_numbers():
                return _of_any_batch(module, inputs)
    except Exception as error:  # whatever a network may do
        _call_plainly(module.network, x[:_ROWS])
        where = module_of(error, module.network)
        raise ValueError(f"the derivatives cannot be recorded as one graph{where}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from torch._dynamo.exc import UserError
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    text = str(error).strip()
    if isinstance(error, UserError) and "onstraints violated" in text:
        return "the network looks at the number of rows, by a branch, a loop or a shape; a file takes any number"
    if isinstance(error, GuardOnDataDependentSymNode):
        return "it decides by numbers that it computes, as `if x.sum() > 0` does; write torch.where in its place"
    return text.splitlines()[0] if text else type(error).__name__


def _of_any_batch(module: Derivatives, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    batch = Dim("batch", min=1)
    with redirect_stderr(StringIO()):  # PyTorch prints the graph it could not finish
        return torch.export.export(module, inputs, dynamic_shapes=(tuple({0: batch} for _ in inputs),), strict=False)


@contextmanager
def _sizes_as_numbers() -> Iterator[None]:
    """`int(rows)` is the number at hand and fixes nothing; where that matters, other batches come out wrong."""
    usual = torch.SymInt.__int__
    torch.SymInt.__int__ = lambda self: self.node.int_() if self.node.hint is None else self.node.hint
    try:
        yield
    finally:
        torch.SymInt.__int__ = usual


def _call_plainly(network: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """A mistake of the network's own shows itself here."""
    with torch.no_grad():
        network(x)
