"""The readout: a network's last linear layer solved for by least squares, if that makes it better."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.guard import evaluating, plain_forward
from sobolev.autodiff.operators import derivative_tensors
from sobolev.readout.certainty import Certainty
from sobolev.readout.choice import STRENGTHS, HeldOut, propose
from sobolev.readout.equations import Equations, Factors, Samples, Scales, entries, equations, orders_of
from sobolev.readout.exchange import Gather, alone, together
from sobolev.readout.layer import LinearLayer, double, find_layer
from sobolev.readout.least_squares import RidgePath
from sobolev.readout.result import Readout

Batches = Callable[[], Iterable[Samples]]
"""Called to pass over the samples once."""

_NUMBERS = 1 << 22
"""About so many are in memory at a time."""
_ROUNDINGS = 8
"""So many roundings of the network's precision are no error of its weights."""
_KEPT = len(STRENGTHS)
"""The number of the candidate that came in."""


def solve_readout(
    model: nn.Module,
    training: Batches,
    held_out: Batches,
    *,
    method: Method = "auto",
    gather: Gather = alone,
) -> Readout:
    """Give the last linear layer of a model the weights that solve its training data best; never a worse model.

    Labels of the value, the gradient and the Hessian are all linear in these weights. The strength of a ridge is the
    one of largest evidence on the training data, unless the held-out data contradict; it is used where the held-out
    error is smaller than that of the model as it came in, by more than a standard error, for every order of labels.

    Args:
        model: maps (batch, *in) to (batch, *out). The layer's weights are changed in place; for full accuracy the
            model is of float64, `model.double()`.
        training: called to pass over the training samples: batches (x, y[, d1[, d2]]), NaN where there is no label.
            Twice, with the same samples.
        held_out: the same for samples that were not trained on; three times.
        method: as in `sobolev.derivatives`.
        gather: for several processes: brings an object of each to all. All processes must call this function.

    Returns:
        What was done.

    Raises:
        ValueError: the output is not linear in any layer; samples or labels that make no sense. The model is as it
            was.
    """
    solver = _Solver(model, method, gather)
    solver.start(training)
    paths = solver.paths(training)
    before = solver.errors(held_out)
    strengths = solver.choose(paths, held_out)
    try:
        after = solver.errors(held_out) if any(s is not None for s in strengths) else before
    except Exception:
        solver.restore(torch.ones(len(strengths), dtype=torch.bool))
        raise
    worse = ~(after <= before).where(~before.isnan(), True).all(0)
    if worse.any():  # what rounding makes of the weights
        solver.restore(worse)
        strengths = [None if bad else s for s, bad in zip(strengths, worse.tolist(), strict=True)]
        after = after.where(~worse, before)
    return solver.result(paths, strengths, before, after)


def held_out_errors(
    model: nn.Module, training: Batches, held_out: Batches, *, method: Method = "auto", gather: Gather = alone
) -> Float64[Tensor, "orders outputs"]:
    """Mean squares of the errors of a model as it is, of each order of labels in units of their sizes.

    Arguments as in `solve_readout`.
    """
    solver = _Solver(model, method, gather)
    solver.start(training)
    return solver.errors(held_out)


