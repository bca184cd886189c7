"""Taylor mode: one forward pass on truncated Taylor polynomials.

Griewank & Walther, Evaluating Derivatives (2008), chapter 13; Bettencourt, Johnson & Duvenaud, Taylor-mode
automatic differentiation (2019); for the Laplacian, Li et al., Forward Laplacian (2023), and Dangel et al.,
Collapsing Taylor mode (2025).
"""

from collections.abc import Callable
from math import factorial
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.blocks import block_rows
from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.taylor.agreement import agree, random_state, restore_random_state
from sobolev.autodiff.taylor.entries import NotCollapsibleError
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import padded
from sobolev.autodiff.taylor.propagation import padded_rows
from sobolev.autodiff.taylor.space import Second, Space
from sobolev.autodiff.taylor.tape import Path, Tape, leads_elsewhere
from sobolev.autodiff.tracing import traced

_FEWEST_REVERSED = 4
"""With fewer inputs, carrying the columns of the Jacobian along takes less time than a reverse pass..."""
_FEW_INPUTS, _FEW_NUMBERS = 16, 2000
"""...with fewer than this, too, if the batch holds fewer numbers than that: what counts then is the calls."""
_FEWEST_COLLAPSED = {"graph": 2, "no graph": 3, "compiled": 4}
"""With fewer inputs, carrying the entries of the Hessian along takes less time than a reverse pass."""


def derivatives(f: BatchedFunction, x: Tensor, order: int, direction: Tensor) -> tuple[Tensor, ...]:
    """See `Engine.derivatives`."""
    if order == 0:
        return (f(x),)
    result, length = _jet(f, Jet(Space(order, graph=_graph()), x, direction[None]))
    y = result.value if isinstance(result, Jet) else result
    first, *others = padded_rows(result, length)
    first = first.clone() if first.requires_grad else first  # autograd allows nobody to write to one of many views
    return y, first, *[row * factorial(k) for k, row in enumerate(others, start=2)]


def jacobian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Engine.jacobian`."""
    inputs, enough = x.shape[1:].numel(), x.numel() >= _FEW_NUMBERS
    if inputs >= (_FEWEST_REVERSED if enough else _FEW_INPUTS) and x.shape[0] and not traced():
        return _first_of(_reversed_jacobian, _pushed_jacobian, f, x)
    return _pushed_jacobian(f, x)


def _pushed_jacobian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """Column by column, in smaller blocks than a reverse pass has."""
    rows = block_rows(getattr(f, "original", f), x, "auto", "push", {})
    if rows < len(x):
        y, J = zip(*(_pushed_jacobian(f, part) for part in x.split(rows)), strict=True)
        return torch.cat(y), torch.cat(J)
    y, higher = _push(f, _identity(x, 1))
    return y, _inputs_last(higher, x)


def _reversed_jacobian(f: BatchedFunction, x: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor]:
    """By one reverse pass for each output, through the values of the rules."""
    path = Path()
    space = Space(2, x.shape[1:].numel(), "pairs", path, _graph())
    wanted = torch.is_grad_enabled() and x.requires_grad
    start = x.view_as(x) if wanted else x.detach().requires_grad_()
    with torch.enable_grad():
        y, _ = _push(f, Jet(space, start, start.new_zeros(0, *start.shape), rows_first=True))
        outputs = y.reshape(len(y), -1).unbind(1)
    if not 1 <= 2 * len(outputs) <= space.directions:
        raise NotCollapsibleError
    graph = wanted or (torch.is_grad_enabled() and leads_elsewhere(y, start))
    with torch.set_grad_enabled(graph):
        J = path.jacobian(outputs, start)
    return y if graph else y.detach(), J.reshape(*y.shape, *x.shape[1:])


def _first_of(short: Any, long: Any, f: BatchedFunction, x: Tensor) -> Any:
    """What the short way finds, or where there is none, the long way, with the same random numbers.

    The short way is told the state of the generator before it, or None in traced code.
    """
    randomness = None if traced() else random_state(x)
    try:
        return short(f, x, randomness)
    except NotCollapsibleError:
        if randomness is not None:
            restore_random_state(x, randomness)
        return long(f, x)


def hessian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.hessian`."""
    way = "compiled" if traced() else "graph" if torch.is_grad_enabled() else "no graph"
    if x.shape[1:].numel() >= _FEWEST_COLLAPSED[way] and x.shape[0]:
        return _first_of(_collapsed_hessian, _full_hessian, f, x)
    return _full_hessian(f, x)


def _collapsed_hessian(f: BatchedFunction, x: Tensor, randomness: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    d, tape = x.shape[1:].numel(), Tape()
    first = _identity(x, 2, "pairs", tape)
    y, J = _push(f, first)
    if 2 * y.shape[1:].numel() > d or not (randomness is None or torch.equal(randomness, random_state(x))):
        raise NotCollapsibleError

    def probed() -> Tensor:
        value, _ = _push(f, Jet(first.space, x, first.higher[:0], rows_first=True))
        if (
            not traced() and (x.is_cpu or not tape.rows_first_everywhere) and not agree(value, y)
        ):  # it changes from call to call
            raise NotCollapsibleError
        return value.reshape(x.shape[0], -1)

    H = tape.compiled_hessian(probed, d) if torch.compiler.is_compiling() else tape.hessian(probed, d)
    return y, _inputs_last(J, x), H.reshape(*y.shape, *x.shape[1:], *x.shape[1:])


def _full_hessian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    d = x.shape[1:].numel()
    y, higher = _push(f, _identity(x, 2, "pairs"))
    full = (2 * higher[d:])[_pair_places(d, x.device).flatten()]
    return y, _inputs_last(higher[:d], x), full.movedim(0, -1).reshape(*y.shape, *x.shape[1:], *x.shape[1:])


def hessian_diagonal(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.hessian_diagonal`."""
    d = x.shape[1:].numel()
    y, higher = _push(f, _identity(x, 2, "diagonal"))
    return y, _inputs_last(higher[:d], x), _inputs_last(2 * higher[d:], x)


