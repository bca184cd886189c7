"""What the evidence that made a `Surrogate` leaves open of its derivatives.

Each family of features is a Gaussian process: weights with a common prior variance on features that know their sizes,
or bumps at the rows, whose weights are those of a kernel. Of the value, the gradient and the Hessian its posterior is
exact for given features (Rasmussen & Williams, 2006, chapters 2 and 9.4). That the truth may be one of several
families, which differ, adds to what each leaves open (Hoeting et al., Bayesian model averaging, 1999).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.aliasing import Aliasing
from sobolev.estimates.kernel_posterior import CENTRES, KernelHypothesis, KernelPosterior
from sobolev.estimates.label_rows import LabelRows
from sobolev.estimates.local_levels import LeftOut, LocalLevels
from sobolev.estimates.upper_triangles import square
from sobolev.estimates.weights_posterior import WeightsPosterior
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.hidden_units import HiddenUnits
from sobolev.networks.kernel_features import KernelFeatures
from sobolev.networks.standardized import Standardized
from sobolev.networks.surrogate import Surrogate
from sobolev.surrogates.labels import standardized

_LABELS = 10_000
"""So many are looked at."""
_AT_ROWS = 256
"""So many rows say what polynomials expect there."""
_NUMBERS = 1 << 23
"""About so many are in memory at a time."""


@dataclass(frozen=True)
class SurrogatePosterior:
    """The posterior of a `Surrogate` behind a standardisation.

    Attributes:
        parts: of each family of features, in standardised inputs and outputs.
        noise: standard deviations of the labels' noise, as each sees it, (parts, outputs).
        shares: how probable each part is, (parts, outputs).
        levels: what its mean squares are multiplied by, (parts, outputs).
        several: whether what the parts differ by from their mean, the network, counts.
        aliasing: what rows at few levels of an input cannot tell; None where there are many.
        at_rows: mean squares that polynomials expect at the rows, standardised, (parts, outputs); empty without.
        local: what the mean squares of each part are multiplied by at least, from place to place; empty: by nothing.
            Rows left out in turn say it, of more than 1,000 those held out.
    """

    parts: list[WeightsPosterior | KernelPosterior]
    noise: Float64[Tensor, "parts outputs"]
    shares: Float64[Tensor, "parts outputs"]
    levels: Float64[Tensor, "parts outputs"]
    several: bool
    aliasing: Aliasing | None = None
    at_rows: Float64[Tensor, "parts outputs"] = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    local: list[LocalLevels] = field(default_factory=list)

    @classmethod
    def fit(
        cls, model: nn.Module, x: Tensor, y: Float64[Tensor, "rows outputs"], derivatives: list[Tensor] | None = None
    ) -> Self | None:
        """That of the surrogate which a model is; None where it is something else.

        Args:
            model: in eval mode and float64.
            x: training rows, (rows, inputs).
            y: their values, finite.
            derivatives: gradients and Hessians that were learnt too, (rows, outputs, *inputs); NaN is no label.
        """
        network = _standardized(model, x)
        if network is None or not _features(network):
            return None
        scales = network.input_mean, network.input_scale, network.output_mean, network.output_scale
        labels = standardized(x, tuple(t.to(x) for t in (y, *(derivatives or ()))), *scales)
        inner = network.network
        rows = LabelRows.of(labels.first(_LABELS), lambda x, order: list(derivative_tensors(inner, x, order)))
        parts = [_part(module, rows) for module in _features(network)]
        noise = torch.stack([part.noise for part in parts]).sqrt() * network.output_scale.cpu()
        ones, several = torch.ones_like(noise), len(parts) > 1 and len(rows.x) <= CENTRES
        pairs = zip(_features(network), parts, strict=True) if rows.plain and len(rows.x) <= CENTRES else ()
        local = [LocalLevels.fit(rows.x.cpu(), part.left_out(module, rows), part.noise) for module, part in pairs]  # pyright: ignore[reportArgumentType]
        found = cls(parts, noise, ones / len(parts), ones, several, local=local)
        least = torch.stack([part.noise for part in parts]).amin(0)
        aliasing = Aliasing.fit(inner, labels.x, least) if rows.plain else None
        if aliasing is None:
            return found
        at_rows = found.of_values(model, x[:_AT_ROWS]).mean(1) / network.output_scale.cpu().square()
        return replace(found, aliasing=aliasing, at_rows=at_rows)

    @property
    def untested(self) -> bool:
        """Whether rows lie on a grid, where none tests which points between levels a kernel takes to be far apart."""
        return self.aliasing is not None and any(isinstance(part, KernelPosterior) for part in self.parts)

    def with_places(
        self,
        model: nn.Module,
        x: Tensor,
        squares: Float64[Tensor, "rows outputs"],
        expected: Float64[Tensor, "parts rows outputs"],
    ) -> Self:
        """With levels from place to place by held-out values, where rows left out in turn have not told them.

        Args:
            model: the one it was fitted to, in eval mode and float64.
            x: rows that were held out, (rows, inputs).
            squares: of what their values are missed by; NaN is no value.
            expected: what each part expects of them, see `of_values`.
        """
        if self.local or not squares.isfinite().all():
            return self
        inputs, pairs = _inputs(model, x), zip(expected, self.noise.square(), strict=True)
        return replace(self, local=[LocalLevels.fit(inputs, LeftOut(squares, own), noise) for own, noise in pairs])

    def mean_squares(
        self, model: nn.Module, x: Tensor, order: int, tower: Sequence[Tensor] | None = None
    ) -> list[Float64[Tensor, "points outputs *inputs"]]:
        """Of the errors of value, gradient and Hessian: what the parts expect goes together, so deviations are added.

        Args:
            model: the one it was fitted to, in eval mode and float64.
            x: points, (points, inputs).
            order: up to which, at most 2.
            tower: the model's value and derivatives there, if they are known.
        """
        shares, (of_values, of_derivatives) = self.shares[:, :, None], self._levels(model, x)
        found, unseen = [], self._unseen(model, x, order)
        for k, parts in enumerate(zip(*self._squares(model, x, order, tower, inside=True), strict=True)):
            levels = of_derivatives if k else of_values
            squares = [level * part + more[k] for level, part, more in zip(levels, parts, unseen, strict=True)]
            deviation = torch.stack([s * each.sqrt() for s, each in zip(shares, squares, strict=True)]).sum(0)
            found.append(deviation[..., 0] if k == 0 else deviation if k == 1 else square(deviation))
        return [deviation.square() for deviation in found]

    def of_values(self, model: nn.Module, x: Tensor) -> Float64[Tensor, "parts points outputs"]:
        """Mean squares of the errors of values, as each part sees them, before its level."""
        return torch.stack([part[0][..., 0] for part in self._squares(model, x, 0, None)])

    def _levels(
        self, model: nn.Module, x: Tensor
    ) -> tuple[list[Float64[Tensor, "points outputs 1"]], list[Float64[Tensor, "points outputs 1"]]]:
        """Of each part's values and derivatives at points: that of held-out values, or what the place shows if larger.

        Where a kernel expects more of values than they show, it is noise that it must take for granted in float64, and
        long waves. Of the shorter ones, which derivatives are made of, that says half as much (in logarithms); on a
        grid nothing, and of values between the levels neither.
        """
        powers = (1.0, 0.5) if self.aliasing is None else (0.0, 0.0)
        inputs = _inputs(model, x)
        least = [local.at(inputs) for local in self.local] or [torch.zeros_like(self.noise[:1])] * len(self.parts)
        triples = list(zip(self.parts, self.levels, least, strict=True))
        values, derivatives = (
            [torch.maximum(_believed(part, level, power), own)[:, :, None] for part, level, own in triples]
            for power in powers
        )
        return values, derivatives

    def _unseen(self, model: nn.Module, x: Tensor, order: int) -> list[list[Tensor]]:
        """What aliasing adds to each part, for each order: polynomials, and waves, know no degrees but their own."""
        nothing = [torch.zeros(1, dtype=torch.float64)] * (order + 1)
        if self.aliasing is None:
            return [nothing for _ in self.parts]
        network = _standardized(model, x)
        assert network is not None
        inputs = (x - network.input_mean) / network.input_scale
        unseen = _in_units(self.aliasing.squares(inputs, order), network)
        return [nothing if isinstance(part, KernelPosterior) else unseen for part in self.parts]

    def _squares(
        self, model: nn.Module, x: Tensor, order: int, tower: Sequence[Tensor] | None, *, inside: bool = False
    ) -> list[list[Tensor]]:
        """For each part and order, (points, outputs, entries), in the units of the data.

        Args:
            model: as in `mean_squares`.
            x: the same.
            order: the same.
            tower: the same.
            inside: of polynomials, what the levels tell alone.
        """
        network = _standardized(model, x)
        assert network is not None
        scales = network.input_mean, network.input_scale, network.output_mean, network.output_scale
        steps = network.input_scale
        i, j = torch.triu_indices(len(steps), len(steps))
        given = None
        if self.several:
            if tower is None or tower[0].dtype != torch.float64:
                tower = derivative_tensors(network, x, order)
            value, *rest = standardized(x, tuple(t.to(x.device) for t in tower[: order + 1]), *scales).tensors
            given = [t.cpu() for t in (value[:, :, None], *rest[:1], *(t[:, :, i, j] for t in rest[1:]))]
        inputs = (x - network.input_mean) / network.input_scale
        pairs = list(zip(_features(network), self.parts, strict=True))
        found = [_in_pieces(part, features, inputs, order, given) for features, part in pairs]
        if inside and self.aliasing is not None:
            carried = self.aliasing.carried(inputs, order)
            for k, (features, _) in enumerate(pairs):
                if isinstance(features, ChebyshevFeatures):
                    most = [grown[:, None] * self.at_rows[k][:, None] for grown in carried]
                    found[k] = [torch.minimum(own, each) for own, each in zip(found[k], most, strict=True)]
        return [_in_units(squares, network) for squares in found]

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return _plain(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The posterior whose `state` this is."""
        parts: dict[str, Any] = {"parts": [_family(part) for part in state["parts"]]}
        parts["local"] = [LocalLevels(**each) for each in state.get("local", ())]
        if state.get("aliasing") is not None:
            parts["aliasing"] = Aliasing(**state["aliasing"])
        return cls(**(state | parts))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _family(state: dict[str, Any]) -> WeightsPosterior | KernelPosterior:
    if "directions" in state:
        return WeightsPosterior(**state)
    parts: dict[str, Any] = {"hypotheses": [KernelHypothesis(**each) for each in state["hypotheses"]]}
    return KernelPosterior(**(state | parts))


