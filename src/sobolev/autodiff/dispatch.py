"""From an operator to results: checks of the function, guard, choice of engine, blocks of rows."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.autodiff import reverse
from sobolev.autodiff.algorithms import of_perceptron
from sobolev.autodiff.blocks import block_rows
from sobolev.autodiff.custom_functions import cut_function, refused_backward
from sobolev.autodiff.engine import BatchedFunction, ChunkSize, Method
from sobolev.autodiff.failed_attempts import failure, remember
from sobolev.autodiff.followed_functions import follow, forwards_followed
from sobolev.autodiff.guard import attention_by_its_formula, guarded, plain_forward
from sobolev.autodiff.perceptron import directional, many_inputs
from sobolev.autodiff.perceptron.layers import Layers, is_plain, perceptron
from sobolev.autodiff.precision import HALF, SinglePrecision
from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor
from sobolev.autodiff.taylor.agreement import compare, is_new, random_state
from sobolev.autodiff.taylor.array_libraries import introduce_jets
from sobolev.autodiff.taylor.jet import CustomFunctionError, Jet
from sobolev.autodiff.taylor.module_attributes import settle
from sobolev.autodiff.taylor.new_tensors import OrdinaryTensorError, writable, writes
from sobolev.autodiff.taylor.sides import mended, watched
from sobolev.autodiff.tensor_classes import ordinary, plain
from sobolev.autodiff.torch_export import is_to_be_written_out, recording, written_out
from sobolev.errors import UntrustworthyDerivativeError

_METHODS = ("auto", "taylor", "reverse")

_log = logging.getLogger(__name__)


def by_blocks(
    operator: str,
    f: BatchedFunction,
    x: Tensor,
    method: Method,
    chunk_size: ChunkSize,
    direction: Tensor | None = None,
    **options: Any,
) -> Any:
    """Run one operator over blocks of rows, and join the blocks."""
    if method not in _METHODS:
        raise ValueError(f"method is {method!r}; choose 'auto', 'taylor' or 'reverse'")
    if is_to_be_written_out():
        return _written_out(operator, f, x, method, direction, options)
    own_class, (f, x) = type(x), plain(f, x)
    if type(x) is not own_class:
        results = by_blocks(operator, f, x, method, chunk_size, direction, **options)
        return tuple(map(ordinary, results))
    layers = perceptron(f, x) if is_plain(f) else None
    short = None if layers is None or method == "reverse" else _short_way(operator, layers, x, **options)
    run = short or partial(_one_block, operator, _checked(f, layers), method)
    if recording():
        return run(x, **options) if direction is None else run(x, direction=direction, **options)
    rows, own_blocks = x.shape[0], short is not None and chunk_size == "auto"
    size = rows if own_blocks else block_rows(f, x, chunk_size, operator, options)
    if direction is not None:
        options["direction"] = direction
    with plain_forward(x.device, perceptron=layers is not None):
        if rows <= size:
            return run(usable(x), **options)
        blocks = []
        for start in range(0, rows, size):
            if direction is not None and len(direction) > 1:
                options["direction"] = usable(direction[start : start + size])
            blocks.append(run(usable(x[start : start + size]), **options))
    return tuple(torch.cat(column) for column in zip(*blocks, strict=True))


def _written_out(
    operator: str, f: BatchedFunction, x: Tensor, method: Method, direction: Tensor | None, options: dict[str, Any]
) -> tuple[Tensor, ...]:
    def compute(x: Tensor, *v: Tensor) -> tuple[Tensor, ...]:
        return by_blocks(operator, f, x, method, None, *v, **options)

    return written_out(compute, x, *([] if direction is None else [direction]))


def _short_way(operator: str, layers: Layers, x: Tensor, order: int = 2) -> Callable[..., tuple[Tensor, ...]] | None:
    """What computes the operator for a perceptron on bare tensors, and finds blocks of rows for itself, if anything."""
    algorithm = of_perceptron(operator, order, *x.shape, outputs=layers[0][-2].shape[0])
    if algorithm is None:
        return None
    if algorithm == "directional":
        return partial(directional.derivatives, layers)
    if operator == "jacobian":
        return partial(many_inputs.jacobian, layers)
    return partial(many_inputs.second_derivatives, layers, operator)


def _one_block(operator: str, f: BatchedFunction, method: Method, x: Tensor, **arguments: Any) -> tuple[Tensor, ...]:
    """The results of the chosen engine, or of the first that can do it."""
    if recording():
        return _recorded(operator, f, method, x, arguments)
    if torch.compiler.is_compiling():  # dynamo enters no guard, and knows no nested reverse mode
        if method == "reverse":
            raise ValueError("nested reverse mode cannot be compiled; use method='taylor'")
        return getattr(taylor, operator)(f, x, **arguments)
    if method == "auto" and (reason := failure(f.original, operator, x)) is not None:
        _log.debug("%s by nested reverse mode, as before: %s", operator, reason)
    elif method != "reverse":
        try:
            return _by_taylor_mode(operator, f, x, arguments)
        except NoRuleError as error:
            if method == "taylor":
                raise NoRuleError(
                    f"{error}{_where(error)}. Use method='auto' or 'reverse', or register a rule: sobolev.autodiff.rule"
                ) from None
            remember(f.original, operator, x, f"{error}{_where(error)}")
            _log.debug("%s by nested reverse mode: %s%s", operator, error, _where(error))
        except Exception as error:  # whatever a model may do to what it takes for a tensor
            if method == "taylor":
                _call_plainly(f, x)
                raise NoRuleError(
                    f"Taylor mode cannot follow the function{_where(error)}: {type(error).__name__}: {error}. "
                    f"Use method='auto' or 'reverse'"
                ) from error
            remember(f.original, operator, x, f"{type(error).__name__}: {error}")
            _log.debug("%s by nested reverse mode: %s: %s", operator, type(error).__name__, error)
    keep_graph = torch.is_grad_enabled()
    with guarded(x.device):
        cut = _cut_function(operator, f, x, keep_graph, arguments)
        results = _by_reverse_mode(operator, f, x, arguments)
        if cut is not None:  # the first derivatives themselves are right
            return refused_backward(cut, results)
        return results if keep_graph else tuple(result.detach() for result in results)


def _recorded(
    operator: str, f: BatchedFunction, method: Method, x: Tensor, arguments: dict[str, Any]
) -> tuple[Tensor, ...]:
    """The same where operations are recorded, and there are no numbers to look at."""
    if method != "reverse":
        try:
            return _in_single_precision(getattr(taylor, operator), f, x, arguments)
        except Exception as error:  # whatever a model may do to what it takes for a tensor
            if method == "taylor":
                raise
            _log.debug("%s by nested reverse mode: %s%s", operator, error, _where(error))
    with attention_by_its_formula(), torch.enable_grad():
        return _by_reverse_mode(operator, f, x, arguments)


def _by_reverse_mode(operator: str, f: BatchedFunction, x: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, ...]:
    try:
        return getattr(reverse, operator)(f, x, **arguments)
    except UntrustworthyDerivativeError:
        raise
    except Exception as error:
        _call_plainly(f, x)
        raise UntrustworthyDerivativeError(f"the function cannot be differentiated: {error}") from error


def _cut_function(
    operator: str, f: BatchedFunction, x: Tensor, keep_graph: bool, arguments: dict[str, Any]
) -> str | None:
    """What is wrong with the gradients of a loss on the first derivatives, if anything.

    Raises:
        UntrustworthyDerivativeError: higher derivatives themselves would be wrong.
    """
    order = arguments.get("order", 1 if operator == "jacobian" else 2)
    if not len(x) or not order or order + keep_graph < 2:
        return None
    try:
        cut = cut_function(f, x, keep_graph)
    except Exception:  # the operator itself says what is wrong
        return None
    if cut is not None and order > 1:
        raise UntrustworthyDerivativeError(cut + ("" if keep_graph else ", or use method='taylor'"))
    return cut


def _call_plainly(f: BatchedFunction, x: Tensor) -> None:
    """A mistake of the model's own shows itself here."""
    with torch.enable_grad():  # it may need its own gradients
        f(x.detach().clone())


