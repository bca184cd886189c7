"""Which family of features: the one, or the mean of those, that predicts held-out rows best."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.evidence.family import Family, Fit
from sobolev.evidence.kernels import Kernels
from sobolev.evidence.polynomials import Polynomials
from sobolev.networks.surrogate import Surrogate

_HELD_OUT = 0.2
_BETTER = 0.9
"""A mean of two must have at most this part of the error of the better one."""
_EXACT = 1e-8
"""In units of the targets' own: what is as good as this needs no rival."""
_NEARLY = 2.0
"""So many times larger may the error of the other be: few held-out rows say little of small shares."""
_MIXTURES = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)


@dataclass(frozen=True)
class Stage:
    """One step of a search.

    Attributes:
        says: what was done.
        evidence: of the family's features, but for a constant.
        noise: its standard deviation as estimated, in units of the targets' own, mean over the outputs.
        error: on held-out rows in the same units; None where none were held out.
        fits: the networks to take so far, with the part of each in their mean.
    """

    says: str
    evidence: float
    noise: float
    error: float | None
    fits: tuple[tuple[float, Fit], ...]


def search(x: Float64[Tensor, "rows inputs"], y: Float64[Tensor, "rows outputs"], seed: int = 0) -> Iterator[Stage]:
    """Learn every family on four fifths of the rows, choose by the rest, learn what was chosen on all.

    Args:
        x: standardised inputs.
        y: standardised targets.
        seed: of the rows that are held out.
    """
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    x, y = x[order], y[order]
    held_out = max(1, round(_HELD_OUT * len(x)))
    learnt, kept = (x[held_out:], y[held_out:]), (x[:held_out], y[:held_out])
    found: list[tuple[Family, Fit, float]] = []
    for family in _families(*x.shape):
        family.learn(*learnt)
        fit = family.fit(*learnt)
        error = _error(fit(kept[0]), kept[1])
        found.append((family, fit, error))
        best = min(found, key=lambda item: item[2])
        yield _stage(f"{family.name}: held-out error {error:.2g}", fit, error, ((1.0, best[1]),))
        if error < _EXACT:
            break
    chosen = _chosen(found, *kept)
    fits = []
    for part, family in chosen:
        family.learn(x, y)
        fits.append((part, family.fit(x, y)))
    parts = " + ".join(f"{part:.0%} {fit.name}" for part, fit in fits)
    yield _stage(f"chosen: {parts}", fits[0][1], None, tuple(fits))


def network(fits: tuple[tuple[float, Fit], ...]) -> Surrogate:
    """Their mean as one network."""
    first = fits[0][1]
    inputs, outputs = first.slopes.shape
    made = Surrogate([fit.features for _, fit in fits], inputs, outputs).double()
    with torch.no_grad():
        made.last.bias.copy_(torch.stack([part * fit.bias for part, fit in fits]).sum(0))
        slopes = torch.stack([part * fit.slopes for part, fit in fits]).sum(0)
        made.last.weight.copy_(torch.cat([slopes, *(part * fit.weights for part, fit in fits)]).T)
    return made


def _families(rows: int, inputs: int) -> list[Family]:
    terms = min(max(50, rows // 3), 400) if inputs == 1 else 500 if rows < 1000 else 1000
    return [Polynomials(inputs, terms), Kernels(inputs)]


def _error(predicted: Tensor, truth: Tensor) -> float:
    return float((predicted - truth).square().mean().sqrt())


def _stage(says: str, fit: Fit, error: float | None, fits: tuple[tuple[float, Fit], ...]) -> Stage:
    return Stage(says, fit.evidence, float(fit.noise.mean()), error, fits)


def _chosen(found: list[tuple[Family, Fit, float]], x: Tensor, y: Tensor) -> list[tuple[float, Family]]:
    """The best family, or a mixture of the best two if that is clearly better."""
    (first, fit, error), *others = sorted(found, key=lambda item: item[2])
    if others and others[0][2] < _NEARLY * error:
        second, other, _ = others[0]
        here, there = fit(x) - y, other(x) - y
        errors = torch.stack([(w * there + (1 - w) * here).square().mean().sqrt() for w in _MIXTURES])
        part = float(_MIXTURES[errors.argmin()])
        if float(errors.min()) < _BETTER * error:
            return [(1 - part, first), (part, second)]
    return [(1.0, first)]
