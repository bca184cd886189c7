"""Derivative labels that contradict the values: of the wrong sign, in other units, in each other's columns."""

from collections.abc import Iterator, Sequence
from itertools import combinations, combinations_with_replacement, permutations
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sobolev.functions.notation import derivative_notation, some
from sobolev.networks.scales import spread
from sobolev.surrogates.weights import least_squares

Entry = tuple[int, ...]
"""A derivative: the number of its output, then of its inputs in ascending order."""

_PLACES, _ROWS = 300, 20_000
"""At so many rows the nearest ones are looked for, among so many."""
_SPARE, _MOST = 6, 60
"""Neighbours beside those that unknown slopes take up; with more of them than this they are too far away."""
_AGREE, _EXPLAINED, _UNEXPLAINED = 0.99, 0.9, 0.7
"""Labels that explain this part of the changes of the values agree with them, those of a remedy the second, and labels
that explain less than the last are derivatives of something else."""
_BETTER, _AS_GOOD = 0.03, 3.0
"""What a remedy leaves unexplained: at most this part of what the labels leave; a simpler remedy may leave so much more
than the best."""
_USUALLY = 0.2
"""A remedy also leaves at most this part of what labels leave at the usual place: a few steep places stand for all
squares, and slopes far apart fit there by a factor that is wrong elsewhere."""
_ROUGH = 0.03
"""Beyond this part of the changes that no slopes explain there is noise, or too few rows."""
_SAME = 0.1
"""A factor nearer to 1 may be what the distance of the neighbours makes of it."""
_GOOD = 0.01
"""Another sign that leaves no more than this is good enough."""
_MOST_FIELDS, _MOST_PERMUTED = 40, 5
_TINY = 1e-300
_APART = 8
"""Where noise hides how neighbours differ, only one row of so many is taken, and again."""


class Changes(NamedTuple):
    """How much an output changes from places to their neighbours, and what the labels say of it.

    The labels say: the sum over entries of coefficients times fields.
    """

    found: Float64[Tensor, "places pairs"]
    coefficients: Float64[Tensor, "places pairs entries"]
    fields: Float64[Tensor, "places pairs fields"]
    """Means of labels along the way; those of the entries come first, then those of other outputs."""
    unknown: Float64[Tensor, "places pairs unknowns"]
    """What each place may add freely, as some derivatives have no labels."""
    bends: bool
    """Whether second derivatives are compared with values, of which kinks tell more than the labels."""

    def known(self, change: Float64[Tensor, "places pairs ..."]) -> Tensor:
        """What is left of a change without what is free."""
        if not self.unknown.shape[-1]:
            return change
        q, _ = torch.linalg.qr(self.unknown)
        flat = change.reshape(*change.shape[:2], -1)
        return (flat - q @ (q.mT @ flat)).reshape(change.shape)

    def said(self, order: Sequence[int] | None = None) -> Float64[Tensor, "places pairs entries"]:
        """What each entry contributes, with the fields of these numbers."""
        order = range(self.coefficients.shape[-1]) if order is None else order
        return self.known(self.coefficients * self.fields[..., list(order)])

    def smooth(self) -> bool:
        """Whether free slopes at each place explain the changes, noise and jumps left aside."""
        _, pairs, unknowns = self.unknown.shape
        free = self._replace(unknown=torch.cat([self.unknown, self.coefficients], -1))
        left, whole = free.known(self.found).square().sum(), self.known(self.found).square().sum()
        freedom = (pairs - unknowns) / (pairs - free.unknown.shape[-1])
        return bool(left * freedom < _ROUGH * whole)


Comparison = tuple[list[Entry], Changes]
"""Entries, first those of an output, and what is compared."""


class Remedy(NamedTuple):
    """What could be done to labels, and the part of the squares of the changes that is then left, and left as usual."""

    text: str
    left: float
    usual: float


