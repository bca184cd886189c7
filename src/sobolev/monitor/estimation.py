"""Estimates of errors beside what a monitor measures, for orders of which no truth is known."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.operators import derivative_tensors
from sobolev.autodiff.tensor_classes import ordinary
from sobolev.callbacks.processes import gathered
from sobolev.callbacks.restored_state import one_thread
from sobolev.estimates import DerivativeEstimate, Expected, verdict
from sobolev.estimates.estimate import Reference, enough, points_for
from sobolev.estimates.rows import MOST
from sobolev.estimates.verdict import percent
from sobolev.functions.notation import Place
from sobolev.losses.labels import with_outputs
from sobolev.monitor.budget import coefficients
from sobolev.monitor.measurement import Truth
from sobolev.monitor.weights import fingerprint
from sobolev.readout.layer import double
from sobolev.readout.training_data import own_split

When = Literal["auto", "always", "never"]

_HIGHEST = 2
"""Of the orders that are estimated."""
_DRAWN = 20
"""Inputs of a function whose estimates are drawn."""
_ENTRIES = 4096
"""An order with more entries than this for a single output is not estimated."""
_MOST_OUTPUTS = 32
"""With more, each of which needs a witness of its own, errors are estimated on request only: it takes seconds."""
_HARDLY = 0.5
"""Of the spread of the values: an estimated error from which on they are hardly learnt."""
_TRAINING, _HELD_OUT = 5000, 500
"""So many rows are kept of what the dataloaders bring."""
_SHARE = 0.015
"""Of the training's time so far: when estimates no longer wait."""
_SECONDS, _A_ROW = 0.06, 3e-5
"""What the first estimate takes, and more for each row, for each output."""
_FEW = 64
"""Points with fewer than these, others between the rows are looked at in the end, too."""
_IN_COURSE, _IN_THE_END, _ENTRIES_IN_THE_END = 16, 64, 512
"""Points at which witnesses say how much they do not know, which takes most of the time; fewer of many entries."""


