"""The Hessian of few outputs in many inputs, without carrying its entries through the network.

The second-degree part of a Taylor polynomial enters at each nonlinear operation, and from there on travels
linearly. So one forward pass carries first degrees alone and notes what enters; one reverse pass finds how much of
it reaches an output; the Hessian is the sum of the products (the collapsed Taylor mode of Dangel et al. 2025, with the
linear part transposed). It costs one first-order pass and as many reverse passes as there are outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sobolev.autodiff.tracing import traced

_LARGEST_TABLE = 4_000_000
"""A table of more numbers takes longer to make than it saves."""


class NotCollapsibleError(NotImplementedError):
    """The rows of an intermediate result could not be told apart, or an operation enters in another form."""


class Entry(NamedTuple):
    """An operation adds weight (a_i b_j + a_j b_i) / 2 to half of d²/dx_i dx_j.

    The products are those of elements, or what `multiply` makes of two factors. Or what it adds is known already.
    """

    a: Tensor
    b: Tensor
    weight: Tensor | None
    rows_first: bool
    """The first axis of its result is known to be the batch."""
    multiply: Callable[[Tensor, Tensor], Tensor] | None
    known: Tensor | None
    """The Hessian of each unit, (batch, units, inputs, inputs); `a` and `b` do not matter then."""

    def transposed(self, part: Tensor) -> Tensor:
        """The gradients with respect to a second factor of Σ part multiply(a_i, ·), for every i: (inputs, *factor)."""
        assert self.multiply is not None
        keep_graph = torch.is_grad_enabled()
        with torch.enable_grad():
            factor = torch.zeros_like(self.b, requires_grad=True)
            product = self.multiply(self.a, factor)
        return torch.autograd.grad(product, factor, part.expand_as(product), create_graph=keep_graph)[0]


@dataclass
class Tape:
    """What enters the second degree, operation by operation.

    Attributes:
        probing: False while the entries are noted; True in the pass that is differentiated.
        entries: of all operations.
        shapes: of the results of these operations.
        probes: zeros added to the result of each operation, in the same order, to differentiate by.
        given: probes that somebody else made, those still to be used.
    """

    probing: bool = False
    entries: list[Entry] = field(default_factory=list)
    shapes: list[torch.Size] = field(default_factory=list)
    probes: list[Tensor] = field(default_factory=list)
    given: list[Tensor] = field(default_factory=list)

    def enter(
        self,
        jet: Any,
        a: Tensor,
        b: Tensor,
        weight: Tensor | None = None,
        multiply: Callable[[Tensor, Tensor], Tensor] | None = None,
        known: Tensor | None = None,
    ) -> Any:
        """Note an operation whose result, of first degree only, is `jet`; see `Entry`."""
        if not jet.followed or jet.value.is_complex() or not (jet.rows_first or not traced()):
            raise NotCollapsibleError
        if not self.probing:
            self.entries.append(Entry(a, b, weight, jet.rows_first, multiply, known))
            self.shapes.append(jet.value.shape)
        elif self.given:
            jet.value = jet.value + self.given.pop(0)
        else:
            self.probes.append(torch.zeros_like(jet.value, requires_grad=True))
            jet.value = jet.value + self.probes[-1]
        return jet

    def is_known(self) -> bool:
        """Whether what the next operation adds was known already when the entries were noted."""
        place = len(self.probes)
        return place < len(self.entries) and self.entries[place].known is not None

    def check_path(self) -> None:
        """Raise where no gradient would find its way back: under a `torch.no_grad()` of the function's own."""
        if self.probing and not torch.is_grad_enabled() and not traced():
            raise NotCollapsibleError

    def hessian(self, probed: Callable[[], Tensor], inputs: int) -> Tensor:
        """(batch, outputs, inputs, inputs), from the probing pass, which gives (batch, outputs)."""
        self.probing = True
        with torch.enable_grad():
            outputs = probed().unbind(1)
        found = torch.stack([self._one_output(output, inputs) for output in outputs], dim=1)
        _check_finite(found, self.rows_first_everywhere)
        return found

    def compiled_hessian(self, probed: Callable[[], Tensor], inputs: int) -> Tensor:
        """The same for dynamo, which knows no graphs that are made on the way."""
        self.probing = True
        if not self.entries:
            y = probed()
            return y.new_zeros(*y.shape, inputs, inputs)
        zeros = [a.new_zeros(shape) for (a, *_), shape in zip(self.entries, self.shapes, strict=True)]

        def pass_through(*probes: Tensor) -> Tensor:
            self.given = list(probes)
            return probed()

        y, pull, *_ = torch.func.vjp(pass_through, *zeros)
        seeds = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        rows = [self._contracted(pull(seed.expand_as(y)), y, inputs) for seed in seeds.unbind(0)]
        return torch.stack(rows, dim=1)

    def _one_output(self, y: Tensor, inputs: int) -> Tensor:
        if not self.probes:
            return self._contracted([], y, inputs)
        if not y.requires_grad:  # the graph was cut: a Hessian of 0 would be a guess
            raise NotCollapsibleError
        keep_graph = torch.is_grad_enabled()
        reach = torch.autograd.grad(
            y, self.probes, torch.ones_like(y), create_graph=keep_graph, retain_graph=True, allow_unused=True
        )
        if self.rows_first_everywhere:
            return self._contracted(reach, y, inputs)
        marks = 2 + torch.cos(2.4 * torch.arange(len(y), dtype=y.dtype, device=y.device))
        marked = torch.autograd.grad(y, self.probes, marks, retain_graph=True, allow_unused=True)
        return self._contracted(reach, y, inputs, (marks, marked))

    @property
    def rows_first_everywhere(self) -> bool:
        """Whether the batch is known to come first everywhere; if not, numbers are looked at."""
        return all(entry.rows_first for entry in self.entries)

    def _contracted(
        self,
        reach: Sequence[Tensor | None],
        y: Tensor,
        inputs: int,
        marked: tuple[Tensor, Sequence[Tensor | None]] | None = None,
    ) -> Tensor:
        """The sum over the entries, given how much of each reaches an output; `marked`: see `arrangement`."""
        marks, others = (None, reach) if marked is None else marked
        parts = [
            _contribution(entry, part, other, marks)
            for entry, part, other in zip(self.entries, reach, others, strict=True)
            if part is not None and other is not None
        ]
        return sum(parts[1:], parts[0]) if parts else y.new_zeros(y.shape[0], inputs, inputs)