def contradictions(
    inputs: Float64[Tensor, "rows inputs"],
    labels: Sequence[Float64[Tensor, "rows outputs ..."]],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> Iterator[str]:
    """A sentence for each output whose derivative labels are not its derivatives, with what would fit.

    From a row to its neighbour a smooth function changes by the mean of the slopes at both times the distance; slopes
    do so by second derivatives.

    Args:
        inputs: (rows, inputs).
        labels: values (rows, outputs), then derivatives (rows, outputs, inputs), (rows, outputs, inputs, inputs); NaN:
            no label.
        input_names: for the sentence.
        output_names: likewise.
    """
    for order in range(1, len(labels)):
        found = [
            _contradiction(_compared(inputs, labels, o, order), input_names, output_names)
            for o in range(len(output_names))
        ]
        yield from (sentence for sentence in found if sentence is not None)
        if any(found):  # higher orders are compared with this one
            return


def _contradiction(levels: Iterator[Comparison], input_names: Sequence[str], output_names: Sequence[str]) -> str | None:
    """What is wrong with the labels of one output, by the nearest neighbours that noise does not hide it from."""
    for entries, changes in levels:
        found = changes.known(changes.found)
        as_they_are, usual = _shares(found, changes.said().sum(-1))
        if not found.any() or min(as_they_are, usual) <= 1 - _AGREE:
            return None
        names = [derivative_notation(output_names[o], [input_names[i] for i in by]) for o, *by in entries]
        own = some(names[: changes.coefficients.shape[-1]])
        begin = f"the labels {own} contradict how {output_names[entries[0][0]]} changes from row to row"
        other_sign, *others = _remedies(changes, found, entries, names)
        remedies = [each for each in (other_sign, *others) if each.usual <= _USUALLY * usual]
        best = min((remedy.left for remedy in remedies), default=1.0)
        if best <= min(1 - _EXPLAINED, _BETTER * as_they_are):
            enough = max(_AS_GOOD * best, _GOOD if other_sign.left <= _GOOD else 0.0)
            text = next(remedy.text for remedy in remedies if remedy.left <= enough)
            return f"{begin}: {text}. Mend them, or train without them (derivative_order=0)"
        if min(as_they_are, usual) > _UNEXPLAINED and changes.smooth() and not changes.bends:
            return (
                f"{begin}, and no other sign, factor or order makes them agree: are they derivatives of something "
                "else? Mend them, or train without them (derivative_order=0)"
            )
    return None


def _remedies(changes: Changes, found: Tensor, entries: Sequence[Entry], names: Sequence[str]) -> Iterator[Remedy]:
    """From simple to free."""
    said = changes.said()
    total = said.sum(-1)
    yield Remedy("the other sign fits (forces are minus the gradient)", *_shares(found, -total))
    for order in _orders(entries, said.shape[-1]):
        fit = some([names[i] for i in order])
        yield Remedy(f"they fit as {fit}, in this order", *_shares(found, changes.said(order).sum(-1)))
    factor = float((found * total).sum() / total.square().sum().clamp_min(_TINY))
    if abs(factor - 1) > _SAME:
        yield Remedy(
            f"about {factor:.3g} times the labels would fit, as if they were in other units",
            *_shares(found, factor * total),
        )
    factors = least_squares(said.flatten(0, 1), found.flatten()[:, None])[:, 0]
    shares = (factors.square() * said.square().sum((0, 1))) / found.square().sum()
    other = [i for i, share in enumerate(shares.tolist()) if abs(factors[i] - 1) > _SAME and share > 1 - _EXPLAINED]
    if other:
        text = " and ".join(f"about {float(factors[i]):.3g} times {names[i]}" for i in other)
        yield Remedy(f"{text} would fit, as if in other units", *_shares(found, (factors * said).sum(-1)))


def _orders(entries: Sequence[Entry], count: int) -> Iterator[tuple[int, ...]]:
    """Which columns may stand in the places of the first ones, this output's own."""
    own = tuple(range(count))
    yield from (_exchanged(own, a, b) for a, b in combinations(own, 2))
    if count <= _MOST_PERMUTED:
        yield from (order for order in permutations(own) if order != own)
    yield from (_exchanged(own, a, b) for a in own for b in range(count, len(entries)))
    output, place = entries[0][0], {entry: i for i, entry in enumerate(entries)}
    others = [[(o, *by) for _, *by in entries[:count]] for o in {o for o, *_ in entries} - {output}]
    transposed = [(i, output) for _, i in entries[:count]] if len(entries[0]) == 2 else []
    for columns in [*others, transposed]:
        if columns and all(column in place for column in columns):
            yield tuple(place[column] for column in columns)


def _exchanged(order: tuple[int, ...], a: int, b: int) -> tuple[int, ...]:
    return tuple({a: b, b: a}.get(i, i) for i in order)


def _shares(found: Tensor, said: Tensor) -> tuple[float, float]:
    """The part of the squares that is not explained: of all, and at the median of those places that change most."""
    left, whole = (found - said).square().sum(1), found.square().sum(1)
    most = whole >= whole.median()
    usual = (left / whole.clamp_min(_TINY))[most].median()
    return float(left.sum() / whole.sum().clamp_min(_TINY)), float(usual)


def _compared(inputs: Tensor, labels: Sequence[Tensor], output: int, order: int) -> Iterator[Comparison]:
    """The labels of an order beside the changes of an output, between neighbours farther and farther apart.

    Second derivatives are compared with the slopes where all of these have labels, else with the values.
    """
    every = list(combinations_with_replacement(range(inputs.shape[1]), order))
    label = {(o, *by): labels[order][(slice(None), o, *by)] for o in range(labels[0].shape[1]) for by in every}
    own = [entry for entry in label if entry[0] == output and label[entry].isfinite().any()]
    slopes = order == 2 and bool(labels[1][:, output].isfinite().any(0).all())
    compared = labels[1][:, output] if slopes else labels[0][:, output, None]
    given = torch.cat([compared, *(label[entry][:, None] for entry in own)], 1)
    rows = given.isfinite().all(1).nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:_ROWS]]
    others = [entry for entry in label if entry[0] != output and label[entry][rows].isfinite().all()]
    entries = [*own, *others[:_MOST_FIELDS]]
    bends = order == 2 and not slopes
    pairs = len(every) + _SPARE + (inputs.shape[1] if bends else 0)
    while own and pairs <= _MOST and len(rows) >= 4 * pairs:
        values = torch.stack([label[entry][rows] for entry in entries], 1)
        missing = [by for by in every if (output, *by) not in own]
        yield entries, _changes(inputs[rows], compared[rows], values, [by for _, *by in own], missing, pairs, bends)
        rows = rows[::_APART]


