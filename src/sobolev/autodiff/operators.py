"""The five differential operators: checks, guard, choice of engine, blocks of rows."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Literal
from weakref import finalize

import torch
from torch import Tensor, nn

from sobolev.autodiff import reverse, taylor
from sobolev.autodiff.agreement import compare, is_new, random_state
from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.guard import guarded, undisturbed
from sobolev.autodiff.jet import Jet
from sobolev.autodiff.layers import perceptron
from sobolev.autodiff.precision import HALF, SinglePrecision
from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.sequential import is_plain, sequential
from sobolev.autodiff.stored import settle

Method = Literal["auto", "taylor", "reverse"]
ChunkSize = Literal["auto"] | int | None

_METHODS = ("auto", "taylor", "reverse")

_log = logging.getLogger(__name__)

_CACHED_NUMBERS = 400_000
"""So many coefficients of one layer stay in the second-level cache (1 to 2 MB) with what is computed from them."""
_FEWEST_ROWS = 128
"""With fewer rows, the calls of PyTorch's functions cost as much as what they compute."""

_LARGER_BLOCKS = {"laplacian": 2, "hessian": 10}
"""These run through the network more than once: larger blocks pay for fewer calls with some cache misses."""

_LARGEST_TENSOR = 16_000_000
"""In no case more coefficients than this in one layer: 64 MB in float32."""