@dataclass
class Path(Tape):
    """Notes nothing: there is only a value, and its gradient finds its way back to the inputs.

    Attributes:
        rows_first: the batch is known to come first everywhere; if not, numbers are looked at.
    """

    probing: bool = True
    rows_first: bool = True

    def enter(self, jet: Any, *_: Any, **__: Any) -> Any:
        """See `Tape.enter`."""
        if not jet.followed or jet.value.is_complex() or not (jet.rows_first or not traced()):
            raise NotCollapsibleError
        self.rows_first &= jet.rows_first
        return jet

    def jacobian(self, outputs: Sequence[Tensor], x: Tensor) -> Tensor:
        """(batch, outputs, *in), of outputs (batch) which a gradient leads back to x, (batch, *in)."""
        if not outputs[0].requires_grad:  # the graph was cut: a Jacobian of 0 would be a guess
            raise NotCollapsibleError
        keep_graph = torch.is_grad_enabled()
        options = {"create_graph": keep_graph, "retain_graph": True, "materialize_grads": True}
        try:
            rows = [torch.autograd.grad(y, x, torch.ones_like(y), **options)[0] for y in outputs]
        except RuntimeError as error:  # of a backward pass that the function brings along, as checkpoints do
            raise NotCollapsibleError from error
        found = torch.stack(rows, dim=1)
        _check_finite(found, self.rows_first)
        return found


