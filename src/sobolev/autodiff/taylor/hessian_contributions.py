"""What an operation adds to a Hessian, and how the rows of an intermediate result are found."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.torch_export import recording

_FEW_INPUTS = 4
"""Up to so many, pairs of them are multiplied one by one where operations are recorded."""


class NotCollapsibleError(NotImplementedError):
    """The rows of an intermediate result could not be told apart, or an operation enters in another form."""


class Entry(NamedTuple):
    """An operation adds weight (a_i b_j + a_j b_i) / 2 to half of d²/dx_i dx_j.

    The products are those of elements, or what `multiply` makes of two factors.
    """

    a: Tensor
    b: Tensor
    weight: Tensor | None
    rows_first: bool
    """The first axis of its result is known to be the batch."""
    multiply: Callable[[Tensor, Tensor], Tensor] | None

    def transposed(self, part: Tensor) -> Tensor:
        """The gradients with respect to a second factor of Σ part multiply(a_i, ·), for every i: (inputs, *factor)."""
        assert self.multiply is not None
        keep_graph = torch.is_grad_enabled()
        with torch.enable_grad():
            factor = torch.zeros_like(self.b, requires_grad=True)
            product = self.multiply(self.a, factor)
        return torch.autograd.grad(product, factor, part.expand_as(product), create_graph=keep_graph)[0]


def contribution(entry: Entry, part: Tensor, marked: Tensor, marks: Tensor | None, rows: int) -> Tensor:
    """What an operation adds to the Hessian of an output, (batch, inputs, inputs)."""
    a, b, weight = entry.a, entry.b, part if entry.weight is None else part * entry.weight
    if marks is not None and entry.rows_first:
        _check(ROWS_FIRST, part, marked, marks)
    if entry.rows_first or (marks is None and not recording()):
        return contracted(a, b, weight)
    if entry.multiply is None:
        arrange = arrangement(part, marked, marks) if marks is not None else arrangement_by_shape(part.shape, rows)
        a, b = (arrange(factor.expand(-1, *part.shape), 1) for factor in ((a, a) if a is b else (a, b)))
        return contracted(a, a if entry.a is entry.b else b, arrange(weight, 0))
    a = entry.transposed(part)
    arrange = (
        arrangement_by_shape(a.shape[1:], rows)
        if marks is None
        else arrangement(a.movedim(0, -1), entry.transposed(marked).movedim(0, -1), marks)
    )
    a, b = arrange(a, 1), arrange(b, 1)
    return contracted(a, b, torch.ones_like(b[0]))


def arrangement_by_shape(shape: torch.Size, rows: Any) -> "Arrangement":
    """The same where shapes are symbols: an axis as long as there are rows, however many these are, is theirs.

    Raises:
        NotCollapsibleError: there is none, or a fixed number of rows is recorded.
    """
    found = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    if isinstance(rows, int) or len(found) != 1 or str(shape[found[0]]) != str(rows):
        raise NotCollapsibleError
    return Arrangement(found[0], (rows, 1), found[0])


class Arrangement(NamedTuple):
    """Where the batch is in a tensor: axis `axis` is split into `sizes`, of which `rows` is the batch."""

    axis: int
    sizes: tuple[int, ...]
    rows: int

    def __call__(self, tensor: Tensor, leading: int) -> Tensor:
        """(*leading, ...) with the batch as the first axis after those."""
        if not self.sizes:
            return tensor
        return tensor.unflatten(leading + self.axis, self.sizes).movedim(leading + self.rows, leading)


ROWS_FIRST = Arrangement(0, (), 0)


def arrangement(part: Tensor, marked: Tensor, marks: Tensor) -> Arrangement:
    """How the rows of an intermediate result come first, found out by numbers.

    Args:
        part: the gradient with respect to it, of the sum of all rows of an output.
        marked: the same of the sum of the rows times the marks: each element times the mark of its row.
        marks: a number for each row.

    Raises:
        NotCollapsibleError: the rows lie in another way, or depend on each other.
    """
    for found in _arrangements(part.shape, len(marks)):
        with suppress(NotCollapsibleError):
            _check(found, part, marked, marks)
            return found
    raise NotCollapsibleError


def _check(found: Arrangement, part: Tensor, marked: Tensor, marks: Tensor) -> None:
    """Raise unless the rows lie so; or where rounding is all that is left of a gradient: the Hessian would be, too."""
    part, marked = part.detach(), marked.detach()
    allowed = 1e-3 * marked.abs() + 100 * torch.finfo(part.dtype).eps * marked.abs().max()
    element, other, tolerance = (found(t, 0).reshape(marks.shape[0], -1) for t in (part, marked, allowed))
    if not ((element * marks[:, None] - other).abs() <= tolerance).all():
        raise NotCollapsibleError


def _arrangements(shape: torch.Size, rows: int) -> Iterator[Arrangement]:
    for axis, size in enumerate(shape):
        if size % rows == 0:
            yield Arrangement(axis, (rows, size // rows), axis)
            yield Arrangement(axis, (size // rows, rows), axis + 1)


def contracted(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Σ weight (a_i b_j + a_j b_i) over the units: a, b (inputs, batch or 1, *units), weight (batch, *units)."""
    weight, same = weight.reshape(weight.shape[0], -1), a is b
    a, b = (c.reshape(*c.shape[:2], -1) for c in (a, b))
    if recording() and same and (a.shape[1] == 1 or len(a) <= _FEW_INPUTS):
        return _by_pairs(a, 2 * weight)
    a, b = (c.expand(-1, *weight.shape).transpose(0, 1) for c in (a, b))
    if same:
        return torch.bmm(a * (2 * weight)[:, None], a.mT)
    product = torch.bmm(a * weight[:, None], b.mT)
    return product + product.mT


def _by_pairs(a: Tensor, weight: Tensor) -> Tensor:
    """The same, one product after the other: runtimes of recorded graphs are slow at many small matrices."""
    inputs = len(a)
    if a.shape[1] == 1:  # the same for every row: a table of constants
        table = (a * a.transpose(0, 1)).flatten(0, 1)
        return (weight @ table.mT).unflatten(1, (inputs, inputs))
    rows, ones = a.unbind(0), weight.new_ones(weight.shape[1], 1)
    weighted = [row * weight for row in rows]
    pairs = {(i, j): (weighted[i] * rows[j]) @ ones for j in range(inputs) for i in range(j + 1)}
    columns = [pairs[min(i, j), max(i, j)] for i in range(inputs) for j in range(inputs)]
    return torch.cat(columns, dim=1).unflatten(1, (inputs, inputs))
