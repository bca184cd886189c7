"""Which families of features: the mean of those that predicts held-out rows best."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from sobolev.networks.surrogate import Surrogate
from sobolev.surrogates.family import Family, Fit
from sobolev.surrogates.kernels import LITTLE_NOISE, MOST_CENTRES, Kernels
from sobolev.surrogates.labels import Labels, scarce
from sobolev.surrogates.polynomials import Polynomials
from sobolev.surrogates.waves import Waves

KINDS = ("waves", "polynomials", "kernel", "deep kernel")
_HELD_OUT = 0.2
_EXACT, _EXACT_WAVES = 1e-8, 1e-12
"""In units of the targets' own: what is as good as this needs no rival; waves that are less exact are no waves."""
_SPREAD = 0.1
"""Of the shares in a mean before the held-out rows were seen, at least."""
_TEMPER = 4.0
"""Logarithms of evidence that count for one: each is approximate, and leaves out constants."""
_SMALLEST = 0.02
"""A share that is worth its features."""
_RIVAL = 3.0
"""Whoever errs so many times more than the best on held-out rows spoils the mean where none were held out."""
_ROUNDING = 1e-32
"""A mean square that is none."""
_FEW = 40
"""Rows of which four fifths may tell another story than all: what is learnt begins anew as well."""
_POINTS = 1000
"""Between the rows, at which predictions are looked at."""
_WILD = 3.0
"""Held-out errors that predictions may lie beyond what was seen."""
_TRUSTED = 30.0
"""Held-out errors above which nothing is said against a fit: what is right to many digits may be steep in a corner."""
_CLEAN = 0.1
"""A held-out error above which labels may well be too noisy to begin with little noise."""


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


def search(
    labels: Labels,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    highest_degree: int | None = None,
    centres: int = MOST_CENTRES,
) -> Iterator[Stage]:
    """Learn every family on four fifths of the rows, choose shares by the rest, learn what was chosen on all.

    Args:
        labels: standardised.
        seed: of the rows that are held out.
        kinds: of families to try.
        highest_degree: of polynomials in an input; None: as high as float64 and the rows allow.
        centres: of a kernel, at most.
    """
    x = labels.x
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    labels = labels[order[scarce(labels.tensors)[order].byte().argsort(stable=True)]]  # the first are held out
    held_out = max(1, round(_HELD_OUT * len(x)))
    learnt, kept = labels[held_out:], _Test(labels[:held_out], labels.sizes())
    families, beginnings, found, seen = [], [], [], _Seen(labels)
    errors = torch.tensor([torch.inf])
    for family, most in _families(int(labels.counts().sum()), x.shape[1], highest_degree, centres):
        if family.kind not in kinds:
            continue
        if errors.min() > most**2:
            break
        untouched = copy.deepcopy(family)
        family.learn(learnt)
        if isinstance(family, Waves) and not family.worth and len(kinds) > 1:
            continue  # no function of this kind
        families.append(family)
        beginnings.append(untouched)
        found.append(family.fit(learnt))
        moments = kept.moments(found)
        errors = moments.diagonal()
        shown = kept.shown(found[-1])
        best = found[int(errors.argmin())]
        yield _stage(f"{family.name}: held-out error {shown:.2g}", found[-1], shown, ((1.0, best),))
        if errors[-1] < (_EXACT_WAVES if family.kind == "waves" else _EXACT) ** 2:
            break
    right = errors.sqrt()
    wild = torch.stack([seen.beyond(fit) for fit in found]).minimum(_TRUSTED * right)
    moments = moments + wild.square().diag()
    rivals = (moments.diagonal() <= _RIVAL**2 * moments.diagonal().min().clamp_min(_ROUNDING)).nonzero()[:, 0]
    fits, kept_labels = [], labels[:held_out].first(round(_HELD_OUT * centres))
    prior = _prior([families[k] for k in rivals.tolist()], learnt.first(round((1 - _HELD_OUT) * centres)), kept_labels)
    parts = moments.new_zeros(len(found))
    parts[rivals] = shares(moments[rivals][:, rivals], prior, held_out)
    for part, k in _chosen(parts):
        starts = [families[k], beginnings[k]] if len(labels) <= _FEW else [families[k]]
        fit = max((_learnt(family, labels) for family in starts), key=lambda fit: fit.evidence)
        if seen.beyond(fit).minimum(_TRUSTED * right[k]) <= torch.maximum(_WILD * right[k], wild[k]):
            fits.append((part, fit))
    fits = _summing_to_one(fits) or [(1.0, found[int(moments.diagonal().argmin())])]
    said = " + ".join(f"{part:.0%} {fit.name}" for part, fit in fits)
    yield _stage(f"chosen: {said}", fits[0][1], None, tuple(fits))