torch.empty(3 * _CACHED_NUMBERS // 2)
"""The C library of Linux hands freed memory of some size back to the system, and taking it again costs more than what
is computed in it. Once a piece as large as this was freed, it keeps such pieces (mallopt(3), M_MMAP_THRESHOLD)."""

_WIDTHS: dict[int, int] = {}
"""Of modules that are alive, by `id`: a `WeakKeyDictionary` takes longer to ask."""


def derivatives(
    f: BatchedFunction,
    x: Tensor,
    order: int = 2,
    direction: Tensor | None = None,
    *,
    method: Method = "auto",
    chunk_size: ChunkSize = "auto",
) -> tuple[Tensor, ...]:
    """Value and derivatives along a direction, every order up to `order`.

    Args:
        f: maps (batch, *in) to (batch, *out); one sample never looks at another.
        x: the points, (batch, *in), floating point.
        order: the highest order k of D^k f(x)[v, ..., v].
        direction: v, shape (*in) or (batch, *in); may be left out only where each sample has one input.
        method: `"taylor"` (one forward pass; needs a rule for every operation of f), `"reverse"` (nested reverse
            mode), or `"auto"`: Taylor mode where it can, else reverse mode; the log says at debug level why.
        chunk_size: rows computed at a time; None takes all at once.

    Returns:
        `order + 1` tensors (batch, *out), the value first. They carry a graph to the weights exactly where
        gradients are enabled.

    Raises:
        ValueError: a negative order, a direction that is missing or of another shape, a bad chunk size.
        TypeError: x or f(x) is not a floating-point tensor.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        raise ValueError(f"order is {order!r}; it is a whole number, 0 or more")
    _check_points(x)
    v = _direction(x, direction)
    return _by_chunks("derivatives", f, x, method, chunk_size, v, order=order)


def jacobian(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor]:
    """Value (batch, *out) and Jacobian (batch, *out, *in); arguments and errors as in `derivatives`."""
    _check_points(x)
    return _by_chunks("jacobian", f, x, method, chunk_size)


def hessian(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and Hessian (batch, *out, *in, *in); arguments and errors as in `derivatives`."""
    _check_points(x)
    return _by_chunks("hessian", f, x, method, chunk_size)


def hessian_diagonal(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and d²f/dx_i² (batch, *out, *in); arguments and errors as in `derivatives`."""
    _check_points(x)
    return _by_chunks("hessian_diagonal", f, x, method, chunk_size)


def laplacian(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and Laplacian (batch, *out); arguments and errors as in `derivatives`."""
    _check_points(x)
    return _by_chunks("laplacian", f, x, method, chunk_size)


def _by_chunks(
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
    rows, checked = x.shape[0], _checked(f, x)
    own_blocks = chunk_size == "auto" and method != "reverse" and taylor.layers_along(checked, options.get("order", 0))
    size = rows if own_blocks else _block_rows(f, x, chunk_size, operator, options)
    if direction is not None:
        options["direction"] = direction
    with undisturbed(x.device):
        if rows <= size:
            return _one_block(operator, checked, _usable(x), method, options)
        blocks = []
        for start in range(0, rows, size):
            if direction is not None and len(direction) > 1:
                options["direction"] = _usable(direction[start : start + size])
            blocks.append(_one_block(operator, checked, _usable(x[start : start + size]), method, options))
    return tuple(torch.cat(column) for column in zip(*blocks, strict=True))


def _one_block(
    operator: str, f: BatchedFunction, x: Tensor, method: Method, arguments: dict[str, Any]
) -> tuple[Tensor, ...]:
    """The results of the chosen engine, or of the first that can do it."""
    if torch.compiler.is_compiling():  # dynamo enters no guard, and knows no nested reverse mode
        if method == "reverse":
            raise ValueError("nested reverse mode cannot be compiled; use method='taylor'")
        return getattr(taylor, operator)(f, x, **arguments)
    if method != "reverse":
        try:
            return _by_taylor_mode(operator, f, x, arguments)
        except NoRuleError as error:
            if method == "taylor":
                raise NoRuleError(
                    f"{error}{_where(error)}. Use method='auto' or 'reverse', or register a rule: sobolev.autodiff.rule"
                ) from None
            _log.debug("%s by nested reverse mode: %s%s", operator, error, _where(error))
        except Exception as error:  # whatever a model may do to what it takes for a tensor
            if method == "taylor":
                raise
            _log.debug("%s by nested reverse mode: %s: %s", operator, type(error).__name__, error)
    keep_graph = torch.is_grad_enabled()
    with guarded(x.device):
        results = getattr(reverse, operator)(f, x, **arguments)
        return results if keep_graph else tuple(result.detach() for result in results)


def _by_taylor_mode(operator: str, f: BatchedFunction, x: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, ...]:
    """Once for every function, its value is compared with that of a plain call."""
    new = x.shape[0] > 0 and is_new(f.original)
    randomness = random_state(x) if new else x
    results = _in_single_precision(getattr(taylor, operator), f, x, arguments)
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


def _check_points(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {kind}; derivatives need a floating-point tensor: torch.as_tensor(x).float()")
    if x.dim() == 0:
        raise ValueError("x is a single number; give it a batch axis: x.reshape(1)")


def _checked(f: BatchedFunction, x: Tensor) -> BatchedFunction:
    """F, whose results are looked at; where it is a chain of layers, it says so to Taylor mode."""
    chain = f if isinstance(f, nn.Sequential) and is_plain(f) else None
    run: Any = f if chain is None else partial(sequential, chain)

    def evaluate(x: Tensor) -> Any:
        try:
            y = run(x)
        finally:
            if isinstance(x, Jet) and not torch.compiler.is_compiling():
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
    if chain is not None:
        evaluate.chain, evaluate.layers = chain, perceptron(chain, x)
    return evaluate


def _direction(x: Tensor, direction: Tensor | None) -> Tensor:
    """The direction of every row, (batch, *in), or of all of them, (1, *in)."""
    if direction is None:
        if x.shape[1:] != (1,) and x.shape[1:].numel() != 1:
            raise ValueError(
                f"each sample has {x.shape[1:].numel()} inputs: say along which direction to differentiate "
                f"(shape {tuple(x.shape[1:])}), or use sobolev.jacobian, hessian, hessian_diagonal or laplacian"
            )
        return x.new_ones(1, *x.shape[1:])
    direction = _usable(torch.as_tensor(direction, dtype=x.dtype, device=x.device))
    if direction.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"direction has shape {tuple(direction.shape)}; it must be {tuple(x.shape[1:])} or {tuple(x.shape)}"
        )
    return direction if direction.shape == x.shape else direction[None]


def _block_rows(f: BatchedFunction, x: Tensor, chunk_size: ChunkSize, operator: str, options: dict[str, Any]) -> int:
    """The rows of a block."""
    if chunk_size == "auto":
        return _auto_rows(f, x, operator, options)
    if chunk_size is None:
        return max(len(x), 1)
    if type(chunk_size) is not int or chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size!r}; it is 'auto', None or a whole number, 1 or more")
    return chunk_size


def _auto_rows(f: BatchedFunction, x: Tensor, operator: str, options: dict[str, Any]) -> int:
    """As many rows as keep the coefficients of the widest layer in the cache; compiled code gets no loop."""
    if torch.compiler.is_compiling():
        return max(1, x.shape[0])
    inputs = x.shape[1] if x.dim() == 2 else x.shape[1:].numel()
    if operator == "derivatives":
        higher = options["order"] if options["order"] < 3 else 2 * options["order"]  # slopes are carried along, too
    else:
        higher = {"jacobian": inputs, "laplacian": inputs + 1, "hessian": inputs}.get(operator, 2 * inputs)
    module = f if isinstance(f, nn.Module) else getattr(f, "__self__", None)  # of a bound method
    width = max(inputs, _width(module) if isinstance(module, nn.Module) else 0)
    numbers = width * (1 + higher)
    cached = _CACHED_NUMBERS * _LARGER_BLOCKS.get(operator, 1)
    return max(cached // numbers, min(_FEWEST_ROWS, _LARGEST_TENSOR // numbers), 1)


def _width(module: nn.Module) -> int:
    """The longest axis of outputs; remembered, since asking takes longer than a small network."""
    width = _WIDTHS.get(id(module))
    if width is None:
        _WIDTHS[id(module)] = width = max((p.shape[0] for p in module.parameters() if p.dim() > 1), default=0)
        finalize(module, _WIDTHS.pop, id(module), None)
    return width


def _usable(x: Tensor) -> Tensor:
    """Inference tensors cannot be saved for backward; a clone outside inference mode can."""
    if torch.compiler.is_compiling() or not x.is_inference():
        return x
    with torch.inference_mode(False):
        return x.clone()