def _believed(part: WeightsPosterior | KernelPosterior, level: Tensor, power: float) -> Tensor:
    """What values that are better than expected say, to a power where the part is a kernel."""
    return level.where(level > 1, level**power) if isinstance(part, KernelPosterior) else level


def _standardized(model: nn.Module, x: Tensor) -> Standardized | None:
    """The standardised surrogate whose outputs are those of the model."""
    for module in model.modules():
        if isinstance(module, Standardized) and isinstance(module.network, Surrogate) and x.dim() == 2:
            return module if torch.equal(model(x[:8]), module(x[:8])) else None
    return None


def _inputs(model: nn.Module, x: Tensor) -> Float64[Tensor, "points inputs"]:
    """Standardised, on the CPU."""
    network = _standardized(model, x)
    assert network is not None
    return ((x - network.input_mean) / network.input_scale).cpu()


def _in_units(squares: list[Tensor], network: Standardized) -> list[Tensor]:
    """Of the data: squares of values, slopes and second derivatives, (points, outputs, entries), standardised."""
    unit, steps = network.output_scale.cpu().square(), network.input_scale.cpu().square()
    i, j = torch.triu_indices(len(steps), len(steps))
    units = [torch.ones_like(steps[:1]), steps, steps[i] * steps[j]]
    return [each * unit[:, None] / own for each, own in zip(squares, units, strict=False)]


