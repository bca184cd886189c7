"""Which family of features: the one, or the mean of those, that predicts held-out rows best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sobolev.evidence.family import Family, Fit
from sobolev.evidence.kernels import Kernels
from sobolev.evidence.labels import Labels
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
        error: of held-out values in the same units, of derivatives if there are none; None where none were held out.
        fits: the networks to take so far, with the part of each in their mean.
    """

    says: str
    evidence: float
    noise: float
    error: float | None
    fits: tuple[tuple[float, Fit], ...]


def search(labels: Labels, seed: int = 0) -> Iterator[Stage]:
    """Learn every family on four fifths of the rows, choose by the rest, learn what was chosen on all.

    Args:
        labels: standardised.
        seed: of the rows that are held out.
    """
    x = labels.x
    labels = labels[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]
    held_out = max(1, round(_HELD_OUT * len(x)))
    learnt, kept = labels[held_out:], _Test(labels[:held_out], labels.sizes())
    found: list[tuple[Family, Fit, float]] = []
    for family in _families(int(labels.counts().sum()), x.shape[1]):
        family.learn(learnt)
        fit = family.fit(learnt)
        residuals = kept.residuals(fit)
        error = kept.error(residuals)
        found.append((family, fit, error))
        best = min(found, key=lambda item: item[2])
        shown = kept.shown(residuals)
        yield _stage(f"{family.name}: held-out error {shown:.2g}", fit, shown, ((1.0, best[1]),))
        if error < _EXACT:
            break
    chosen = _chosen(found, kept)
    fits = []
    for part, family in chosen:
        family.learn(labels)
        fits.append((part, family.fit(labels)))
    parts = " + ".join(f"{part:.0%} {fit.name}" for part, fit in fits)
    yield _stage(f"chosen: {parts}", fits[0][1], None, tuple(fits))


class _Test:
    """Held-out labels.

    Args:
        labels: these.
        sizes: root mean square of the labels of each order.
    """

    def __init__(self, labels: Labels, sizes: Sequence[float]) -> None:
        self.parts = labels.entries()
        self.sizes = torch.tensor(sizes, dtype=torch.float64, device=labels.x.device)

    def residuals(self, fit: Fit) -> list[Tensor]:
        """For each order that is there, in units of its labels."""
        parts = [(fit.at(part) - part.targets) / self.sizes[part.order][:, None] for part in self.parts]
        found = []
        for k in range(len(self.sizes)):
            own = [r[part.order == k].flatten() for r, part in zip(parts, self.parts, strict=True)]
            found.append(torch.cat(own))
        return [residuals for residuals in found if len(residuals)]

    def error(self, residuals: Sequence[Tensor]) -> float:
        """Root mean square, every order as much as any other."""
        return float(torch.stack([r.square().mean() for r in residuals]).mean().sqrt())

    def shown(self, residuals: Sequence[Tensor]) -> float:
        """Of the lowest order."""
        return float(residuals[0].square().mean().sqrt())


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


def _families(labels: int, inputs: int) -> list[Family]:
    terms = min(max(50, labels // 3), 400) if inputs == 1 else 500 if labels < 1000 else 1000
    return [Polynomials(inputs, terms), Kernels(inputs)]


def _stage(says: str, fit: Fit, error: float | None, fits: tuple[tuple[float, Fit], ...]) -> Stage:
    return Stage(says, fit.evidence, float(fit.noise[0].mean()), error, fits)


def _chosen(found: list[tuple[Family, Fit, float]], kept: _Test) -> list[tuple[float, Family]]:
    """The best family, or a mixture of the best two if that is clearly better."""
    (first, fit, error), *others = sorted(found, key=lambda item: item[2])
    if others and others[0][2] < _NEARLY * error:
        second, other, _ = others[0]
        pairs = list(zip(kept.residuals(fit), kept.residuals(other), strict=True))
        errors = [kept.error([w * there + (1 - w) * here for here, there in pairs]) for w in _MIXTURES.tolist()]
        part = float(_MIXTURES[errors.index(min(errors))])
        if min(errors) < _BETTER * error:
            return [(1 - part, first), (part, second)]
    return [(1.0, first)]