def _check_finite(found: Tensor, rows_first: bool) -> None:
    """Raise where what was left out may be 0 times infinity here; on a GPU only where numbers are looked at anyway."""
    if (found.is_cpu or not rows_first) and not found.detach().sum().isfinite():
        raise NotCollapsibleError


def leads_elsewhere(y: Tensor, x: Tensor) -> bool:
    """Whether the graph of y ends in other tensors than the leaf x: in weights that are trained."""
    waiting, seen = [y.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and leaf is not x:
            return True
        waiting += [following for following, _ in node.next_functions]
    return False


def _contribution(entry: Entry, part: Tensor, marked: Tensor, marks: Tensor | None) -> Tensor:
    """What an operation adds to the Hessian of an output, (batch, inputs, inputs)."""
    a, b, weight = entry.a, entry.b, part if entry.weight is None else part * entry.weight
    if marks is not None and entry.rows_first:
        _check(ROWS_FIRST, part, marked, marks)
    if entry.known is not None:
        return (part[..., None, None] * entry.known).sum(1)
    if marks is None or entry.rows_first:
        return contracted(a, b, weight)
    if entry.multiply is None:
        arrange = arrangement(part, marked, marks)
        a, b = (arrange(factor.expand(-1, *part.shape), 1) for factor in ((a, a) if a is b else (a, b)))
        return contracted(a, a if entry.a is entry.b else b, arrange(weight, 0))
    a = entry.transposed(part)
    arrange = arrangement(a.movedim(0, -1), entry.transposed(marked).movedim(0, -1), marks)
    a, b = arrange(a, 1), arrange(b, 1)
    return contracted(a, b, torch.ones_like(b[0]))


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
    element, other, tolerance = (found(t, 0).reshape(len(marks), -1) for t in (part, marked, allowed))
    if not ((element * marks[:, None] - other).abs() <= tolerance).all():
        raise NotCollapsibleError


def _arrangements(shape: torch.Size, rows: int) -> Iterator[Arrangement]:
    for axis, size in enumerate(shape):
        if size % rows == 0:
            yield Arrangement(axis, (rows, size // rows), axis)
            yield Arrangement(axis, (size // rows, rows), axis + 1)


def contracted(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Σ weight (a_i b_j + a_j b_i) over the units: a, b (inputs, batch or 1, *units), weight (batch, *units)."""
    weight, same = weight.reshape(len(weight), -1), a is b
    a, b = (c.reshape(*c.shape[:2], -1) for c in (a, b))
    if same and a.shape[1] == 1 and (found := by_table(a[:, 0], 2 * weight)) is not None:
        return found
    a, b = (c.expand(-1, *weight.shape).transpose(0, 1) for c in (a, b))
    if same:
        return torch.bmm(a * (2 * weight)[:, None], a.mT)
    product = torch.bmm(a * weight[:, None], b.mT)
    return product + product.mT


def by_table(a: Tensor, weight: Tensor) -> Tensor | None:
    """Σ weight a_i a_j over the units, (batch, inputs, inputs), by the products of all pairs.

    Args:
        a: (inputs, units), the same for every row.
        weight: (batch, units).

    Returns:
        None: making the table takes longer than it saves.
    """
    if len(a) * a.numel() > _LARGEST_TABLE:
        return None
    size = a.detach().abs().amax().clamp_min(torch.finfo(a.dtype).tiny)  # the products must neither vanish nor overflow
    a = a / size
    table = (a.unsqueeze(1) * a).flatten(0, 1)
    return (weight * size * size @ table.mT).unflatten(1, (len(a), len(a)))


def pair_places(d: int, device: torch.device) -> Tensor:
    """(d, d): where the pair i <= j stands in `torch.triu_indices`, for both i, j and j, i."""
    i, j = torch.triu_indices(d, d, device=device)
    place = torch.empty(d, d, dtype=torch.long, device=device)
    place[i, j] = place[j, i] = torch.arange(i.shape[0], device=device)
    return place
