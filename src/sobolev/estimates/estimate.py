"""`DerivativeEstimate`: how wrong a network's values and derivatives are, from values alone.

A Gaussian process through the training rows is the witness: of value, gradient and Hessian it knows a mean m and a
variance s², so that a network's derivative g is wrong by (m - g)² + s² in the mean square. It knows nothing of the
network, so it does not share the network's confidence in rows that it was trained on. Where held-out rows show that
the network is far better than its witness, the posterior of its last linear layer speaks instead. A `Surrogate` has a
posterior of its own from the start; which of the two is to be believed, and how much, the held-out rows say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from os import PathLike, fspath
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates.domain import Domain
from sobolev.estimates.gaussian_process import GaussianProcess
from sobolev.estimates.last_layer import LastLayer
from sobolev.estimates.rows import denser, repeated_noise, shuffled
from sobolev.estimates.surrogate_posterior import SurrogatePosterior
from sobolev.estimates.verdict import MORE, POOR, Expected, percent
from sobolev.estimates.weighing import Account, weighed
from sobolev.readout.equations import Samples
from sobolev.readout.layer import double

KEY = "derivative_estimate"
"""Of the estimate in a checkpoint."""

_POINTS, _FEWEST_POINTS, _SECONDS = 256, 40, 1024
"""Root mean squares are taken over at most so many points, over fewer where these have more second derivatives than
that, but not below the second number."""
_ONCE = 4
"""Times as many where somebody asks: a few points where a function is steep make half of the mean square."""
_KEPT, _HELD_OUT = 5000, 500
"""So many rows of the training and of those held out are kept; witnesses see all that `shuffled` returns."""
_WITNESS, _NETWORK = 0.1, 1e-3
"""Mean squares of held-out residuals, in units of what the witness expects: above the first it is heard alone, below
the second not at all."""
_LEAST_NOISE = 1e-9
"""Of the values' spread: what looks like less noise is none, as labels hold either fewer digits or nearly all."""
_ROUNDING = 4 * torch.finfo(torch.float64).eps
"""Of the values' size: what labels and what a network says are rounded by, which is no error of derivatives."""
_UNTESTED = 2.0
"""Times what the witness says that mean squares are at most where no row tests a surrogate's coordinates."""
_FARTHEST = 2.0
"""Times the radius of the rows up to which a surrogate's posteriors are enlarged beside what they grow by."""
_FEW_ROWS = 500
"""Rows up to which four times as many are imagined."""
_ODD, _ODD_ROWS = 6.0, 50
"""Standard deviations from which on a row is unlike all others, of which there are so many."""
_FEWEST, _FEWEST_ROWS = 5, 4
"""Rows held out from which on they can contradict the witness, and rows of the training from which on there is one."""


class Estimated(NamedTuple):
    """What a network says at some points, and by how much it is likely to be wrong.

    Attributes:
        derivatives: value, gradient, Hessian, (points, *out, *in ...).
        deviations: standard deviations of their errors, of the same shapes; 1.645 of them either way hold the truth in
            nine of ten cases.
        outside: points that lie outside of the rows, (points,): what is said there is extrapolation.
    """

    derivatives: list[Tensor]
    deviations: list[Tensor]
    outside: Bool[Tensor, " points"]


class OddRow(NamedTuple):
    """A row that is unlike all others.

    Attributes:
        output: of which its value is meant.
        point: where it is, (inputs,).
        deviations: how far off it is, in standard deviations of what the others leave open.
    """

    output: int
    point: Tensor
    deviations: float


class Reference(NamedTuple):
    """What the witnesses know at some points: means and variances for each order, (points, outputs, *inputs)."""

    means: list[Tensor]
    variances: list[Tensor]