def _features(network: Standardized) -> list[nn.Module]:
    """None, where the last layer was solved for units of a perceptron as well."""
    features: list[nn.Module] = list(network.network.features)  # pyright: ignore[reportArgumentType]
    return [] if any(isinstance(module, HiddenUnits) for module in features) else features


def _part(module: nn.Module, labels: LabelRows) -> WeightsPosterior | KernelPosterior:
    kind = KernelPosterior if isinstance(module, KernelFeatures) else WeightsPosterior
    return kind.fit(module, labels)  # pyright: ignore[reportArgumentType]


def _in_pieces(
    part: WeightsPosterior | KernelPosterior, features: Any, x: Tensor, order: int, given: list[Tensor] | None
) -> list[Tensor]:
    rows = len(part.directions if isinstance(part, WeightsPosterior) else part.hypotheses[0].x)
    size = max(1, _NUMBERS // (rows * (1, x.shape[1], x.shape[1] ** 2)[order]))
    known = [None] * len(x) if given is None else list(zip(*(t.split(size) for t in given), strict=True))
    found = [part.squares(features, piece, order, own) for piece, own in zip(x.split(size), known, strict=False)]  # pyright: ignore[reportArgumentType]
    return [torch.cat([piece[k] for piece in found]) for k in range(order + 1)]
