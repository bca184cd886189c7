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
        _without_idle_operations(graph.graph)
        _without_repetitions(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph(*tensors)


def _without_idle_operations(graph: Any) -> None:
    """Multiplying a derivative by a single 1, and adding zeros to what is followed, are of no use in a file."""
    aten = torch.ops.aten
    for node in graph.nodes:
        if node.target is aten.mul.Tensor:
            left, right = node.args
            found = _factor_beside_ones(graph, left, right, node) or _factor_beside_ones(graph, right, left, node)
        elif node.target is aten.add.Tensor and len(node.args) == 2 and not node.kwargs:
            found = node.args[0] if _is_filled(node.args[1], 0) and _are_alike(node.args[0], node) else None
        else:
            found = _behind_new_axis(node)
        if found is not None and not (_is_written_over(found) or _is_written_over(node)):
            node.replace_all_uses_with(found)


def _without_repetitions(module: Any) -> None:
    """What is computed twice alike, the second opinion of a forward among it, is computed once."""
    first: dict[Any, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            key: Any = id(getattr(module, node.target))
        elif node.op == "call_function" and _depends_on_its_inputs_alone(node):
            key = node.target, repr(node.args), repr(node.kwargs)
        else:
            continue
        if first.setdefault(key, node) is not node and not _is_written_over(node):
            node.replace_all_uses_with(first[key])


def _depends_on_its_inputs_alone(node: Any) -> bool:
    if not hasattr(node.target, "_schema"):
        return False
    drawn = torch.Tag.nondeterministic_seeded in node.target.tags
    return not (drawn or node.target._schema.is_mutable or any(map(_is_written_over, [node, *node.all_input_nodes])))


def _behind_new_axis(node: Any) -> Any:
    """What got an axis that is taken away again."""
    aten = torch.ops.aten
    if node.target is aten.select.int and node.args[1:] == (0, 0):
        before = node.args[0]
        return before.args[0] if before.target is aten.unsqueeze.default and before.args[1] == 0 else None
    return None


def _factor_beside_ones(graph: Any, factor: Any, ones: Any, product: Any) -> Any:
    """The factor, with as many axes as the product, where the other one is a single 1; else None."""
    if not _is_filled(ones, 1) or ones.meta["val"].numel() != 1 or not isinstance(factor, torch.fx.Node):
        return None
    with graph.inserting_before(product):
        for _ in range(product.meta["val"].dim() - factor.meta["val"].dim()):
            value = factor.meta["val"].unsqueeze(0)
            factor = graph.call_function(torch.ops.aten.unsqueeze.default, (factor, 0))
            factor.meta["val"] = value
    return factor if _are_alike(factor, product) else None


def _is_filled(tensor: Any, number: int) -> bool:
    """Whether a tensor holds this number alone."""
    if not isinstance(tensor, torch.fx.Node) or not hasattr(tensor.target, "_schema") or _is_written_over(tensor):
        return False
    node: Any = tensor
    name = node.target._schema.name.removeprefix("aten::")
    named = {"ones": 1, "new_ones": 1, "ones_like": 1, "zeros": 0, "new_zeros": 0, "zeros_like": 0}
    return named.get(name) == number or (name in ("full", "full_like") and node.args[1] == number)


def _are_alike(one: Any, other: Any) -> bool:
    a, b = (node.meta.get("val") if isinstance(node, torch.fx.Node) else None for node in (one, other))
    return a is not None and b is not None and a.dtype == b.dtype and a.shape == b.shape


def _is_written_over(node: Any) -> bool:
    """Whether an operation writes into a tensor, or into what shares memory with it."""
    while getattr(node.target, "is_view", False):
        node = node.args[0]
    return _or_a_view_is_written_over(node)


def _or_a_view_is_written_over(node: Any) -> bool:
    operations = [user for user in node.users if hasattr(user.target, "_schema")]
    return any(
        user.target._schema.is_mutable or (user.target.is_view and _or_a_view_is_written_over(user))
        for user in operations
    )


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