@dataclass(frozen=True, repr=False)
class DerivativeEstimate:
    """Estimates the errors of a network's value, gradient and Hessian. Made by `fit`.

    Attributes:
        witnesses: a Gaussian process for each output.
        domain: where the rows are.
        apart: mean squares of the differences between network and witness at the domain's probes, for each order,
            (probes, outputs, *inputs).
        own: how much the network's last layer speaks instead of the witness, (outputs,), from 0 to 1.
        last_layer: its posterior; None where it is not needed, or there is no linear last layer.
        scales: by which mean squares are multiplied, from held-out labels of derivatives, (orders, outputs).
        noise: of the labels, standard deviations, (outputs,).
        spread: of the labels, standard deviations, (outputs,).
        training: points and values that the witness was shown, (rows, *in), (rows, outputs).
        held_out: rows that were not trained on, and labels of derivatives; empty without any.
        remark: what keeps the estimate from being better, in one sentence; empty if nothing.
        level: by which what a surrogate's witness says is multiplied, (outputs,), from held-out values.
        labels: of derivatives at the points of the training, (rows, outputs, *inputs); empty without any.
        heard: how many rows the witnesses have seen; some of them are in `training`.

    Examples:
        >>> import sobolev, torch
        >>> x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
        >>> estimate = sobolev.DerivativeEstimate.fit(torch.nn.Tanh(), (x, x.sin() + 0.01 * torch.cos(99 * x)))
        >>> value, slope, curvature = estimate.at(torch.nn.Tanh(), x, order=2).deviations
        >>> slope.shape
        torch.Size([40, 1, 1])
    """

    witnesses: list[GaussianProcess]
    domain: Domain
    apart: list[Tensor]
    own: Float64[Tensor, " outputs"]
    last_layer: LastLayer | SurrogatePosterior | None
    scales: Float64[Tensor, "orders outputs"]
    noise: Float64[Tensor, " outputs"]
    spread: Float64[Tensor, " outputs"]
    training: list[Tensor]
    held_out: list[Tensor]
    remark: str = ""
    level: Float64[Tensor, " outputs"] = field(default_factory=lambda: torch.ones(1, dtype=torch.float64))
    labels: list[Tensor] = field(default_factory=list)
    heard: int = 0

    def __repr__(self) -> str:
        rows, outputs = self.heard or len(self.training[1]), len(self.noise)
        held_out = len(self.held_out[0]) if self.held_out else 0
        shares = ", ".join(percent(share) for share in (self.noise / self.spread).tolist())
        return (
            f"{type(self).__name__}({rows} rows of {self.training[0].shape[1:].numel()} inputs and {outputs} outputs, "
            f"{held_out} held out, noise {shares} of the standard deviation)"
        )

    @classmethod
    @torch.no_grad()
    def fit(cls, model: nn.Module, training: Samples, held_out: Samples | None = None, method: Method = "auto") -> Self:
        """Look at the rows a network was trained on, and at rows that it has not seen.

        Args:
            model: maps (batch, *in) to (batch, *out).
            training: points (rows, *in), values (rows, *out), then derivative labels if there are any; NaN is no
                label.
            held_out: the same for rows that were not trained on. Without any, the estimate cannot tell when the
                network is better than its witness, and is then too large.
            method: as in `sobolev.derivatives`.

        Raises:
            ValueError: fewer than four rows with values, values that are all the same, an input that is not finite.
            TypeError: the model is a function: give a module that calls it.
        """
        if not isinstance(model, nn.Module):
            kind = type(model).__name__
            raise TypeError(f"model is a {kind}; give a torch.nn.Module, or one whose forward calls it")
        return cls.of_rows(training, held_out).judged(model, method)

    @classmethod
    def of_rows(cls, training: Samples, held_out: Samples | None = None) -> Self:
        """What rows alone say of the function, as in `fit`: `judged` then looks at a network."""
        training, held_out = _checked(training, "training"), _checked(held_out or (), "held-out")
        shape = training[0].shape[1:]
        given = (label.detach().double().cpu() for label in training[2:4])
        x, y, *labels = shuffled(*_flat(training), *given)
        known = [column.isfinite() for column in y.T]
        if not enough(training):
            raise ValueError("an error can be estimated from four rows with values or more; give more training rows")
        pairs = [(x[k], column[k]) for k, column in zip(known, y.T, strict=True)]
        if same := [str(o + 1) for o, (_, values) in enumerate(pairs) if bool((values == values[0]).all())]:
            which = f" of output {', '.join(same)}" if len(pairs) > 1 else ""
            raise ValueError(f"the values{which} are all the same: there is nothing to be learnt from them")
        witnesses = [GaussianProcess.fit(*pair) for pair in pairs]
        outputs, domain = len(witnesses), Domain.of(x, points_for(x.shape[1]))
        repeated = [repeated_noise(*pair) for pair in pairs]
        noise = [w.seen_noise if r is None else r for w, r in zip(witnesses, repeated, strict=True)]
        unseen = [_some(part, _HELD_OUT).detach().double().cpu().clone() for part in held_out]
        return cls(
            witnesses=witnesses, domain=domain, apart=[], own=torch.zeros(outputs, dtype=x.dtype), last_layer=None,
            scales=torch.ones(3, outputs, dtype=x.dtype), noise=torch.tensor(noise, dtype=x.dtype),
            spread=torch.stack([values.std() for _, values in pairs]),
            training=[x[:_KEPT].reshape(-1, *shape), y[:_KEPT]], held_out=unseen, labels=[t[:_KEPT] for t in labels],
            heard=len(x),
        )  # fmt: skip

    @torch.no_grad()
    def judged(self, model: nn.Module, method: Method = "auto") -> Self:
        """The estimate, after a look at a network that was trained on these rows.

        Args:
            model: maps (batch, *in) to (batch, *out).
            method: as in `sobolev.derivatives`.
        """
        with double(model):
            device = next((p.device for p in model.parameters()), torch.device("cpu"))
            probes = self.domain.probes.reshape(-1, *self.training[0].shape[1:]).to(device)
            held_out = self.held_out[0].to(device) if self.held_out else probes[:0]
            x, y = self.training
            if (posterior := SurrogatePosterior.fit(model, x.to(device), y, self.labels)) is not None:
                seen = _weighed(self, posterior, model, held_out)
                return _scaled(seen, model, held_out, method) if len(held_out) else seen  # pyright: ignore[reportReturnType]
            seen = replace(self, apart=_apart(self, model, probes, method))
            if len(held_out) < _FEWEST:
                few = f"only {len(held_out)} of the rows" if len(held_out) else "no rows"
                return replace(seen, remark=f"{few} were held out, so the estimate may be too large")
            seen = _compared(seen, model, held_out)
            seen = _with_last_layer(seen, model, device) if (seen.own > 0).any() else seen
            return _scaled(seen, model, held_out, method)  # pyright: ignore[reportReturnType]

    def reference(self, x: Tensor, order: int = 2) -> Reference:
        """What the witnesses know at points (points, *in); the same for every network."""
        points = x.detach().double().cpu().reshape(len(x), -1)
        found = [witness.derivatives(points, order) for witness in self.witnesses]
        parts = [[torch.stack([f[k][part] for f in found], 1) for k in range(order + 1)] for part in (0, 1)]
        return Reference(*parts)

    def typical(self, x: Tensor, order: int, few: int) -> Reference:
        """The same with variances that are means over so many of the points, (1, outputs, *inputs): cheaper by far."""
        points = x.detach().double().cpu().reshape(len(x), -1)
        variances = self.reference(_some(points, few), order).variances
        return Reference(_means(self.witnesses, points, order), [v.mean(0, keepdim=True) for v in variances])

    @torch.no_grad()
    def at(self, model: nn.Module, x: Tensor, order: int = 2, method: Method = "auto") -> Estimated:
        """The network's derivatives at points (points, *in), with the standard deviation of each error.

        Args:
            model: the one that was given to `fit`.
            x: points, (points, *in), in the data's units.
            order: up to 2.
            method: as in `sobolev.derivatives`.
        """
        with double(model):
            device = next((p.device for p in model.parameters()), x.device)
            tower = derivative_tensors(model, x.to(device).double(), order, method=method)
            own = self._own_mean_squares(model, x.to(device).double(), order, tower)
        squares, outside = self.mean_squares(tower, x, own)
        shaped = [s.sqrt().reshape(t.shape) for s, t in zip(squares, tower, strict=True)]
        return Estimated([t.cpu() for t in tower], shaped, outside)

    def mean_squares(
        self,
        tower: Sequence[Tensor],
        x: Tensor,
        own: Sequence[Tensor] | None = None,
        reference: Reference | None = None,
    ) -> tuple[list[Tensor], Bool[Tensor, " points"]]:
        """Of the errors at every point, (points, outputs, *inputs) for each order, and which points lie outside.

        What network and witness differ by is averaged over the neighbourhood, as it changes its sign there; outside
        of the rows the point's own difference counts, if it is larger, and all grows with the distance. Posteriors of a
        surrogate know how they grow there, and grow by little more; no farther than what is said without them.
        """
        order, points = len(tower) - 1, x.detach().double().cpu().reshape(len(x), -1)
        reference, outside = reference or self.reference(x, order), self.domain.outside(points)
        remoteness = torch.where(outside, self.domain.remoteness(points), 0.0)
        growth, of_posteriors = 1 + remoteness.square(), 1 + remoteness.clamp_max(_FARTHEST).square()
        found = []
        for k, (mean, variance, given) in enumerate(zip(*reference, tower, strict=True)):
            difference = (mean - given.detach().double().cpu().reshape(mean.shape)).square()
            near = self.domain.around(points, self.apart[k]) if self.apart else difference
            beyond = _like(outside, difference, 0)
            typical = self.apart[k].mean(0, keepdim=True) if self.apart else difference
            farther = torch.maximum(torch.maximum(near, difference), typical) * _like(growth, difference, 0)
            squares = variance + torch.where(beyond, farther, near)
            blended = self._blended(variance + near, own[k].reshape(squares.shape) if own else None)
            blended = blended * _like(self.scales[k], squares, 1)
            if isinstance(self.last_layer, SurrogatePosterior):
                squares = torch.minimum(squares, blended * _like(of_posteriors, squares, 0))
            found.append(torch.where(beyond, squares, blended))
        return found, outside

    def expected(
        self,
        tower: Sequence[Tensor],
        reference: Reference,
        own: Sequence[Tensor] | None = None,
        everywhere: Sequence[Tensor] | None = None,
        *,
        rates: bool = True,
    ) -> list[Expected]:
        """Root mean squares over some points, for each order.

        Args:
            tower: the network's value and derivatives, (points, *out, *in ...).
            reference: what the witnesses know there.
            own: what the last layer's posterior says there.
            everywhere: mean squares at every point; None: all points lie inside, and they come from the others.
            rates: whether it is found out what more rows would bring, which takes a while.
        """
        found = []
        if everywhere is None:
            parts = zip(self._squares(tower, reference, own), self.scales, strict=False)
            everywhere = [squares * _like(scales, squares, 1) for squares, scales in parts]
        for k, (mean, variance, given) in enumerate(zip(*reference, tower, strict=True)):
            given = given.detach().double().cpu().reshape(mean.shape)
            squares, share = everywhere[k], _like(self.own, mean, 1)
            sizes = (1 - share) * (mean.square() + variance) + share * given.square()
            sizes = torch.minimum(sizes, given.square() + squares)  # no larger than with its error it can be
            rmse, size, unknown = (float(t.mean().sqrt()) for t in (squares, sizes, variance))
            open_ = rmse if isinstance(self.last_layer, SurrogatePosterior) else min(unknown, rmse)  # it has learnt all
            noisy = (found[0].rmse if found else rmse) <= float(self.noise.square().mean().sqrt())
            rate = self.rates[k] if rates and noisy and rmse > POOR * size else None
            entries = squares.mean(0).sqrt(), sizes.mean(0).sqrt()
            found.append(Expected(k, rmse, size, open_, rate, *entries, self.domain.scale))
        return found

    @torch.no_grad()
    def errors(self, model: nn.Module, x: Tensor, order: int = 2, method: Method = "auto") -> list[Expected]:
        """Root mean squares of the errors over points (points, *in), some of them, for each order up to 2."""
        x = _some(x, _ONCE * points_for(x[0].numel()))
        with double(model):
            x = x.to(next((p.device for p in model.parameters()), x.device)).double()
            tower = derivative_tensors(model, x, order, method=method)
            own = self._own_mean_squares(model, x, order, tower)
        reference, everywhere = self.reference(x, order), None
        if isinstance(self.last_layer, SurrogatePosterior):
            everywhere, _ = self.mean_squares(tower, x, own, reference)
        return self.expected(tower, reference, own, everywhere)

    def like(self, reference: Reference, other: Self) -> Reference:
        """What these witnesses know where others of the same rows know that: variances may have been enlarged since."""
        pairs = zip(self.witnesses, other.witnesses, strict=True)
        factors = torch.tensor([mine.inflation / its.inflation for mine, its in pairs], dtype=torch.float64)
        return Reference(reference.means, [v * _like(factors, v, 1) for v in reference.variances])

    def own_mean_squares(self, model: nn.Module, x: Tensor, tower: Sequence[Tensor]) -> list[Tensor] | None:
        """What the last layer's posterior says; None where it is not asked.

        Args:
            model: the network.
            x: points, (points, *in).
            tower: its value and derivatives there.
        """
        if self.last_layer is None:
            return None
        with double(model):
            device = next((p.device for p in model.parameters()), x.device)
            return self._own_mean_squares(model, x.to(device).double(), len(tower) - 1, tower)

    def process_noise(self) -> Float64[Tensor, " outputs"]:
        """Standard deviations of the labels' noise as the witnesses see it, (outputs,)."""
        return torch.tensor([witness.noise for witness in self.witnesses], dtype=torch.float64)

    def rounding(self) -> Float64[Tensor, " outputs"]:
        """What values are rounded by, (outputs,)."""
        return _ROUNDING * self.training[1].square().nanmean(0).sqrt()

    def _own_mean_squares(
        self, model: nn.Module, x: Tensor, order: int, tower: Sequence[Tensor]
    ) -> list[Tensor] | None:
        if isinstance(self.last_layer, SurrogatePosterior):
            values, *others = self.last_layer.mean_squares(model, x, order, tower)
            return [values + self.rounding().square(), *others]
        return None if self.last_layer is None else self.last_layer.mean_squares(model, x, order)

    def _squares(self, tower: Sequence[Tensor], reference: Reference, own: Sequence[Tensor] | None) -> list[Tensor]:
        """Expected squares of the errors, before labels of derivatives scale them."""
        found = []
        for k, (mean, variance, given) in enumerate(zip(*reference, tower, strict=True)):
            squares = (mean - given.detach().double().cpu().reshape(mean.shape)).square() + variance
            found.append(self._blended(squares, own[k].reshape(mean.shape) if own else None))
        return found

    def _blended(self, squares: Tensor, own: Tensor | None) -> Tensor:
        """What witness and last layer say, in proportion: the mean deviation, or the geometric mean."""
        if own is None:
            return squares
        share, tiny = _like(self.own, squares, 1), torch.finfo(own.dtype).tiny
        if isinstance(self.last_layer, SurrogatePosterior):
            witness = _like(self.level, squares, 1) * squares
            blended = ((1 - share) * witness.sqrt() + share * own.sqrt()).square()
            return torch.minimum(blended, _UNTESTED * squares) if self.last_layer.untested else blended
        return squares.clamp_min(tiny) ** (1 - share) * own.clamp_min(tiny) ** share

    def odd_row(self) -> OddRow | None:
        """The row that lies farthest from what all others say of it, where that is far; of up to 512 rows."""
        found = None
        for o, witness in enumerate(self.witnesses):
            away = witness.left_out() if len(witness.centres) >= _ODD_ROWS else None
            if away is not None and float(away.abs().max()) > max(_ODD, found.deviations if found else 0.0):
                row = int(away.abs().argmax())
                point = witness.input_mean + witness.centres[row] * witness.input_scale
                found = OddRow(o, point, float(away[row].abs()))
        return found

    @cached_property
    def rates(self) -> list[float]:
        """Powers of the number of rows with which what the witnesses do not know falls, for each order."""
        x, y = self.training[0].reshape(len(self.training[0]), -1), self.training[1]
        pairs = [(x[column.isfinite()], column[column.isfinite()]) for column in y.T]
        return _rates(self.witnesses, pairs, self.domain.probes)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers, for a checkpoint."""
        parts: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        parts["witnesses"] = [witness.state() for witness in self.witnesses]
        parts["domain"] = self.domain.state()
        parts["last_layer"] = None if self.last_layer is None else self.last_layer.state()
        return parts

    @classmethod
    def from_checkpoint(cls, path: str | PathLike[str], model: nn.Module) -> Self:
        """The estimate for a network, from the checkpoint that a training with a `DerivativeMonitor` wrote.

        Args:
            path: the checkpoint.
            model: the network with the weights of the checkpoint: `sobolev.Regressor.load_from_checkpoint(path)`.

        Raises:
            ValueError: the checkpoint holds no estimate.
        """
        state = torch.load(fspath(path), map_location="cpu", weights_only=True).get(KEY)
        if state is None:
            raise ValueError(
                f"{fspath(path)} holds no estimate: the training had a truth to compare with, or no DerivativeMonitor; "
                "give DerivativeMonitor(estimate='always'), or the rows to DerivativeEstimate.fit"
            )
        return cls.from_state_dict(state).judged(model)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The estimate whose `state_dict` this is."""
        if "rows" in state:  # of a training that went on: nothing had been learnt from them
            return cls.of_rows(state["rows"], state["unseen"] or None)
        parts = dict(state)
        for name in ("levels", "rates"):
            parts.pop(name, None)  # of older checkpoints
        parts["witnesses"] = [GaussianProcess(**witness) for witness in parts["witnesses"]]
        parts["domain"] = Domain(**parts["domain"])
        layer = parts["last_layer"]
        if layer is not None:
            parts["last_layer"] = SurrogatePosterior.from_state(layer) if "parts" in layer else LastLayer(**layer)
        return cls(**parts)


