"""How many rows are computed at a time."""

from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sobolev.autodiff.engine import BatchedFunction, ChunkSize

CACHED_NUMBERS = 400_000
"""So many coefficients of one layer stay in the second-level cache (1 to 2 MB) with what is computed from them."""
FEWEST_ROWS = 128
"""With fewer rows, the calls of PyTorch's functions cost as much as what they compute..."""

_FEWEST_COEFFICIENTS = 6400
"""...unless this many coefficients of each unit go with them."""

_LARGER_BLOCKS = {"laplacian": 2, "hessian": 5}
"""These run through the network more than once: larger blocks pay for fewer calls with some cache misses."""

_LARGEST_TENSOR = 16_000_000
"""In no case more coefficients than this in one layer: 64 MB in float32. That is also what a GPU gets at a time: many
small blocks would cost it more than they save."""

_KEPT_NUMBERS = 6_000_000
torch.empty(_KEPT_NUMBERS)
"""The C library of Linux hands freed memory of some size back to the system, and taking it again costs more than what
is computed in it. Once a piece as large as this was freed, it keeps such pieces, and twice as much free memory in all
(mallopt(3), M_MMAP_THRESHOLD)."""

_WIDTHS: dict[int, int] = {}
"""Of modules that are alive, by `id`: a `WeakKeyDictionary` takes longer to ask."""


def block_rows(f: BatchedFunction, x: Tensor, chunk_size: ChunkSize, operator: str, options: dict[str, Any]) -> int:
    """The rows of a block."""
    if chunk_size == "auto":
        return even_rows(x.shape[0], _auto_rows(f, x, operator, options))
    if chunk_size is None:
        return max(len(x), 1)
    if type(chunk_size) is not int or chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size!r}; it is 'auto', None or a whole number, 1 or more")
    return chunk_size


def cached_numbers(device: torch.device) -> int:
    """So many coefficients of one layer are computed at a time."""
    return CACHED_NUMBERS if device.type == "cpu" else _LARGEST_TENSOR


def even_rows(rows: int, most: int) -> int:
    """The rows of a block, of which as few as possible are made, and all about alike."""
    blocks = -(-rows // most)
    return -(-rows // blocks) if blocks > 1 else most


def _auto_rows(f: BatchedFunction, x: Tensor, operator: str, options: dict[str, Any]) -> int:
    """As many rows as keep the coefficients of the widest layer in the cache; compiled code gets no loop."""
    if torch.compiler.is_compiling():
        return max(1, x.shape[0])
    inputs = x.shape[1] if x.dim() == 2 else x.shape[1:].numel()
    if operator == "derivatives":
        higher = options["order"] if options["order"] < 3 else 2 * options["order"]  # slopes are carried along, too
    else:
        pairs = inputs * (inputs + 3) // 2
        known = {"jacobian": 0, "push": inputs, "pairs": pairs, "laplacian": inputs + 1, "hessian": inputs}
        higher = known.get(operator, 2 * inputs)
    module = f if isinstance(f, nn.Module) else getattr(f, "__self__", None)  # of a bound method
    width = max(inputs, _width(module) if isinstance(module, nn.Module) else 0)
    numbers = width * (1 + higher)
    cached = cached_numbers(x.device) * _LARGER_BLOCKS.get(operator, 1)
    fewest = min(FEWEST_ROWS, _FEWEST_COEFFICIENTS // (1 + higher), _LARGEST_TENSOR // numbers)
    return max(min(cached, _LARGEST_TENSOR) // numbers, fewest, 1)


def _width(module: nn.Module) -> int:
    """The longest axis of outputs or inputs; remembered, since asking takes longer than a small network."""
    width = _WIDTHS.get(id(module))
    if width is None:
        weights = (p for child in module.modules() for p in child._parameters.values() if isinstance(p, Tensor))
        _WIDTHS[id(module)] = width = max(
            (max(p.shape[:2]) for p in weights if not is_lazy(p) and p.dim() > 1), default=0
        )
        finalize(module, _WIDTHS.pop, id(module), None)
    return width