def _changes(
    inputs: Tensor, compared: Tensor, fields: Tensor, entries: Any, missing: Any, pairs: int, bends: bool
) -> Changes:
    """From rows to their nearest ones.

    Args:
        inputs: (rows, inputs).
        compared: the value, or all slopes, (rows, compared).
        fields: the labels, (rows, fields).
        entries: by which inputs the first of them are.
        missing: by which inputs there are no labels.
        pairs: how many neighbours.
        bends: whether labels are second derivatives, and the values are compared.
    """
    near = _neighbours(inputs, pairs)
    # the mean of slopes along the way; in a value, second derivatives count twice as much at its beginning
    here, there = (1 / 3, 1 / 6) if bends else (1 / 2, 1 / 2)
    step, found = (column[near] - column[: len(near), None] for column in (inputs, compared))
    along = here * fields[: len(near), None] + there * fields[near]
    known, unknown = ([_coefficient(step, by, not bends) for by in group] for group in (entries, missing))
    unknown += step[..., None].unbind(2) if bends else ()
    units = found.square().mean((0, 1)).sqrt()
    units = units.where(units > 0, 1.0)
    known, unknown = (_stacked([column / units for column in group], found) for group in (known, unknown))
    along = along[:, :, None].expand(*found.shape, -1).flatten(1, 2)
    return Changes((found / units).flatten(1), known, along, unknown, bends)


def _neighbours(inputs: Float64[Tensor, "rows inputs"], count: int) -> Int64[Tensor, "places count"]:
    """The rows nearest to each of the first ones."""
    x = inputs / spread(inputs)
    distances = torch.cdist(x[:_PLACES], x)
    distances.fill_diagonal_(torch.inf)
    return distances.topk(count, largest=False).indices


def _coefficient(step: Float64[Tensor, "places pairs inputs"], by: Sequence[int], by_slopes: bool) -> Tensor:
    """By what a derivative is multiplied along a step, (places, pairs, compared): in the value, or in each slope."""
    if len(by) == 1:
        return step[..., by[0], None]
    i, j = by
    if not by_slopes:
        return ((1 if i == j else 2) * step[..., i] * step[..., j])[..., None]
    found = torch.zeros_like(step)
    found[..., i] = step[..., j]
    found[..., j] = step[..., i]
    return found


def _stacked(columns: list[Tensor], like: Tensor) -> Float64[Tensor, "places pairs columns"]:
    return torch.stack(columns, -1).flatten(1, 2) if columns else like.new_zeros((*like.flatten(1).shape, 0))
