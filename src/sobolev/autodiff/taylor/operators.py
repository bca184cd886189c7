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

from sobolev.autodiff.algorithms import Algorithm, are_few, of_any_function
from sobolev.autodiff.blocks import block_rows
from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.taylor.agreement import agree, random_state, restore_random_state
from sobolev.autodiff.taylor.hessian_contributions import NotCollapsibleError
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import padded
from sobolev.autodiff.taylor.propagation import padded_rows
from sobolev.autodiff.taylor.registry import NoRuleError
from sobolev.autodiff.taylor.space import Second, Space
from sobolev.autodiff.taylor.tape import Path, Tape, leads_elsewhere
from sobolev.autodiff.torch_export import recording
from sobolev.autodiff.tracing import traced

_MOST_PAIRED = 100
"""With more inputs, pairs of them are so many coefficients that reverse mode takes less time, and far less memory."""


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
    return _first_of("jacobian", {"reversed": _reversed_jacobian, "pushed": _pushed_jacobian}, f, x)


def _pushed_jacobian(f: BatchedFunction, x: Tensor, _: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Column by column, in smaller blocks than a reverse pass has."""
    rows = None if traced() else block_rows(getattr(f, "original", f), x, "auto", "push", {})
    if rows is not None and rows < len(x):
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
        outputs = y.reshape(y.shape[0], -1).unbind(1)
    if not outputs or not are_few(len(outputs), space.directions):
        raise NotCollapsibleError
    graph = wanted or (torch.is_grad_enabled() and leads_elsewhere(y, start))
    with torch.set_grad_enabled(graph):
        J = path.jacobian(outputs, start)
    return y if graph else y.detach(), J.reshape(*y.shape, *x.shape[1:])


def _first_of(operator: str, ways: dict[Algorithm, Any], f: BatchedFunction, x: Tensor) -> Any:
    """What the first algorithm finds that applies, each with the same random numbers.

    They are told the state of the generator before it, or None in traced code.
    """
    *first, last = of_any_function(operator, x.shape[0], x.shape[1:].numel())
    randomness = None if traced() or not first else random_state(x)
    for algorithm in first:
        try:
            return ways[algorithm](f, x, randomness)
        except NotCollapsibleError:
            if randomness is not None:
                restore_random_state(x, randomness)
    return ways[last](f, x)


def hessian(f: BatchedFunction, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `Engine.hessian`."""
    return _first_of("hessian", {"collapsed": _collapsed_hessian, "pushed": _pushed_hessian}, f, x)


def _collapsed_hessian(f: BatchedFunction, x: Tensor, randomness: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    d, tape = x.shape[1:].numel(), Tape()
    first = _identity(x, 2, "pairs", tape)
    y, J = _push(f, first)
    if not are_few(y.shape[1:].numel(), d) or not (randomness is None or torch.equal(randomness, random_state(x))):
        raise NotCollapsibleError

    def probed() -> Tensor:
        value, _ = _push(f, Jet(first.space, x, first.higher[:0], rows_first=True))
        if (
            not traced() and (x.is_cpu or not tape.rows_first_everywhere) and not agree(value, y)
        ):  # it changes from call to call
            raise NotCollapsibleError
        return value.reshape(x.shape[0], -1)

    by_dynamo = torch.compiler.is_compiling() and not recording()
    try:
        H = tape.compiled_hessian(probed, d) if by_dynamo else tape.hessian(probed, d)
    except NotCollapsibleError:
        if d <= _MOST_PAIRED or traced():
            raise
        raise NoRuleError(
            f"the Hessian by {d} inputs could not be put together from what single operations add to it, and all its "
            "entries are too many to be carried along"
        ) from None
    if not (traced() or y.requires_grad or J.requires_grad):  # what is left leads to our probes alone
        H = H.detach()
    return y, _inputs_last(J, x), H.reshape(*y.shape, *x.shape[1:], *x.shape[1:])


def _pushed_hessian(f: BatchedFunction, x: Tensor, _: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """With all pairs of inputs, in smaller blocks than a reverse pass has."""
    d = x.shape[1:].numel()
    rows = None if traced() else block_rows(getattr(f, "original", f), x, "auto", "pairs", {})
    if rows is not None and rows < len(x):
        y, J, H = zip(*(_pushed_hessian(f, part) for part in x.split(rows)), strict=True)
        return torch.cat(y), torch.cat(J), torch.cat(H)
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
    known = isinstance(y, Jet) and y.followed and (y.rows_first or recording() or not traced())
    if x.space.tape is not None and isinstance(y, Jet) and not known:
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