def laplacian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.laplacian`."""
    d = x.shape[1:].numel()
    y, higher = _push(f, _identity(x, 2, "sum"))
    return y, _inputs_last(higher[:d], x), 2 * higher[d]


def _identity(x: Tensor, order: int, second: Second = "diagonal", tape: Tape | None = None) -> Jet:
    """X with a first coefficient of 1 in every single input: (inputs, 1, *in), the same for all rows."""
    d = x.shape[1:].numel()
    directions = torch.eye(d, dtype=x.dtype, device=x.device).reshape(d, 1, *x.shape[1:])
    return Jet(Space(order, d, second, tape, _graph()), x, directions, rows_first=True)


def _graph() -> bool:
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _push(f: Callable[[Any], Any], x: Jet) -> tuple[Tensor, Tensor]:
    """The value of f and all higher coefficients, (coefficients, batch, *out)."""
    y, length = _jet(f, x)
    if not isinstance(y, Jet):
        return y, padded(y, length)
    return y.value, y.higher if y.higher.shape == (length, *y.value.shape) else padded(y, length)


def _jet(f: Callable[[Any], Any], x: Jet) -> tuple[Any, int]:
    """What f makes of x, and how many higher coefficients there are; a tensor where f does not depend on x."""
    y, length = f(x), sum(x.space.sizes) if x.higher.shape[0] else 0
    if x.space.tape is not None and isinstance(y, Jet) and not (y.followed and (y.rows_first or not traced())):
        raise NotCollapsibleError
    return y, length


def _inputs_last(coefficients: Tensor, x: Tensor) -> Tensor:
    """(inputs, batch, *out) -> (batch, *out, *in)."""
    moved = coefficients.movedim(0, -1)
    return moved.reshape(*moved.shape[:-1], *x.shape[1:])


def _pair_places(d: int, device: torch.device) -> Tensor:
    """(d, d): where the pair i <= j stands in `torch.triu_indices`, for both i, j and j, i."""
    i, j = torch.triu_indices(d, d, device=device)
    place = torch.empty(d, d, dtype=torch.long, device=device)
    place[i, j] = place[j, i] = torch.arange(i.shape[0], device=device)
    return place
