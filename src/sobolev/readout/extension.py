"""A last layer on more features than were trained: random units, and those that the evidence finds on some rows.

Of many rows a perceptron leaves more digits on the table the more there are. Random units beside its own, and the
features of a surrogate of some of the rows, are solved for on all rows together; held-out rows say what is best.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.networks import MLP, Standardized
from sobolev.networks.chebyshev_features import ChebyshevFeatures
from sobolev.networks.hidden_units import HiddenUnits
from sobolev.networks.surrogate import Features, Surrogate
from sobolev.readout.curvature import curvature, is_paid
from sobolev.readout.equations import Samples
from sobolev.readout.exchange import Gather, alone, drawn
from sobolev.readout.result import Readout
from sobolev.readout.solve import Batches, held_out_errors, solve_readout
from sobolev.surrogates.labels import Labels, standardized
from sobolev.surrogates.search import network, search

_ROWS, _LABELS = 5_000, 20_000
"""The evidence sees at most so many."""
_EXACT, _ENOUGH = 1e-9, 1e-8
"""Held-out errors, in units of the labels' size, that need no more features, and none that the evidence finds."""
_UNLEARNT = 0.3
"""From which polynomials of high degree are tried: functions of two inputs that oscillate everywhere otherwise."""
_ASPECTS, _MARGIN = (1.0, 4.0, 0.25), 0.1
"""Degrees in the one input by those in the other; from the rows to the edge of the box (see `Polynomials`)."""
_MOST, _WORK = 1000, 2.5e11
"""At most so many features, and fewer where their squares times the labels are more than this."""
_EQUATIONS = 5
"""For each feature, at least."""
_SAMPLE = 2000
"""Rows that tell where units have values."""
_POINTS = 1000
"""Held-out rows at which networks are differentiated."""


def extensible(model: nn.Module, layer: str) -> Standardized | None:
    """The standardised perceptron of a model whose last layer has this path, if it is one."""
    for name, module in model.named_modules():
        if type(module) is Standardized and type(module.network) is MLP and _ends_in(module.network):
            path = f"{name}.network.{len(module.network) - 1}".removeprefix(".")
            if path == layer and len(module.network.arguments["hidden"]) > 0:
                return module
    return None


