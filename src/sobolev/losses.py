"""Losses in units that suit an optimiser, whatever units the data are in; of values, and of derivatives as well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sobolev.autodiff.engine import BatchedFunction
from sobolev.autodiff.operators import hessian_diagonal
from sobolev.autodiff.tensors import derivative_tensors
from sobolev.scales import component_scales

SecondOrder = Literal["auto", "full", "diagonal"]

_SCALES = ("value_scale", "gradient_scale", "hessian_scale")


def scaled_squared_error(
    predicted: Float[Tensor, "batch outputs"],
    target: Float[Tensor, "batch outputs"],
    scale: Float[Tensor, "..."] | float = 1.0,
) -> Float[Tensor, ""]:
    """Mean of ((predicted - target) / scale)² over samples and outputs.

    Args:
        predicted: (batch, outputs), in the user's units.
        target: same shape and units.
        scale: standard deviation of each output, (outputs,). Without it a small unit starves Adam, whose epsilon is
            absolute, and a large one overflows float32.
    """
    return mse_loss(predicted / scale, target / scale)


@dataclass(frozen=True)
class LossParts:
    """A loss and what it is made of.

    Attributes:
        errors: (components,), the mean squared error of each times its weight, in units of the scales.
        weights: (components,), 0 where the batch holds no label.
        sizes: how many components each order has.
    """

    errors: Float[Tensor, " components"]
    weights: Float[Tensor, " components"]
    sizes: tuple[int, ...]

    def total(self) -> Float[Tensor, ""]:
        """The weighted mean over all components."""
        return _ratio(self.errors, self.weights)

    def orders(self) -> dict[int, Float[Tensor, ""]]:
        """The weighted mean over the components of each order; `total` is a weighted mean of these."""
        pairs = zip(self.errors.split(self.sizes), self.weights.split(self.sizes), strict=True)
        return {order: _ratio(*pair) for order, pair in enumerate(pairs)}


class SobolevLoss(nn.Module):
    """Squared errors of values, first and second derivatives, balanced by the scales of their labels.

    The loss is the mean over all components c (each value, each entry of the gradient, each distinct entry of the
    Hessian that has labels) of the mean of ((predicted_c - label_c) / scale_c)², where scale_c is the standard
    deviation of a value and the root mean square of a derivative over the training data. For one output, n inputs
    and labels of order 1 this is the loss of Huge & Savine, Differential Machine Learning (2020): weights
    a = 1 / (1 + n) for the value and b = n / (1 + n) for the gradient, with lambda_j = 1 / rms(dy/dx_j). Order 2
    continues it: m entries of the Hessian bring the weights to 1, n and m parts of 1 + n + m.

    A derivative that is (almost) 0 everywhere has no scale of its own; no scale is below a hundredth of
    std(y) / std(x_j), or std(y) / (std(x_i) std(x_j)). NaN in a label or a value means that there is none.

    Args:
        derivative_order: the highest order of labels that is used; None for all that the data hold.
        second_order: which second derivatives are compared: the `"full"` Hessian, its `"diagonal"`, or `"auto"`: the
            diagonal where nothing else has labels.
    """

    value_scale: Tensor
    gradient_scale: Tensor
    hessian_scale: Tensor
    fitted: Tensor

    def __init__(self, derivative_order: int | None = None, second_order: SecondOrder = "auto") -> None:
        super().__init__()
        if derivative_order not in (None, 0, 1, 2):
            raise ValueError(f"derivative_order is {derivative_order!r}; it is 0, 1, 2, or None for all there is")
        if second_order not in get_args(SecondOrder):
            raise ValueError(f"second_order is {second_order!r}; choose {', '.join(map(repr, get_args(SecondOrder)))}")
        self.derivative_order = derivative_order
        self.second_order: SecondOrder = second_order
        for name in _SCALES:
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("fitted", torch.tensor(False))
        self.register_load_state_dict_pre_hook(_take_shapes)
        self._plan: _Plan | None = None

    @property
    def scales(self) -> list[Tensor]:
        """Of each order: (outputs), (outputs, inputs), ...; none where a plain loss on values is enough."""
        return [scale for name in _SCALES if (scale := getattr(self, name)).numel()]

    @property
    def needed(self) -> bool:
        """Whether there are derivative labels, or values are missing."""
        return self.value_scale.numel() > 0

    @torch.no_grad()
    def fit(
        self,
        inputs: Float[Tensor, "samples inputs"],
        targets: Float[Tensor, "samples outputs"],
        labels: Sequence[Float[Tensor, "samples outputs ..."]] = (),
    ) -> None:
        """Take the scale of every component from data.

        Args:
            inputs: (samples, inputs).
            targets: (samples, outputs); NaN where there is no value.
            labels: order 1 (samples, outputs, inputs), order 2 (samples, outputs, inputs, inputs).
        """
        if labels or targets.isnan().any():
            scales = component_scales(inputs, targets, labels)
            for name, scale in zip(_SCALES, scales, strict=False):
                setattr(self, name, scale.to(self.value_scale))
        self.fitted = torch.ones_like(self.fitted)
        self._plan = None

    def forward(self, f: BatchedFunction, x: Float[Tensor, "batch inputs"], labels: Sequence[Tensor]) -> LossParts:
        """The loss of f at x.

        Args:
            f: maps (batch, inputs) to (batch, outputs).
            x: (batch, inputs).
            labels: values (batch, outputs), then derivative labels in the shapes of `fit`. Orders that are missing
                at the end do not count.

        Raises:
            ValueError: a label of another shape.
        """
        plan = self._plan = self._plan or _Plan(self.scales, self.second_order)
        labels = labels[: plan.order + 1]
        check_labels(x, labels)
        target = _flat(plan.chosen(labels))
        predicted = _flat(plan.predicted(f, x, len(labels) - 1))
        scale, weight = (column[: target.shape[1]] for column in (plan.scale, plan.weight))
        labelled = ~target.isnan()
        count = labelled.sum(0)
        squares = torch.where(labelled, (predicted - target) / scale, 0.0).square().sum(0)
        return LossParts(squares * weight / count.clamp(min=1), weight * (count > 0), plan.sizes[: len(labels)])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._plan = None  # another device or precision
        return super()._apply(fn, recurse)


class _Plan:
    """Which components are compared, found once from the scales of all of them."""

    def __init__(self, scales: Sequence[Tensor], second_order: SecondOrder) -> None:
        self.order = max((k for k, scale in enumerate(scales) if scale.isfinite().any()), default=0)
        scales = scales[: self.order + 1]
        self.diagonal = second_order == "diagonal" or (second_order == "auto" and _only_diagonal(scales[2:]))
        weights = [_distinct(scale) * scale.isfinite() for scale in scales]
        self.scale, self.weight = (_flat(self.chosen([t[None] for t in ts]))[0] for ts in (scales, weights))
        self.sizes = tuple(t.numel() for t in self.chosen(scales))

    def chosen(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The compared entries of the tensors of orders 0, 1, 2."""
        if not self.diagonal or len(tensors) < 3:
            return list(tensors)
        return [*tensors[:2], tensors[2].diagonal(dim1=-2, dim2=-1)]

    def predicted(self, f: BatchedFunction, x: Tensor, order: int) -> Sequence[Tensor]:
        """The same entries of the derivatives of f, each order up to `order`."""
        return hessian_diagonal(f, x) if order == 2 and self.diagonal else derivative_tensors(f, x, order)


