"""What labels leave open: functions that could be added to an output, and no label would notice."""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.functions.notation import derivative_notation, some
from sobolev.networks.scales import spread

Powers = tuple[int, ...]
"""The inputs whose product a monomial is, in ascending order: () is 1, (0, 0) the square of the first."""

_MOST_INPUTS = 10
"""With more of them, constants and slopes alone are looked at."""
_MOST_ROWS = 1000
"""Of each kind of label."""
_NOTHING = 1e-10
"""Squares of what labels see of a function, as part of the largest, that are rounding."""
_PART = 1e-4
"""A monomial takes part in the functions left open from this share on."""


def left_open(
    inputs: Float64[Tensor, "rows inputs"],
    labels: Sequence[Float64[Tensor, "rows outputs ..."]],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> Iterator[str]:
    """A sentence for each output that derivative labels leave open.

    Polynomials of degree 2 are tried, by the rank of what all labels say of them.

    Args:
        inputs: (rows, inputs).
        labels: values (rows, outputs), then derivatives (rows, outputs, inputs), (rows, outputs, inputs, inputs); NaN:
            no label.
        input_names: for the sentence.
        output_names: likewise.
    """
    if len(labels) < 2:
        return
    d = inputs.shape[1]
    degree = 2 if d <= _MOST_INPUTS else 1
    monomials = [powers for k in range(degree + 1) for powers in combinations_with_replacement(range(d), k)]
    x = (inputs - inputs.mean(0)) / spread(inputs)
    for o, name in enumerate(output_names):
        shares, count = _unseen(x, [label[:, o] for label in labels], monomials)
        free = [powers for powers, share in zip(monomials, shares.tolist(), strict=True) if share > _PART]
        if shares[0] < 1 - _PART and len(free) > 1:
            free = free[1:]  # the constant only makes the others vanish where there are values
        if free:
            parts = [derivative_notation(name, [input_names[i] for i in powers]) for powers in free]
            listed = [f"a constant of {part}" if part == name else part for part in parts]
            yield (
                f"the labels leave {some(listed)} undetermined, so that the network takes any: give {count} more "
                f"value{'s' if count > 1 else ''} of {name}, in other rows"
            )


def _unseen(
    x: Float64[Tensor, "rows inputs"], labels: Sequence[Tensor], monomials: Sequence[Powers]
) -> tuple[Float64[Tensor, " monomials"], int]:
    """How much of each monomial lies among the functions that no label of this output sees, and how many these are."""
    normal = torch.zeros(len(monomials), len(monomials), dtype=torch.float64)
    for order, label in enumerate(labels):
        for by in combinations_with_replacement(range(x.shape[1]), order):
            rows = label[(slice(None), *by)].isfinite().nonzero()[:, 0]
            rows = rows[:: max(1, len(rows) // _MOST_ROWS)]
            seen = torch.stack([_derivative(x[rows], powers, by) for powers in monomials], 1)
            normal += seen.T @ seen
    sizes, functions = torch.linalg.eigh(normal)
    hidden = functions[:, sizes <= _NOTHING * sizes[-1].clamp_min(1e-300)]
    return hidden.square().sum(1), hidden.shape[1]


def _derivative(x: Float64[Tensor, "rows inputs"], powers: Powers, by: Powers) -> Float64[Tensor, " rows"]:
    """Of a monomial, by some inputs."""
    factor, left = 1, list(powers)
    for i in by:
        factor *= left.count(i)
        if factor:
            left.remove(i)
    return factor * x[:, left].prod(1)