def _by_taylor_mode(operator: str, f: BatchedFunction, x: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, ...]:
    """Once for every function, its value is compared with that of a plain call."""
    introduce_jets()
    new = x.shape[0] > 0 and x.dtype not in HALF and is_new(f.original)
    randomness, function = random_state(x) if new else x, writable(f)
    try:
        with forwards_followed(), watched() as kinks:
            results = _in_single_precision(getattr(taylor, operator), function, x, arguments)
        if kinks and x.dtype not in HALF:
            along, again = partial(taylor.derivatives, function), partial(getattr(taylor, operator), function)
            with forwards_followed():
                results = mended(operator, x, results, kinks, along, again, **arguments)
    except CustomFunctionError as error:
        if not follow(function, x, error.function):
            raise
        return _by_taylor_mode(operator, f, x, arguments)
    except OrdinaryTensorError:
        if not writes(f.original):
            raise
        return _by_taylor_mode(operator, f, x, arguments)
    if new:
        compare(f.original, x, results[0], randomness)
    return results


def _in_single_precision(
    operator: Callable[..., tuple[Tensor, ...]], f: BatchedFunction, x: Tensor, arguments: dict[str, Any]
) -> tuple[Tensor, ...]:
    """Half precision is good for the points and the results, not for what lies between."""
    if x.dtype not in HALF:
        return operator(f, x, **arguments)
    if "direction" in arguments:
        arguments = {**arguments, "direction": arguments["direction"].float()}
    with SinglePrecision():
        results = operator(f, x.float(), **arguments)
    return tuple(result.to(x.dtype) for result in results)


def _where(error: Exception) -> str:
    """The innermost module whose forward raised the error."""
    module, trace = None, error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        module = owner if isinstance(owner, nn.Module) else module
        trace = trace.tb_next
    return "" if module is None else f", in {type(module).__name__}"


def _checked(f: BatchedFunction, layers: Layers | None) -> BatchedFunction:
    """F, whose results are looked at; `layers` where it is a perceptron."""

    def evaluate(x: Tensor) -> Any:
        if layers is not None or not isinstance(x, Jet) or torch.compiler.is_compiling():
            y = f(x)
        else:
            try:
                y = f(x)
            finally:
                settle(f)
        value = y.value if isinstance(y, Jet) else y
        if not isinstance(value, Tensor) or not value.is_floating_point():
            kind = value.dtype if isinstance(value, Tensor) else type(y).__name__
            raise TypeError(f"f(x) is {kind}; it must return one floating-point tensor (batch, *out)")
        rows = x.value.shape[0] if isinstance(x, Jet) else x.shape[0]
        if not value.dim() or value.shape[0] != rows:
            raise ValueError(f"f(x) has shape {tuple(value.shape)}; its first axis must be x's, {rows} rows")
        return y

    evaluate.original = f
    return evaluate


def usable(x: Tensor) -> Tensor:
    """Inference tensors cannot be saved for backward; a clone outside inference mode can."""
    if torch.compiler.is_compiling() or not x.is_inference():
        return x
    with torch.inference_mode(False):
        return x.clone()
