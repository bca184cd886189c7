"""What goes into a file and what comes out of it, by names: those of the columns that `predict` writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Operator = Literal["derivatives", "jacobian", "hessian", "hessian_diagonal", "laplacian"]
Names = Mapping[str, str] | Sequence[str]
"""Names in place of those that `predict` gives: of derivatives and outputs by those, or of the outputs in a row."""

_MOST_COLUMNS = 16
"""With more inputs or outputs that have no names of their own, they stay together."""


class Output(NamedTuple):
    """One output of the file.

    Attributes:
        name: what it is called.
        order: of which result of the operator it is a part.
        place: which column of that result, all axes but the batch flattened; None: all of it.
        inputs: the numbers of the inputs it is differentiated by, where that is known.
    """

    name: str
    order: int
    place: int | None
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a file.

    Attributes:
        inputs: names of the inputs of the file; one for each input of the network, or one for all of them.
        columns: names of the inputs of the network.
        outputs: of the file.
        sample: the shape of one sample that goes into the network.
    """

    inputs: tuple[str, ...]
    columns: tuple[str, ...]
    outputs: tuple[Output, ...]
    sample: torch.Size

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Points (batch, *in) as the file takes them."""
        return (x,) if len(self.inputs) == 1 else x.split(1, dim=1)

    def joined(self, *inputs: Tensor) -> Tensor:
        """The same the other way round."""
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)

    def pick(self, results: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs, of the results of an operator: columns (batch, 1), or all of it."""
        columns = [
            () if whole else result.reshape(result.shape[0], -1).split(1, dim=1)
            for result, whole in zip(results, self._whole(len(results)), strict=True)
        ]
        return tuple(results[o.order] if o.place is None else columns[o.order][o.place] for o in self.outputs)

    def _whole(self, orders: int) -> list[bool]:
        return [any(o.place is None for o in self.outputs if o.order == k) for k in range(orders)]


def signature(
    operator: Operator, order: int, sample: torch.Size, outputs: int, given: Sequence[str] | None, names: Names | None
) -> Signature:
    """Name what goes in and out.

    Args:
        operator: which derivatives.
        order: the highest, of `derivatives`.
        sample: the shape of one sample.
        outputs: how many numbers come out for each.
        given: names of the inputs, where there are such.
        names: see `Names`.

    Raises:
        ValueError: names that fit to nothing, or of which two are alike.
    """
    count = sample.numel()
    together = given is None and (len(sample) != 1 or max(count, outputs) > _MOST_COLUMNS)
    if given is not None and (len(sample) != 1 or len(given) != count):
        raise ValueError(f"inputs names {', '.join(given)}, but a sample is of shape {tuple(sample)}")
    ins = ["x"] if together else list(given or _numbered("x", count))
    outs = ["y"] if together else _numbered("y", outputs)
    outs = list(names) if names is not None and not isinstance(names, Mapping) else outs
    if not together and len(outs) != outputs:
        raise ValueError(f"names has {len(outs)} names for {outputs} outputs: {', '.join(outs)}")
    own = dict(names) if isinstance(names, Mapping) else {}
    usual = _outputs(operator, order, ins, outs, together)
    found = _outputs(operator, order, ins, [own.get(y, y) for y in outs], together)
    _check(own, [output.name for output in (*usual, *found)])
    found = [
        output._replace(name=own.get(before.name, own.get(output.name, output.name)))
        for before, output in zip(usual, found, strict=True)
    ]
    inputs = tuple(ins) if given is not None or len(ins) == 1 else ("x",)
    _check_different([*inputs, *(output.name for output in found)])
    return Signature(inputs, tuple(ins), tuple(found), sample)


def _numbered(letter: str, count: int) -> list[str]:
    return [letter] if count == 1 else [f"{letter}{k + 1}" for k in range(count)]


def _outputs(operator: Operator, order: int, ins: Sequence[str], outs: Sequence[str], together: bool) -> list[Output]:
    return _whole(operator, order, outs[0]) if together else _columns(operator, order, ins, outs)


def _whole(operator: Operator, order: int, y: str) -> list[Output]:
    highest = {"derivatives": order, "jacobian": 1}.get(operator, 2)
    names = [_notation(y, ["x"] * k) for k in range(highest + 1)]
    if operator == "laplacian":
        names[2] = f"laplacian({y})"
    return [Output(name, k, None, ()) for k, name in enumerate(names)]


def _columns(operator: Operator, order: int, ins: Sequence[str], outs: Sequence[str]) -> list[Output]:
    """The values, then per order all outputs, as `predict` has its columns."""
    d = len(ins)
    found = [Output(y, 0, o, ()) for o, y in enumerate(outs)]
    if operator == "derivatives":
        return found + [
            Output(_notation(y, [*ins] * k), k, o, (0,) * k) for k in range(1, order + 1) for o, y in enumerate(outs)
        ]
    found += [Output(_notation(y, [x]), 1, o * d + i, (i,)) for o, y in enumerate(outs) for i, x in enumerate(ins)]
    if operator == "hessian":
        pairs = list(combinations_with_replacement(range(d), 2))
        return found + [
            Output(_notation(y, [ins[i], ins[j]]), 2, (o * d + i) * d + j, (i, j))
            for o, y in enumerate(outs)
            for i, j in pairs
        ]
    if operator == "hessian_diagonal":
        return found + [
            Output(_notation(y, [x, x]), 2, o * d + i, (i, i)) for o, y in enumerate(outs) for i, x in enumerate(ins)
        ]
    if operator == "laplacian":
        found += [Output(f"laplacian({y})", 2, o, ()) for o, y in enumerate(outs)]
    return found


def _notation(y: str, by: Sequence[str]) -> str:
    from sobolev.functions.notation import derivative_notation  # its room brings sympy

    return derivative_notation(y, by)


def _check(own: Mapping[str, str], known: Sequence[str]) -> None:
    for name in own:
        if name not in known:
            raise ValueError(f"names: there is no output {name!r} to rename; there are {', '.join(known[:12])}")


def _check_different(names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"the file would have two things called {twice[0]!r}; give names of your own")
