"""Derivatives as plain operations, the passes backwards among them, in code that `torch.export` records.

What `torch.export` records holds no graph to differentiate by. So an operator is recorded here first, below autograd,
where the operations of a backward pass look like any others; and then the recorded operations are run.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor

_RECORDING: ContextVar[bool] = ContextVar("recording", default=False)
_PUSHED_ONLY: ContextVar[bool] = ContextVar("pushed_only", default=False)


def recording() -> bool:
    """Whether operations are recorded below autograd: numbers cannot be looked at, but gradients can be taken."""
    return not torch.compiler.is_dynamo_compiling() and _RECORDING.get()  # dynamo knows no context variables


@contextmanager
def pushed_only() -> Iterator[None]:
    """What is recorded inside has no passes backwards: their operations are some that few readers of a graph know."""
    token = _PUSHED_ONLY.set(True)
    try:
        yield
    finally:
        _PUSHED_ONLY.reset(token)


def passes_backwards() -> bool:
    """Whether what is recorded may hold passes backwards."""
    return not _PUSHED_ONLY.get()


def is_to_be_written_out() -> bool:
    """Whether `torch.export` records what is computed, operation by operation (dynamo: strict=True takes no part)."""
    exporting = torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
    return exporting and not recording() and not torch._C._are_functorch_transforms_active()


def written_out(compute: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
    """The results of `compute` for these tensors, by plain operations alone."""
    from torch.fx.experimental.proxy_tensor import make_fx

    def constant(*tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return compute(*tensors)

    with _recorded():
        graph: Any = make_fx(constant, decomposition_table=_decompositions())(*tensors)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph(*tensors)


@contextmanager
def _recorded() -> Iterator[None]:
    """Whoever records already sees nothing of it."""
    from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
    from torch.overrides import _get_current_function_mode_stack, _pop_mode_temporarily

    token = _RECORDING.set(True)
    try:
        with ExitStack() as stack:
            stack.enter_context(disable_proxy_modes_tracing())
            for _ in _get_current_function_mode_stack():
                stack.enter_context(_pop_mode_temporarily())
            yield
    finally:
        _RECORDING.reset(token)


@cache
def _decompositions() -> dict[Any, Callable]:
    """Backward passes in terms of other operations, for whoever reads the recorded graph knows few of them."""
    from torch._decomp import core_aten_decompositions

    return {**core_aten_decompositions(), torch.ops.aten.convolution_backward.default: _convolution_backward}


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradient by the input: a transposed convolution, or a convolution where that was transposed."""
    del bias_sizes, output_padding
    if not wanted[0]:
        return None, None, None
    if transposed:
        no_padding = [0] * len(stride)
        found = torch.ops.aten.convolution(gradient, weight, None, stride, padding, dilation, False, no_padding, groups)
        return found, None, None
    missing = [
        x.shape[2 + k] - ((gradient.shape[2 + k] - 1) * s - 2 * p + d * (weight.shape[2 + k] - 1) + 1)
        for k, (s, p, d) in enumerate(zip(stride, padding, dilation, strict=True))
    ]
    found = torch.ops.aten.convolution(gradient, weight, None, stride, padding, dilation, True, missing, groups)
    return found, None, None