def _learnt(family: Family, labels: Labels) -> Fit:
    family.learn(labels)
    return family.fit(labels)


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

    def moments(self, fits: Sequence[Fit]) -> Float64[Tensor, "fits fits"]:
        """Mean products of their residuals, every order as much as any other."""
        orders = zip(*map(self.residuals, fits), strict=True)
        parts = [torch.stack(own) for own in orders]
        return torch.stack([own @ own.T / own.shape[1] for own in parts]).mean(0)

    def shown(self, fit: Fit) -> float:
        """Root mean square of the residuals of the lowest order."""
        return float(self.residuals(fit)[0].square().mean().sqrt())


class _Seen:
    """What the values were, for predictions that go wild where a few held-out rows do not see it.

    Looked at are points with the inputs of different rows, each as likely as in the data, and outputs with a value in
    every row: the range of a few values beside gradients says nothing about elsewhere.

    Args:
        labels: of all rows.
    """

    def __init__(self, labels: Labels) -> None:
        generator = torch.Generator().manual_seed(0)
        rows = torch.randint(len(labels), (_POINTS, labels.x.shape[1]), generator=generator).to(labels.x.device)
        self.points = labels.x.gather(0, rows)
        values = labels.tensors[0]
        self.known = values.isfinite().all(0)
        self.low, self.high = values.amin(0), values.amax(0)

    def beyond(self, fit: Fit) -> Float64[Tensor, ""]:
        """Root mean square of how far values lie outside their range, and half of it more, in units of the targets'."""
        if not self.known.any():
            return self.points.new_zeros(())
        values, margin = fit(self.points), (self.high - self.low) / 2
        outside = (values - self.high - margin).clamp_min(0) + (self.low - margin - values).clamp_min(0)
        return outside[:, self.known].square().mean().sqrt()


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


def _families(labels: int, inputs: int, highest_degree: int | None, centres: int) -> list[tuple[Family, float]]:
    """In the order in which they are tried, and up to which held-out error of the best before them."""
    terms = min(max(50, labels), 400) if inputs == 1 else 500 if labels < 1000 else 1000
    always: list[Family] = [
        Waves(inputs),
        Polynomials(inputs, terms, highest_degree=highest_degree),
        Kernels(inputs, units=0, centres=centres),
        Kernels(inputs, centres=centres),
    ]
    anew = Kernels(inputs, log_noise=LITTLE_NOISE, centres=centres)
    return [*((family, torch.inf) for family in always), (anew, _CLEAN)]


def _stage(says: str, fit: Fit, error: float | None, fits: tuple[tuple[float, Fit], ...]) -> Stage:
    return Stage(says, fit.evidence, float(fit.noise[0].mean()), error, fits)


def _prior(families: Sequence[Family], learnt: Labels, kept: Labels) -> Float64[Tensor, " families"]:
    """Parts by the evidence; several searches of one kind share theirs, since they err alike.

    Held-out rows count, beside those that were learnt, by half, as the shares hear them again: whoever has learnt the
    noise is surprised by them.
    """
    kinds, logarithms = [family.kind for family in families], {}
    if len(set(kinds)) == 1:
        return torch.full((len(kinds),), 1 / len(kinds), dtype=torch.float64)
    for kind in dict.fromkeys(kinds):
        family = families[kinds.index(kind)]
        own = family.evidence(learnt)
        logarithms[kind] = (own - family.cost(learnt)) / _TEMPER + (family.evidence(learnt + kept) - own) / 2
    return torch.tensor([logarithms[kind] - math.log(kinds.count(kind)) for kind in kinds]).double().softmax(0)


def shares(
    moments: Float64[Tensor, "fits fits"], prior: Float64[Tensor, " fits"], rows: int
) -> Float64[Tensor, " fits"]:
    """The parts of several fits in the mean that predicts best; those of the prior where the rows do not tell.

    Least squares on held-out rows with a Gaussian prior, of parts that are not negative (stacking; Breiman, Stacked
    regressions, 1996): under noise many means predict alike, and the mean of several errs less than most.

    Args:
        moments: mean products of their errors.
        prior: the parts before any row was held out.
        rows: how many the means are over.
    """
    count = len(moments)
    least = moments.diagonal().min().clamp_min(_ROUNDING)
    own = 1 / (prior * (1 - prior)).clamp_min(_SPREAD**2)  # the variance of what is all with this probability, or none
    precision = rows * moments / least + own.diag()
    found, active = moments.new_zeros(count), list(range(count))
    while True:
        sides = moments.new_ones(len(active), 2)
        sides[:, 0] = (prior * own)[active]
        free, each = torch.linalg.solve(precision[active][:, active], sides).T
        parts = free + each * (1 - free.sum()) / each.sum()
        if len(active) == 1 or parts.min() >= _SMALLEST:
            found[active] = parts
            return found
        active.pop(int(parts.argmin()))


def _chosen(parts: Float64[Tensor, " families"]) -> list[tuple[float, int]]:
    """The numbers of those with a part, the largest first."""
    pairs = [(part, k) for k, part in enumerate(parts.tolist()) if part > 0]
    return sorted(pairs, key=lambda pair: -pair[0])


def _summing_to_one(fits: list[tuple[float, Fit]]) -> list[tuple[float, Fit]]:
    total = sum(part for part, _ in fits)
    return [(part / total, fit) for part, fit in fits]
