"""Is a file right? It is run at several batch sizes and compared with nested reverse mode in float64."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sobolev.errors import UntrustworthyDerivativeError
from sobolev.export.signature import Output, Signature

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""A file at work: its inputs to its outputs."""

BATCHES = (1, 2, 7, 4096)

_ALLOWED = {torch.float32: 2e-5, torch.float64: 1e-10}
"""Relative errors up to these are rounding..."""
_TIMES_EAGER = 10
"""...and so are those up to so many times what PyTorch itself makes in the same precision (weights may cancel)..."""
_NEVER = 1e-2
"""...but not these: then the network is another one with every call."""
_NEGLIGIBLE = 1e-3
"""A derivative that is nowhere larger than this times the spread of the values by that of the inputs is taken for 0."""


class Errors:
    """The errors of each output, relative to the largest size of it.

    Args:
        names: see there.
        x: the points, (rows, *in), in float64.
        truth: what the outputs are there.
    """

    def __init__(self, names: Signature, x: Tensor, truth: Sequence[Tensor]) -> None:
        self.outputs, self.truth = names.outputs, truth
        self.scales = [_scale(output, t, truth[0], x) for output, t in zip(names.outputs, truth, strict=True)]

    def of(self, found: Sequence[Tensor]) -> list[float]:
        """The largest error of each output in the first rows, as many as were found."""
        return [
            _largest(got, t[: len(got)], scale) for got, t, scale in zip(found, self.truth, self.scales, strict=True)
        ]

    def rounding(self, x: Tensor, eager: Callable[[Tensor], Sequence[Tensor]]) -> list[float]:
        """The errors that PyTorch itself makes in the precision of x, there and where the last bits of x are others."""
        elsewhere = torch.nextafter(x, torch.full_like(x, torch.inf))
        return list(map(max, self.of(eager(x)), self.of(eager(elsewhere))))


def check(
    run: Run,
    names: Signature,
    x: Tensor,
    errors: Errors,
    eager: Callable[[Tensor], Sequence[Tensor]],
) -> list[float]:
    """The largest error of each output over all batch sizes.

    Args:
        run: the file.
        names: of its inputs and outputs.
        x: the points in the file's precision, as many as the largest batch.
        errors: see there.
        eager: the outputs by PyTorch in the same precision.

    Raises:
        UntrustworthyDerivativeError: the file fails at a batch size, or its numbers are wrong.
    """
    worst = [0.0] * len(names.outputs)
    for rows in sizes(len(x)):
        try:
            found = run(names.split(x[:rows]))
        except Exception as error:
            raise UntrustworthyDerivativeError(f"it does not run on a batch of {rows}: {_first_line(error)}") from error
        for output, got, t in zip(names.outputs, found, errors.truth, strict=True):
            if got.shape != t[:rows].shape:
                shapes = f"{tuple(got.shape)} on a batch of {rows}; it must be {tuple(t[:rows].shape)}"
                raise UntrustworthyDerivativeError(f"{output.name} has shape {shapes}")
        worst = list(map(max, worst, errors.of(found)))
    usual = _ALLOWED[x.dtype]
    rounding = errors.rounding(x, eager) if not max(worst) <= usual else [0.0] * len(worst)
    for output, error, own in zip(names.outputs, worst, rounding, strict=True):
        most = max(usual, min(_TIMES_EAGER * own, _NEVER))
        if not error <= most:
            coarse = x.dtype == torch.float32 and _TIMES_EAGER * own > _NEVER
            advice = f"; PyTorch's own is, too, by {own:.1e}: write it in float64 (dtype=torch.float64, --float64)"
            raise UntrustworthyDerivativeError(
                f"{output.name} is wrong by {error:.1e} of its size against reverse mode in float64, where {most:.0e} "
                "would be rounding" + advice * coarse
            )
    return worst


def sizes(largest: int) -> list[int]:
    """The batch sizes."""
    return sorted({min(rows, largest) for rows in BATCHES})


def _scale(output: Output, truth: Tensor, values: Tensor, x: Tensor) -> float:
    """The largest size of an output, or what it would have if the values changed over the range of the points."""
    size = _finite(truth).abs().max().item()
    if not output.order:
        return max(size, torch.finfo(torch.float64).tiny)
    spreads, flat = _spread(_finite(values)), x.reshape(len(x), -1)
    width = flat.amax(0) - flat.amin(0)
    by = output.inputs if output.inputs else (int(width.argmax()),) * output.order
    for i in by:
        spreads = spreads / max(width[i].item(), torch.finfo(torch.float64).tiny)
    return max(size, _NEGLIGIBLE * spreads, torch.finfo(torch.float64).tiny)


def _finite(tensor: Tensor) -> Tensor:
    return torch.where(tensor.isfinite(), tensor, 0)


def _spread(values: Tensor) -> float:
    return (values.max() - values.min()).item()


def _largest(found: Tensor, truth: Tensor, scale: float) -> float:
    """NaN where the file has a number that is not finite and should be."""
    known = truth.isfinite()
    gap = torch.where(known, (found.double() - truth).abs(), 0)
    return gap.max().item() / scale if gap.numel() else 0.0


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