def solve_extended(
    model: nn.Module,
    before: Readout,
    training: Batches,
    held_out: Batches,
    *,
    method: Method = "auto",
    gather: Gather = alone,
) -> Readout:
    """Give a perceptron, the last layer of which is solved, more features where held-out rows say that it gets better.

    Args:
        model: in float64; of one without a standardised perceptron nothing is changed.
        before: what solving its last layer has done.
        training: as in `solve_readout`; the samples of a process are few enough for its memory.
        held_out: likewise.
        method: likewise.
        gather: likewise.

    Returns:
        What was done; `before` if nothing.
    """
    found = extensible(model, before.layer)
    if found is None or max(before.after) <= _EXACT:
        return before
    perceptron, trials = found.network, _Trials(model, found, before, training, held_out, method, gather)
    assert isinstance(perceptron, MLP)
    own, rows = drawn(_in_memory(training), _ROWS, gather)
    known, width = _known(found, rows), _width(before.rows)
    features: list[Features] = []
    trials.solve(_joined(perceptron, features, known.x, width), lambda: [own])
    least = trials.least()
    for box in _boxes(known.x, width) if least > _UNLEARNT else []:
        trials.solve(_joined(perceptron, [box], known.x, width), lambda: [own])
        if trials.least() < least:
            least, features = trials.least(), [box]
    if least > _ENOUGH:
        *_, last = search(known)
        last = gather(last)[0]  # the same in all processes to the last bit
        trials.measure(network(last.fits), before)
        if not features or trials.least() < least:
            features = [last.fits[0][1].features.first(width // 2)]
    if trials.least() > _EXACT:
        trials.solve(_joined(perceptron, features, known.x, width), training)
    return trials.take_best()


@dataclass(frozen=True)
class _Trial:
    """A network in the place of the perceptron.

    Attributes:
        network: this.
        readout: what was done to it.
        curvature: see there.
    """

    network: nn.Module
    readout: Readout
    curvature: float


class _Trials:
    """Networks in the place of a perceptron, with what they are wrong by on held-out rows; arguments as above."""

    def __init__(
        self,
        model: nn.Module,
        found: Standardized,
        before: Readout,
        training: Batches,
        held_out: Batches,
        method: Method,
        gather: Gather,
    ) -> None:
        self.model, self.found, self.before = model, found, before
        self.training, self.held_out = training, held_out
        self.options: dict[str, Any] = {"method": method, "gather": gather}
        self.points = drawn(_in_memory(held_out), _POINTS, gather)[1][0]
        self.tried: list[_Trial] = [self._trial(found.network, before)]

    def solve(self, made: Surrogate, rows: Batches) -> None:
        """Solve the last layer of a network on some rows."""
        self._put(made)
        self.measure(made, solve_readout(self.model, rows, self.held_out, **self.options))

    def measure(self, made: Surrogate, done: Readout) -> None:
        """A network as it is."""
        self._put(made)
        errors = held_out_errors(self.model, self.training, self.held_out, **self.options).nanmean(1).sqrt()
        layer = next(name for name, module in self.model.named_modules() if module is made.last)
        changes = {"before": self.before.before, "after": tuple(errors.tolist()), "changed": True}
        self.tried.append(self._trial(made, replace(done, layer=layer, features=made.last.in_features, **changes)))

    def least(self) -> float:
        """The error of the best so far, of the order that is learnt worst."""
        return min(max(trial.readout.after) for trial in self.tried)

    def take_best(self) -> Readout:
        """Leave it in the model; what was done."""
        ranked = sorted(self.tried, key=lambda trial: sum(error * error for error in trial.readout.after))
        place = next(k for k, trial in enumerate(ranked) if self._is_paid(trial))
        best = ranked[self.options["gather"](place)[0]]
        self.found.network = best.network
        return best.readout if best is ranked[0] else replace(best.readout, refused=self._refused(ranked[0]))

    def _trial(self, network: nn.Module, readout: Readout) -> "_Trial":
        """Of the network that is in the model."""
        sizes, method = self.found.output_scale, self.options["method"]
        return _Trial(network, readout, curvature(self.model, self.points, sizes, method))

    def _is_paid(self, trial: "_Trial") -> bool:
        """Whether derivatives are no worse; labels of them speak for themselves."""
        first = self.tried[0]
        errors, curvatures = (first.readout.after[0], trial.readout.after[0]), (first.curvature, trial.curvature)
        return trial is first or len(trial.readout.after) > 1 or is_paid(errors, curvatures)

    def _refused(self, trial: "_Trial") -> str:
        growth, error = trial.curvature / self.tried[0].curvature, trial.readout.after[0]
        return (
            f"{trial.readout.features} features would be wrong by {error:.2g} but bend {growth:.2g} times as much, as "
            "they do at a kink or a jump: they are not taken"
        )

    def _put(self, made: Surrogate) -> None:
        self.found.network = made.to(self.found.input_mean)


def _ends_in(network: MLP) -> bool:
    """Whether nothing follows the last layer."""
    return network.arguments["output_activation"] is None


def _width(rows: int) -> int:
    """How many features so many equations are solved for."""
    return min(_MOST, rows // _EQUATIONS, int((_WORK / rows) ** 0.5))


def _in_memory(batches: Batches) -> list[Tensor]:
    """All samples of this process, in float64."""
    columns = zip(*batches(), strict=True)
    return [torch.cat([part.detach().double().cpu() for part in column]) for column in columns]


def _known(found: Standardized, rows: Samples) -> Labels:
    """As the evidence wants it."""
    inputs, *labels = rows
    scales = found.input_mean, found.input_scale, found.output_mean, found.output_scale
    return standardized(inputs, labels, *(scale.double().cpu() for scale in scales)).first(_LABELS)


def _boxes(x: Tensor, width: int) -> list[Features]:
    """All products of polynomials up to a degree in each of two inputs, most of the width."""
    if x.shape[1] != 2:
        return []
    low, high = x.amin(0), x.amax(0)
    margin, terms, found = _MARGIN * (high - low), 0.9 * width, []
    for aspect in _ASPECTS:
        numbers = [torch.arange(int((terms * part) ** 0.5)) for part in (aspect, 1 / aspect)]
        degrees = torch.cartesian_prod(*numbers)
        found.append(ChebyshevFeatures(degrees, x.new_ones(len(degrees)), low - margin, high + margin))
    return found


@torch.no_grad()
def _joined(perceptron: MLP, features: list[Features], x: Tensor, width: int) -> Surrogate:
    """Trained units, features and random units, so many altogether; the function is still that of the perceptron."""
    perceptron = deepcopy(perceptron).to("cpu", torch.float64)
    inputs, units, outputs = x.shape[1], perceptron.arguments["hidden"][-1], perceptron.arguments["outputs"]
    random = max(0, width - inputs - units - sum(module.width for module in features))
    made = Surrogate([HiddenUnits.of(perceptron, x[:_SAMPLE], random), *features], inputs, outputs).double()
    made.last.weight.zero_()
    made.last.weight[:, inputs : inputs + units] = perceptron[-1].weight  # pyright: ignore[reportArgumentType]
    made.last.bias.copy_(perceptron[-1].bias)  # pyright: ignore[reportArgumentType]
    return made
