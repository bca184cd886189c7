"""The full derivative tensor of every order."""

from torch import Tensor

from sobolev.autodiff.engine import BatchedFunction, ChunkSize, Method
from sobolev.autodiff.operators import derivatives, hessian, jacobian


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
