"""The five differential operators, and the tensors of all orders that are made of them."""

import torch
from torch import Tensor

from sobolev.autodiff.dispatch import by_blocks, usable
from sobolev.autodiff.engine import BatchedFunction, ChunkSize, Method
from sobolev.errors import check_counts, check_points


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

    Examples:
        >>> import sobolev, torch
        >>> y, d1, d2 = sobolev.derivatives(torch.exp, torch.zeros(3, 1), order=2)
        >>> d2.flatten()
        tensor([1., 1., 1.])
    """
    check_counts(0, order=order)
    _check_points(x)
    v = _direction(x, direction)
    return by_blocks("derivatives", f, x, method, chunk_size, v, order=order)


def jacobian(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor]:
    """Value (batch, *out) and Jacobian (batch, *out, *in); arguments and errors as in `derivatives`.

    Examples:
        >>> import sobolev, torch
        >>> y, J = sobolev.jacobian(lambda x: x.sin(), torch.zeros(3, 2))
        >>> J[0]
        tensor([[1., 0.],
                [0., 1.]])
    """
    _check_points(x)
    return by_blocks("jacobian", f, x, method, chunk_size)


def hessian(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and Hessian (batch, *out, *in, *in); arguments and errors as in `derivatives`.

    Examples:
        >>> import sobolev, torch
        >>> y, J, H = sobolev.hessian(lambda x: x.prod(1), torch.ones(3, 2))
        >>> H[0]
        tensor([[0., 1.],
                [1., 0.]])
    """
    _check_points(x)
    return by_blocks("hessian", f, x, method, chunk_size)


def hessian_diagonal(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and d²f/dx_i² (batch, *out, *in); arguments and errors as in `derivatives`.

    Examples:
        >>> import sobolev, torch
        >>> y, J, h = sobolev.hessian_diagonal(lambda x: (x**3).sum(1), torch.tensor([[1.0, 2.0]]))
        >>> h
        tensor([[ 6., 12.]])
    """
    _check_points(x)
    return by_blocks("hessian_diagonal", f, x, method, chunk_size)


def laplacian(
    f: BatchedFunction, x: Tensor, *, method: Method = "auto", chunk_size: ChunkSize = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, Jacobian and Laplacian (batch, *out); arguments and errors as in `derivatives`.

    Examples:
        >>> import sobolev, torch
        >>> y, J, lap = sobolev.laplacian(lambda x: (x**2).sum(1), torch.zeros(3, 2))
        >>> lap
        tensor([4., 4., 4.])
    """
    _check_points(x)
    return by_blocks("laplacian", f, x, method, chunk_size)


def derivative_tensors(
    f: BatchedFunction,
    x: Tensor,
    order: int = 2,
    *,
    method: Method = "auto",
    chunk_size: ChunkSize = "auto",
) -> tuple[Tensor, ...]:
    """Value, Jacobian, Hessian, ... up to `order`; order k has shape (batch, *out, *in, ..., *in), k times *in.

    One input per sample costs one pass for all orders. For several inputs the tensors of order 3 and more are
    Jacobians of the one before, which is meant for a handful of inputs.

    Arguments and errors as in `sobolev.derivatives`.
    """
    if x.shape[1:].numel() == 1 or order == 0:
        rows = derivatives(f, x, order, x.new_ones(x.shape), method=method, chunk_size=chunk_size)
        return tuple(d.reshape(d.shape + x.shape[1:] * k) for k, d in enumerate(rows))
    if order == 1:
        return jacobian(f, x, method=method, chunk_size=chunk_size)
    tower = hessian(f, x, method=method, chunk_size=chunk_size)
    for k in range(3, order + 1):

        def highest(x: Tensor, order: int = k - 1) -> Tensor:
            return derivative_tensors(f, x, order, method=method, chunk_size=None)[-1]

        tower = (*tower, jacobian(highest, x, method="reverse", chunk_size=chunk_size)[1])
    return tower


def _check_points(x: Tensor) -> None:
    check_points(x)
    if x.dim() == 0:
        raise ValueError("x is a single number; give it a batch axis: x.reshape(1)")


def _direction(x: Tensor, direction: Tensor | None) -> Tensor:
    """The direction of every row, (batch, *in), or of all of them, (1, *in)."""
    if direction is None:
        if x.shape[1:] != (1,) and x.shape[1:].numel() != 1:
            raise ValueError(
                f"each sample has {x.shape[1:].numel()} inputs: say along which direction to differentiate "
                f"(shape {tuple(x.shape[1:])}), or use sobolev.jacobian, hessian, hessian_diagonal or laplacian"
            )
        return x.new_ones(1, *x.shape[1:])
    direction = usable(torch.as_tensor(direction, dtype=x.dtype, device=x.device))
    if direction.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"direction has shape {tuple(direction.shape)}; it must be {tuple(x.shape[1:])} or {tuple(x.shape)}"
        )
    return direction if direction.shape == x.shape else direction[None]