class _Solver:
    """The steps of `solve_readout`. Each ends with one exchange between all processes."""

    method: Method
    found: LinearLayer
    scales: Scales
    sizes: Float64[Tensor, " entries"]

    def __init__(self, model: nn.Module, method: Method, gather: Gather) -> None:
        self.model, self.method, self.gather = model, method, gather
        self.held_out = 0
        half = [name for name, p in model.named_parameters() if p.dtype in (torch.float16, torch.bfloat16)]
        if half:
            raise ValueError(f"{half[0]} is in half precision, too coarse for a readout; train in bf16-mixed")

    def start(self, training: Batches) -> None:
        """Find the layer, and the sizes of the labels."""

        def local() -> tuple[tuple[str, Tensor, bool] | None, Scales]:
            found, scales = None, Scales()
            for labels in training():
                if found is None and len(labels[0]):
                    layer = find_layer(self.model, labels[0])
                    _check_outputs(layer, labels)
                    found = layer.name, layer.scale.cpu(), layer.varying
                scales.add(labels)
            return found, scales

        parts = together(self.gather, local)
        described = next((found for found, _ in parts if found is not None), None)
        if described is None:
            raise ValueError("there is no training sample to solve the readout for")
        name, scale, varying = described
        layer = self.model.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        self.found = LinearLayer(name, layer, scale, varying)
        self.scales = Scales().join([scales for _, scales in parts])
        self.sizes = self.scales.entries()
        self.incoming = self.found.weights()

    def paths(self, training: Batches) -> list[RidgePath]:
        """The solutions of all strengths, one path for each output; those with the same rows share it."""

        def local() -> Factors:
            factors = Factors(self.found.outputs)
            with double(self.model):
                for labels in self._pieces(training(), torch.float64):
                    factors.add(self._equations(labels))
            return factors

        factors = Factors(self.found.outputs).join(together(self.gather, local))
        shared: dict[tuple, RidgePath] = {}
        found = []
        for output in range(self.found.outputs):
            patterns, factor, rows = factors.of(output)
            if patterns not in shared:
                bias = int(self.found.layer.bias is not None)
                shared[patterns] = RidgePath(factor, rows, self.found.layer.in_features + bias, free=bias)
            found.append(shared[patterns])
        return found

    def errors(self, held_out: Batches) -> Float64[Tensor, "orders outputs"]:
        """Mean square of the errors of the network as it is, in units of the labels' sizes, for each order."""

        def local() -> tuple[Tensor, Tensor] | None:
            sums = None
            with self._evaluating():
                for labels in self._pieces(held_out(), self.found.dtype):
                    new = self._squares(labels)
                    sums = new if sums is None else (sums[0] + new[0], sums[1] + new[1])
            return sums

        parts = [part for part in together(self.gather, local) if part is not None]
        if not parts:
            raise ValueError("there is no held-out sample to compare the readout on")
        squares, counts = (torch.stack(column).sum(0) for column in zip(*parts, strict=True))
        return squares / counts

    def choose(self, paths: list[RidgePath], held_out: Batches) -> list[float | None]:
        """Set the weights of each output that get better; the strength of each, None for what is kept."""
        candidates = self._candidates(paths)
        proposed = [propose(path, output) for output, path in enumerate(paths)]
        units = self.found.scale / self.scales.outputs()
        rounding = _ROUNDINGS * torch.finfo(self.found.dtype).eps

        def start() -> tuple[HeldOut, Certainty]:
            deviations = self.scales.inputs.deviations()
            return HeldOut(candidates, proposed, units, rounding), Certainty(candidates, paths, deviations)

        def local() -> tuple[HeldOut, Certainty]:
            errors, certainty = start()
            with self._evaluating():
                for labels in self._pieces(held_out(), self.found.dtype):
                    new = self._equations(labels)
                    errors.add(new)
                    if len(labels) == 2:  # else labels of derivatives speak for themselves
                        certainty.add(self.model, self.found, labels[0], new.targets, self.method)
            return errors, certainty

        parts = together(self.gather, local)
        errors, certainty = start()
        errors, certainty = errors.join(part for part, _ in parts), certainty.join(part for _, part in parts)
        self.held_out = int(errors.samples.max())
        numbers = self.gather(errors.choose(certainty.admissible()))[0]
        weights = torch.stack([candidates[number, :, output] for output, number in enumerate(numbers)], dim=1)
        self.found.set_weights(weights)
        return [None if number == _KEPT else float(STRENGTHS[number]) for number in numbers]

    def restore(self, outputs: Bool[Tensor, " outputs"]) -> None:
        """Give these outputs the weights that came in."""
        self.found.set_weights(torch.where(outputs, self.incoming, self.found.weights()))

    def result(self, paths: list[RidgePath], strengths: list[float | None], before: Tensor, after: Tensor) -> Readout:
        """In plain numbers."""
        degrees = [
            None if s is None else float(path.degrees_of_freedom(torch.tensor([s], dtype=torch.float64)))
            for s, path in zip(strengths, paths, strict=True)
        ]
        return Readout(
            layer=self.found.name,
            changed=any(s is not None for s in strengths),
            strength=tuple(strengths),
            degrees_of_freedom=tuple(degrees),
            condition=max(path.condition for path in paths),
            rank=min(path.rank for path in paths),
            before=tuple(before.nanmean(1).sqrt().tolist()),
            after=tuple(after.nanmean(1).sqrt().tolist()),
            rows=max(path.rows for path in paths),
            held_out=self.held_out,
            dtype=str(self.found.dtype).removeprefix("torch."),
        )

    def _candidates(self, paths: list[RidgePath]) -> Float64[Tensor, "candidates unknowns outputs"]:
        """All strengths in the precision of the network, then the weights that came in."""
        solved: dict[int, Tensor] = {id(path): path.weights(STRENGTHS) for path in paths}
        weights = torch.stack([solved[id(path)][:, :, output] for output, path in enumerate(paths)], dim=2)
        if self.found.layer.bias is not None:  # derivatives alone say nothing of the bias
            known = torch.tensor([bool(path.factor[0, 0] != 0) for path in paths])
            weights[:, 0] = weights[:, 0].where(known, self.incoming[0])
        rounded = torch.cat([weights, self.incoming[None]]).to(self.found.dtype).double()
        return rounded.where(rounded.isfinite(), self.incoming)

    def _equations(self, labels: Samples) -> Equations:
        return equations(self.model, self.found, labels, self.sizes, self.method)

    def _squares(self, labels: Samples) -> tuple[Tensor, Tensor]:
        """Sums of squares and counts, (orders, outputs)."""
        order = len(labels) - 2
        tower = derivative_tensors(self.model, labels[0], order, method=self.method)
        apart = entries((labels[0], *tower)) - entries(labels)
        errors = (apart / self.sizes[:, None, None] / self.scales.outputs()).square()
        known = errors.isfinite()
        orders = torch.tensor(orders_of(labels[0].shape[1:].numel(), order))
        groups = [
            (errors.nan_to_num(0.0)[orders == k].sum((0, 1)), known[orders == k].sum((0, 1))) for k in range(order + 1)
        ]
        squares, counts = (torch.stack(column) for column in zip(*groups, strict=True))
        return squares, counts

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """The network as it is used, without gradients."""
        with ExitStack() as stack:
            stack.enter_context(plain_forward(self.found.device))
            stack.enter_context(torch.no_grad())
            stack.enter_context(evaluating(self.model))
            yield

    def _pieces(self, batches: Iterable[Samples], dtype: torch.dtype) -> Iterator[Samples]:
        """As many samples at a time as fit, on the device and in the precision of the network."""
        device = self.found.device
        for labels in batches:
            count = len(orders_of(labels[0].shape[1:].numel(), len(labels) - 2))
            width = self.found.layer.in_features + len(STRENGTHS) * self.found.outputs
            for piece in zip(*(t.split(max(1, min(8192, _NUMBERS // (count * width)))) for t in labels), strict=True):
                if len(piece[0]):
                    yield (piece[0].to(device, dtype), *piece[1:])


def _check_outputs(found: LinearLayer, labels: Samples) -> None:
    outputs = labels[1].shape[1:].numel()
    if outputs != len(found.scale):
        raise ValueError(f"the network has {len(found.scale)} outputs, the values of a sample are {outputs} numbers")