def check_labels(x: Float[Tensor, "batch inputs"], labels: Sequence[Tensor]) -> None:
    """Refuse labels behind (x, y) in a batch that do not have the shape of derivatives.

    Raises:
        ValueError: says which, and what to do.
    """
    for order, label in enumerate(labels):
        wanted = (*labels[0].shape, *x.shape[1:] * order)
        if label.shape != wanted:
            raise ValueError(
                f"item {order + 2} of a batch has shape {tuple(label.shape)}, but labels of the derivative of order "
                f"{order} have {wanted}: (batch, outputs, inputs), then (batch, outputs, inputs, inputs). If it is "
                "something else, set derivative_order=0 in Regressor"
            )


def _distinct(scale: Tensor) -> Tensor:
    """1 for each component, 1/2 for the entries of a Hessian that come twice."""
    ones = torch.ones_like(scale)
    return ones if scale.dim() < 3 else (ones + torch.eye(scale.shape[-1]).to(ones)) / 2


def _only_diagonal(scales: Sequence[Tensor]) -> bool:
    """No second derivative by two different inputs has a label."""
    return all(not (s.isfinite() & ~torch.eye(s.shape[-1], dtype=torch.bool, device=s.device)).any() for s in scales)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """(batch, components)."""
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def _ratio(errors: Tensor, weights: Tensor) -> Tensor:
    return errors.sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def _take_shapes(module: SobolevLoss, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a fresh module load the scales of any labels, and a checkpoint that has none."""
    module._plan = None
    state.setdefault(prefix + "fitted", module.fitted)
    for name in _SCALES:
        current = getattr(module, name)
        saved = state.setdefault(prefix + name, current)
        if saved.shape != current.shape:
            setattr(module, name, current.new_empty(saved.shape))
