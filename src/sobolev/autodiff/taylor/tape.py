"""The Hessian of few outputs in many inputs, without carrying its entries through the network.

The second-degree part of a Taylor polynomial enters at each nonlinear operation, and from there on travels
linearly. So one forward pass carries first degrees alone and notes what enters; one reverse pass finds how much of
it reaches an output; the Hessian is the sum of the products (the collapsed Taylor mode of Dangel et al. 2025, with the
linear part transposed). It costs one first-order pass and as many reverse passes as there are outputs. A Jacobian needs
the reverse passes alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.hessian_contributions import Entry, NotCollapsibleError, contribution
from sobolev.autodiff.torch_export import recording
from sobolev.autodiff.tracing import traced


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
    ) -> Any:
        """Note an operation whose result, of first degree only, is `jet`; see `Entry`."""
        _check_operation(jet)
        if not self.probing:
            self.entries.append(Entry(a, b, weight, jet.rows_first, multiply))
            self.shapes.append(jet.value.shape)
        elif self.given:
            jet.value = jet.value + self.given.pop(0)
        else:
            self.probes.append(torch.zeros_like(jet.value, requires_grad=True))
            jet.value = jet.value + self.probes[-1]
        return jet

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
        if self.rows_first_everywhere or recording():
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
            contribution(entry, part, other, marks, y.shape[0])
            for entry, part, other in zip(self.entries, reach, others, strict=True)
            if part is not None and other is not None and len(entry.a) and len(entry.b)  # else a factor is a constant
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
        _check_operation(jet)
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


def _check_operation(jet: Any) -> None:
    """Raise where no gradient finds its way back, or the rows would have to be looked for in compiled code."""
    if not jet.followed or jet.value.is_complex() or (traced() and not recording() and not jet.rows_first):
        raise NotCollapsibleError


def _check_finite(found: Tensor, rows_first: bool) -> None:
    """Raise where what was left out may be 0 times infinity here; on a GPU only where numbers are looked at anyway."""
    if not traced() and (found.is_cpu or not rows_first) and not found.detach().sum().isfinite():
        raise NotCollapsibleError


def leads_elsewhere(y: Tensor, x: Tensor) -> bool:
    """Whether the graph of y ends in other tensors than the leaf x: in weights that are trained."""
    leaves = (getattr(node, "variable", None) for node in graph_of(y))
    return any(leaf is not None and leaf is not x for leaf in leaves)


def leads_to(y: Tensor, x: Tensor) -> bool:
    """Whether the graph of y reaches x, a leaf or not."""
    return any(getattr(node, "variable", None) is x or node is x.grad_fn for node in graph_of(y))


def graph_of(y: Tensor) -> Iterator[Any]:
    """The nodes of a graph, each once."""
    waiting, seen = [y.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [following for following, _ in node.next_functions]