class Estimation:
    """Collects rows where the data module is not one of sobolev's, and estimates with them.

    Args:
        when: `"auto"`: for orders without a truth; `"always"`: beside the truth as well; `"never"`.
        method: as in `sobolev.derivatives`.

    Attributes:
        estimate: of the last measurement; None before the first, and where there cannot be one.
        expected: what it says, an entry for each order.
        points: at how many points.
        remark: why there is no estimate, or what keeps it from being better; empty if nothing.
        missing: why there are no rows, where that is known.
        waits: whether estimates of the last epoch and of those before are put off.
    """

    def __init__(self, when: When, method: Method) -> None:
        self.when = when
        self._method: Method = method
        self.estimate: DerivativeEstimate | None = None
        self.expected: list[Expected] = []
        self.points = 0
        self.remark = ""
        self.missing = ""
        self.waits = False
        self._seen: tuple[list[Tensor], list[Tensor]] | None = None
        self._waiting: list[tuple[list[dict[str, Any]], Tensor, list[Tensor]]] = []
        self._training, self._held_out = _Rows(_TRAINING), _Rows(_HELD_OUT)
        self._rows: DerivativeEstimate | None = None
        self._tried = False
        self._inputs: Sequence[str] = ()
        self._outputs: Sequence[str] = ()
        self._drawn: tuple[Tensor, Tensor] | None = None
        self._known: tuple[Tensor, Reference] | None = None
        self._judgement: tuple[list[float], DerivativeEstimate] | None = None

    def collects(self, trainer: Any, known: bool) -> bool:
        """Whether rows of the training are still wanted.

        Args:
            trainer: that trains.
            known: whether there is a function to compare with.
        """
        wanted = self.when == "always" or (self.when == "auto" and not known)
        missing = self._rows is None and not self._tried and not self._training.full and not self.waits  # all were seen
        return wanted and missing and own_split(trainer, "training") is None

    def see(self, x: Tensor, labels: Truth, *, held_out: bool = False) -> None:
        """Keep rows of a batch: inputs (batch, *in), values (batch, *out) or (batch,), then labels of derivatives."""
        x, missing = ordinary(x), torch.empty(0)
        found = with_outputs(x, [ordinary(label) if isinstance(label, Tensor) else missing for label in labels])
        plain = tuple(None if label is missing else label for label in found)
        (self._held_out if held_out else self._training).add(x, plain)

    def wanted(self, errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of these entries, one for each order, those that want an estimate."""
        if self.when == "never":
            return []
        return [e for e in errors if 0 < e["order"] <= _HIGHEST and (self.when == "always" or "rmse" not in e)]

    def first_takes(self, trainer: Any) -> float:
        """Seconds that the first estimate will take, about; 0 where it is made, or none can be."""
        if self._rows is not None or self._tried or hasattr(trainer.datamodule, "problem"):
            return 0.0
        split = own_split(trainer, "training")
        rows, outputs = self._training.shape if split is None else (len(split.inputs), split.targets[0].numel())
        return outputs * (_SECONDS + _A_ROW * min(rows, MOST))

    def takes_little(self, trainer: Any, seconds: float) -> bool:
        """Whether the first estimate takes little of what a training has taken so far, in seconds."""
        takes = self.first_takes(trainer)
        return not takes or takes < _SHARE * seconds

    def add(
        self,
        errors: list[dict[str, Any]],
        trainer: Any,
        model: nn.Module,
        kept: list[Any],
        *,
        last: bool,
        now: bool = True,
    ) -> None:
        """Put `estimated_rmse` and `estimated_relative_l2` into the entries they belong to, later ones first.

        All processes call it, with the same errors.

        Args:
            errors: an entry for each order.
            trainer: whose data are used.
            model: whose forward takes the inputs and nothing else.
            kept: points and derivatives there, `Measurement.kept`.
            last: nothing will follow, so that the network itself is looked at.
            now: else these and all that follow wait for the next call with it.
        """
        unknown = self.wanted(errors)
        if not unknown:
            return
        x, tower = self._everywhere(kept, trainer.world_size)
        if x is None:
            return
        self.waits = not now and self._rows is None and not self._tried
        if self.waits:
            self._seen = self._seen or (self._samples(trainer, "training"), self._samples(trainer, "validation"))
            self._waiting.append(([errors[0], *unknown], x, tower))
            return
        if not self._prepared(trainer):
            self._waiting = []
            return
        assert self._rows is not None
        self._inputs, self._outputs = (getattr(trainer.datamodule, f"{what}_names", ()) for what in ("input", "output"))
        values, outputs = self._rows.training[1].shape[1:].numel(), tower[0].shape[1:].numel()
        if values != outputs:
            self.remark = f"no error is estimated: the targets have {values} values a row, the model {outputs}"
            return
        self.estimate = self._rows
        with torch.inference_mode(False), torch.no_grad(), one_thread():
            for entries, points, found in self._waiting:
                _put(self._expected(model, points, found, last=False), entries)
            self.estimate = self._judged(model) if last else self._rows
            if self.estimate is not self._rows and len(x) < _FEW:
                x, tower = self._with_probes(model, x, tower)
            self.points = len(x)
            self.expected = self._expected(model, x, tower, last=last)
        self._waiting = []
        _put(self.expected, [errors[0], *unknown])  # labels of the value have noise, its error has not

    def add_named(self, errors: list[dict[str, Any]], places: Mapping[str, Place]) -> None:
        """The same for single entries, their size, and what each does within the scatter of the data, without a truth.

        `of_scatter`: by how many of its own standard deviations the output changes with one of each input, times as
        often as the derivative is taken.

        Args:
            errors: an entry for each.
            places: where they stand in the derivative, by their names.
        """
        if self.estimate is None:
            return
        x, y = (tensor.double().flatten(1) for tensor in self.estimate.training[:2])
        of_inputs, of_outputs = x.std(0), [column[column.isfinite()].std() for column in y.T]
        for entry in errors:
            output, *by = places[entry["name"]]
            expected = self.expected[len(by)] if len(by) < len(self.expected) else None
            if "rms" in entry and expected is not None and expected.entries is not None:
                scatter, expected = (
                    float(of_inputs[by].prod() / of_outputs[output]),
                    expected.of_output(output).of_entry(by),
                )
                entry |= {"estimated_rmse": expected.rmse, "estimated_relative_l2": expected.relative}
                entry["size"] = expected.size  # at the same points as the error
                entry["of_scatter"] = expected.size * scatter if math.isfinite(scatter) else 0.0

    def deviations(self, model: nn.Module, x: Tensor, tower: list[Tensor]) -> list[Tensor] | None:
        """Standard deviations of the errors at points (points, *in), for a figure; None where it shows none."""
        if self.estimate is None or x[0].numel() > _DRAWN:
            return None
        tower = tower[: _HIGHEST + 1]
        with torch.inference_mode(False), torch.no_grad(), one_thread():
            squares, _ = self.estimate.mean_squares(tower, x, self.estimate.own_mean_squares(model, x, tower))
        return [square.sqrt() for square in squares]

    def outside(self, x: Tensor) -> Tensor | None:
        """Which points (points, *in) lie outside of the data; None where nothing is estimated."""
        return None if self.estimate is None else self.estimate.domain.outside(x.double().flatten(1))

    def state(self) -> dict[str, Any] | None:
        """Of the rows alone, for a checkpoint: what they say does not depend on the weights."""
        if self._rows is not None:
            return self._rows.state_dict()
        if self._seen is None or not enough(self._seen[0]):
            return None
        training, held_out = self._seen
        every = -(-len(training[0]) // MOST)
        return {"rows": [t[::every].clone() for t in training], "unseen": [t.clone() for t in held_out]}

    def summary(self) -> dict[str, Any] | None:
        """What a report says of the estimate."""
        if self.estimate is None:
            return {"remark": self.remark} if self.remark else None
        shares, value = self.estimate.noise / self.estimate.spread, self.expected[0]
        missed = torch.as_tensor(value.rmse if value.entries is None else value.entries).to(shares).flatten()
        return {
            "verdict": verdict(self.expected, self._outputs, self._inputs),
            "noise": self.estimate.noise.tolist(),
            "noise_share": shares.tolist(),
            "noise_text": noise_text(shares, missed / self.estimate.spread, self._outputs),
            "points": self.points,
            "rows": self.estimate.heard or len(self.estimate.training[0]),
            "held_out": len(self.estimate.held_out[0]) if self.estimate.held_out else 0,
            "remark": self.remark or self.estimate.remark,
            "odd_row": self._odd_row(),
        }

    def _odd_row(self) -> str:
        """A sentence about a row that may be wrong; empty without."""
        row = self.estimate.odd_row() if self.estimate is not None else None
        if row is None:
            return ""
        inputs, outputs = self._inputs, self._outputs
        if len(inputs) != len(row.point):
            inputs = [f"input {i + 1}" for i in range(len(row.point))]
        where = ", ".join(f"{name} = {value:.4g}" for name, value in zip(inputs, row.point.tolist(), strict=True))
        of = f", in {outputs[row.output]}," if len(outputs) > 1 else ""
        return (
            f"the row at {where} lies{of} {row.deviations:.0f} standard deviations from what all others say: a wrong "
            "value, or something that no other row has seen. Errors around it may be larger than estimated"
        )

    def _prepared(self, trainer: Any) -> bool:
        """Whether there are witnesses; made at the first call, from the rows of all processes."""
        if self._rows is None and not self._tried:
            self._tried = True
            training, held_out = self._seen or [self._samples(trainer, name) for name in ("training", "validation")]
            if hasattr(trainer.datamodule, "problem"):
                return False  # an equation has no rows with values
            if not training:
                missing = self.missing or (
                    "no training row with inputs and values was seen; where they are in a batch, say "
                    "DerivativeMonitor(inputs=..., targets=...)"
                )
                self.remark = f"no error is estimated: {missing}"
                return False
            outputs = training[1].shape[1:].numel()
            if outputs > _MOST_OUTPUTS and self.when == "auto":
                self.remark = (
                    f"no error is estimated: each of the {outputs} outputs needs a Gaussian process of its own, which "
                    "takes long; estimate='always' makes them"
                )
                return False
            try:
                with torch.inference_mode(False), one_thread():
                    self._rows = DerivativeEstimate.of_rows(training, held_out or None)
            except (ValueError, RuntimeError) as error:
                self.remark = f"no error is estimated: {error}"
        return self._rows is not None

    def _samples(self, trainer: Any, name: Literal["training", "validation"]) -> list[Tensor]:
        split = own_split(trainer, name)
        if split is not None:
            return [split.inputs, split.targets, *split.labels]
        parts = gathered((self._training if name == "training" else self._held_out).tensors())
        filled = [part for part in parts if part]
        fewest = min((len(part) for part in filled), default=0)
        return [torch.cat([part[k] for part in filled]) for k in range(fewest)]

    def _everywhere(self, kept: list[Any], world_size: int) -> tuple[Tensor | None, list[Tensor]]:
        """Points of all processes, in an order that does not depend on who had them, and derivatives there."""
        parts = [(x, list(predicted)) for x, predicted, _ in kept]
        if world_size > 1:
            parts = [part for own in gathered(parts) for part in own]
        if not parts:
            return None, []
        x, columns = torch.cat([p[0] for p in parts]), zip(*(p[1] for p in parts), strict=True)
        inputs = x.shape[1:].numel()
        orders = [k for k in range(_HIGHEST + 1) if inputs**k <= _ENTRIES]
        if self._drawn is None or not torch.equal(self._drawn[0], x):
            order = torch.unique(x.flatten(1), dim=0, return_inverse=True)[1].argsort(stable=True)
            self._drawn = x, order[:: max(1, math.ceil(len(order) / points_for(inputs)))].clone()
        order = self._drawn[1]
        return x[order], [torch.cat(column)[order] for column, _ in zip(columns, orders, strict=False)]

    def _judged(self, model: nn.Module) -> DerivativeEstimate:
        """After a look at the network; the same weights are looked at once."""
        assert self._rows is not None
        weights = fingerprint(model)
        if self._judgement is not None and self._judgement[0] == weights:
            return self._judgement[1]
        try:
            self._judgement = weights, self._rows.judged(model, self._method)
            return self._judgement[1]
        except (ValueError, TypeError, RuntimeError) as error:
            self.remark = f"the estimate knows the rows only, and may be too large: {error}"
            return self._rows

    def _with_probes(self, model: nn.Module, x: Tensor, tower: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Points that were measured, and others between the rows: a few held-out rows tell little of all places."""
        assert self._rows is not None
        probes = self._rows.domain.probes.reshape(-1, *x.shape[1:])
        with double(model):
            device = next((p.device for p in model.parameters()), x.device)
            more = derivative_tensors(model, probes.to(device), len(tower) - 1, method=self._method)
        pairs = zip([x, *tower], [probes, *more], strict=True)
        x, *tower = (torch.cat([own.detach().double().cpu(), other.detach().cpu()]) for own, other in pairs)
        return x, tower

    def _expected(self, model: nn.Module, x: Tensor, tower: list[Tensor], *, last: bool) -> list[Expected]:
        """What the witnesses know at points is computed once for all epochs."""
        assert self.estimate is not None and self._rows is not None
        order = len(tower) - 1
        if self._known is None or not torch.equal(self._known[0], x) or len(self._known[1].means) <= order or last:
            most = max(_IN_COURSE, min(_IN_THE_END, _ENTRIES_IN_THE_END // coefficients(x[0].numel(), order)))
            self._known = x, self._rows.typical(x, order, most if last else _IN_COURSE)
        reference = self.estimate.like(self._known[1], self._rows)
        own = self.estimate.own_mean_squares(model, x, tower)
        return self.estimate.expected(tower, reference, own, rates=last)


class _Rows:
    """The first rows that were seen, on the CPU."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._parts: list[list[Tensor]] = []

    @property
    def full(self) -> bool:
        return self._count >= self._most

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and numbers in the value of each."""
        return self._count, self._parts[0][1][:1].numel() if self._parts else 0

    def add(self, x: Tensor, labels: Truth) -> None:
        if self.full or not labels or labels[0] is None or not labels[0].is_floating_point():
            return
        present = [label for label in labels if label is not None][: _HIGHEST + 1]
        with torch.inference_mode(False):
            part = [t[: self._most - self._count].detach().to("cpu", torch.float64, copy=True) for t in (x, *present)]
        if not self._parts or [t.shape[1:] for t in part] == [t.shape[1:] for t in self._parts[0]]:
            self._parts.append(part)
            self._count += len(part[0])

    def tensors(self) -> list[Tensor]:
        """Inputs, values, labels of derivatives; empty if nothing was seen."""
        return [torch.cat(column) for column in zip(*self._parts, strict=True)]


def _put(expected: list[Expected], entries: list[dict[str, Any]]) -> None:
    """What is expected of each order into the entry of it."""
    for entry in entries:
        if entry["order"] < len(expected):
            found = expected[entry["order"]]
            entry |= {"estimated_rmse": found.rmse, "estimated_relative_l2": found.relative}


def noise_text(shares: Tensor, missed: Tensor, outputs: Sequence[str] = ()) -> str:
    """Little noise is no finding where the values themselves are hardly learnt: what is missed may be noise.

    Args:
        shares: the noise of each output, in standard deviations of its values, (outputs,).
        missed: the estimated error of each, likewise.
        outputs: their names, where they have some.
    """
    if bool(((missed > _HARDLY) & (shares < missed)).any()):
        return "noise: not known, as too little is learnt to tell it from the rest"
    if not shares.any():
        return "noise: none is seen"
    names = [f" ({name})" for name in outputs] if len(outputs) == len(shares) > 1 else [""] * len(shares)
    found = [percent(share) + name for share, name in zip(shares.tolist(), names, strict=True)]
    return f"noise: {', '.join(found)} of the standard deviation of the values"