def enough(rows: Samples) -> bool:
    """Whether there are rows with values of every output from which an error can be estimated."""
    return len(rows) > 1 and int(rows[1].flatten(1).isfinite().sum(0).min()) >= _FEWEST_ROWS


def points_for(inputs: int) -> int:
    """At how many points to look at second derivatives by so many inputs."""
    return max(_FEWEST_POINTS, min(_POINTS, _SECONDS // (inputs * (inputs + 1) // 2)))


def _apart(estimate: DerivativeEstimate, model: nn.Module, probes: Tensor, method: Method) -> list[Tensor]:
    tower = derivative_tensors(model, probes, 2, method=method)
    means = _means(estimate.witnesses, probes.cpu().reshape(len(probes), -1), 2)
    return [(m - t.double().cpu().reshape(m.shape)).square() for m, t in zip(means, tower, strict=True)]


def _means(witnesses: list[GaussianProcess], x: Tensor, order: int) -> list[Tensor]:
    """What witnesses take the function for at points (points, inputs), (points, outputs, *inputs) for each order."""
    found = [witness.means(x, order) for witness in witnesses]
    return [torch.stack([f[k] for f in found], 1) for k in range(order + 1)]


def _compared(estimate: DerivativeEstimate, model: nn.Module, x: Tensor) -> DerivativeEstimate:
    """What held-out values say of the witness, and of the network beside it."""
    labels = estimate.held_out[1]
    witnesses = _surprised(estimate, x, labels)
    (mean,), (variance,) = replace(estimate, witnesses=witnesses).reference(x, 0)
    given, labels = model(x).double().cpu().reshape(mean.shape), labels.reshape(mean.shape)
    residuals = (labels - given).square()
    expected = (mean - given).square() + variance + estimate.process_noise().square()
    ratio = _ratio(residuals, expected).clamp_min(1e-300)
    reach = torch.log(torch.tensor(_WITNESS / _NETWORK))
    own = ((_WITNESS / ratio).log() / reach).clamp(0, 1)
    left = residuals.nanmean(0).sqrt().where(own > 0, torch.inf)  # labels are no noisier than what is left of them
    noise = torch.minimum(estimate.noise, left)
    noise = noise.where(noise > _LEAST_NOISE * estimate.spread, 0.0)
    return replace(estimate, witnesses=witnesses, own=own, noise=noise)


def _scaled(estimate: DerivativeEstimate, model: nn.Module, x: Tensor, method: Method) -> DerivativeEstimate:
    """Down to what held-out labels of derivatives show, for their order and those above."""
    order = min(len(estimate.held_out) - 2, 2)
    if order < 1:
        return estimate
    tower = derivative_tensors(model, x, order, method=method)
    found = estimate._squares(tower, estimate.reference(x, order), estimate._own_mean_squares(model, x, order, tower))
    scales = estimate.scales.clone()
    for k in range(1, 3):
        if k <= order:
            given, label = (t.double().cpu().reshape(found[k].shape) for t in (tower[k], estimate.held_out[1 + k]))
            scales[k] = _ratio((label - given).square(), found[k]).clamp(max=1.0)
        else:
            scales[k] = scales[k - 1]
    return replace(estimate, scales=scales)


def _surprised(estimate: DerivativeEstimate, x: Tensor, y: Tensor) -> list[GaussianProcess]:
    """The witnesses, with larger variances where held-out values lie farther away than they say."""
    (mean,), (variance,) = estimate.reference(x, 0)
    away = (y.detach().double().cpu().reshape(mean.shape) - mean).square()
    surprise = (away / (variance + estimate.process_noise().square())).nanmean(0).nan_to_num(1.0).clamp_min(1.0)
    pairs = zip(estimate.witnesses, surprise.tolist(), strict=True)
    return [replace(witness, inflation=witness.inflation * factor) for witness, factor in pairs]


def _ratio(observed: Tensor, expected: Tensor) -> Float64[Tensor, " outputs"]:
    """Of the mean squares over all entries with a label; 1 where there is none."""
    known = observed.isfinite()
    sums = [t.where(known, torch.zeros_like(t)).transpose(0, 1).flatten(1).sum(1) for t in (observed, expected)]
    return (sums[0] / sums[1]).nan_to_num(1.0)


def _weighed(
    estimate: DerivativeEstimate, posterior: SurrogatePosterior, model: nn.Module, x: Tensor
) -> DerivativeEstimate:
    """Witness and posteriors, each multiplied by what held-out values show, in proportion to their probability."""
    if not len(x):
        remark = "no rows were held out, so the estimate believes in what was learnt"
        return replace(estimate, last_layer=posterior, own=torch.ones_like(estimate.own), remark=remark)
    y = estimate.held_out[1].reshape(len(x), -1)
    given = model(x).cpu().reshape(y.shape)
    (mean,), (variance,) = estimate.reference(x, 0)
    residuals, witness = (y - given).square(), (mean - given).square() + variance
    squares = torch.cat([witness[None], posterior.of_values(model, x)])
    noises = torch.cat([estimate.process_noise()[None], posterior.noise])
    noises = noises.where(noises > _LEAST_NOISE * estimate.spread, estimate.rounding()).square()
    found = []
    for o in range(y.shape[1]):
        known = y[:, o].isfinite()
        accounts = [Account(each[known, o], float(noise[o])) for each, noise in zip(squares, noises, strict=True)]
        found.append(weighed(residuals[known, o], accounts))
    levels, shares = (torch.stack(column, 1) for column in zip(*found, strict=True))
    shares = shares.clamp_min(torch.finfo(shares.dtype).tiny)
    own = shares[1:].sum(0)
    posterior = posterior.with_places(model, x, residuals, squares[1:])
    posterior = replace(posterior, levels=levels[1:], shares=shares[1:] / own)
    repeated = (estimate.noise > 0) & (estimate.noise != estimate.process_noise())
    seen = (noises * shares).sum(0).sqrt()
    noise = estimate.noise.where(repeated, seen.where(seen > _LEAST_NOISE * estimate.spread, 0.0))
    return replace(estimate, last_layer=posterior, level=levels[0], own=own, noise=noise)


def _with_last_layer(estimate: DerivativeEstimate, model: nn.Module, device: torch.device) -> DerivativeEstimate:
    """The posterior of the last layer, where the network is better than the witness; a remark where there is none."""
    try:
        layer = LastLayer.fit(model, *_finite(estimate.training, device))
    except ValueError as error:
        own = torch.zeros_like(estimate.own)
        remark = (
            f"the network is better than can be told without a linear last layer, so the estimate is too large: {error}"
        )
        return replace(estimate, own=own, remark=remark)
    return replace(estimate, last_layer=layer)


def _rates(witnesses: list[GaussianProcess], pairs: list[tuple[Tensor, Tensor]], probes: Tensor) -> list[float]:
    """Powers of the number of rows with which the variances fall: what a witness would know of 4 times as many.

    Its posterior variance does not depend on values, so that rows between the present ones do; of many a quarter and
    all are compared.
    """
    some = probes[:16]
    variances = []
    for witness, (x, _) in zip(witnesses, pairs, strict=True):
        parts = (x, denser(x, MORE)) if len(x) <= _FEW_ROWS else (x[: len(x) // MORE], x)
        known = [replace(witness.given(part, part[:, 0]), inflation=1.0) for part in parts]
        variances.append([[v.mean() for _, v in each.derivatives(some, 2)] for each in known])
    fewer, more = torch.tensor(variances, dtype=probes.dtype).sum(0)
    return (0.5 * (fewer / more).log() / math.log(MORE)).clamp_min(0).tolist()


def _some(rows: Tensor, most: int) -> Tensor:
    """At most so many, evenly drawn."""
    return rows[:: max(1, -(-len(rows) // most))]


def _finite(training: list[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows with a value of every output."""
    x, y = training
    known = y.isfinite().all(1)
    return x[known].to(device), y[known]


def _checked(samples: Samples, name: str) -> list[Tensor]:
    """Tensors with as many rows each, whose points are finite; one column of values may come as a vector."""
    found = [torch.as_tensor(part) for part in samples]
    if len({len(part) for part in found}) > 1:
        lengths = [len(part) for part in found]
        raise ValueError(f"points and labels of the {name} rows differ in their number of rows: {lengths}")
    if found and not found[0].isfinite().all():
        row = int((~found[0].flatten(1).isfinite()).any(1).nonzero()[0])
        raise ValueError(f"an input of {name} row {row} (counted from 0) is NaN or infinite: leave the row out")
    return [part[:, None] if k == 1 and part.dim() == 1 else part for k, part in enumerate(found)]


def _flat(samples: Samples) -> tuple[Tensor, Tensor]:
    x, y = (part.detach().double().cpu().reshape(len(part), -1) for part in samples[:2])
    return x, y


def _like(numbers: Tensor, tensor: Tensor, axis: int) -> Tensor:
    """Numbers along one axis of a tensor, to be multiplied with it."""
    return numbers.reshape(*(1,) * axis, -1, *(1,) * (tensor.dim() - axis - 1))
