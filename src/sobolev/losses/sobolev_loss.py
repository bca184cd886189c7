"""Losses in units that suit an optimiser, whatever units the data are in; of values, and of derivatives as well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sobolev.autodiff.engine import BatchedFunction
from sobolev.losses.comparison import Comparison, FirstOrder, SecondOrder, flat
from sobolev.losses.labels import check_labels, check_order, with_outputs
from sobolev.losses.whitening import GradientWeights, gradient_whitening
from sobolev.networks.scales import component_scales

_SCALES = ("value_scale", "gradient_scale", "hessian_scale")
_BUFFERS = (*_SCALES, "gradient_whitening")


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

    The loss is the mean over all entries c (each value, each entry of the Jacobian, each of the Hessian that has
    labels) of the mean of ((predicted_c - label_c) / scale_c)², where scale_c is the standard deviation of a value and
    the root mean square of a derivative over the training data. For one output, n inputs and labels of order 1 this
    is the loss of Huge & Savine, Differential Machine Learning (2020): weights a = 1 / (1 + n) for the value and
    b = n / (1 + n) for the gradient, with lambda_j = 1 / rms(dy/dx_j). Order 2 continues it: 1, n and n² parts of
    1 + n + n².

    A derivative that is (almost) 0 everywhere would drown all others in units of its own. So no scale is below 0.3 of
    the average of its order (root mean square over the entries of an output), nor below 0.03, both in units of
    std(y) / std(x_j), and of std(y) / (std(x_i) std(x_j)). NaN in a label or a value means that there is none.

    Random outputs or columns (Czarnecki et al., Sobolev Training, 2017, section 2) give the same loss in expectation.

    Args:
        derivative_order: the highest order of labels that is used; None for all that the data hold.
        first_order: how labels of order 1 are used: `"full"` Jacobians, or those of one `"random"` output of each
            sample and step; `"auto"` is full up to 10 inputs or 10 outputs.
        second_order: how labels of order 2 are used: the `"full"` Hessian, its `"diagonal"`, or one `"random"` column
            of each sample and step, at the cost of a Hessian-vector product; `"auto"` is random beyond 10 inputs,
            else the diagonal where nothing else has a label, else full.
        gradient_weights: `"separate"` for each entry of the gradient; or `"joint"`, which takes noise out of the fit
            to simulated gradients, see `sobolev.losses.whitening`, needs all entries of each and compares them all.

    Examples:
        >>> import sobolev, torch
        >>> x = torch.linspace(-1, 1, 50)[:, None]
        >>> labels = [x**2, 2 * x[:, :, None]]  # values and slopes
        >>> loss = sobolev.losses.SobolevLoss()
        >>> loss.fit(x, labels[0], labels[1:])
        >>> loss(sobolev.MLP(), x, labels).total().backward()
    """

    value_scale: Tensor
    gradient_scale: Tensor
    hessian_scale: Tensor
    gradient_whitening: Tensor
    fitted: Tensor

    def __init__(
        self,
        derivative_order: int | None = None,
        first_order: FirstOrder = "auto",
        second_order: SecondOrder = "auto",
        gradient_weights: GradientWeights = "separate",
    ) -> None:
        super().__init__()
        check_order(derivative_order)
        for name, choice, kind in (
            ("first_order", first_order, FirstOrder),
            ("second_order", second_order, SecondOrder),
            ("gradient_weights", gradient_weights, GradientWeights),
        ):
            if choice not in get_args(kind):
                raise ValueError(f"{name} is {choice!r}; choose {', '.join(map(repr, get_args(kind)))}")
        self.derivative_order = derivative_order
        self.gradient_weights: GradientWeights = gradient_weights
        self.first_order: FirstOrder = "full" if gradient_weights == "joint" else first_order
        self.second_order: SecondOrder = second_order
        for name in _BUFFERS:
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("fitted", torch.tensor(False))
        self.register_load_state_dict_pre_hook(_take_shapes)
        self._comparison: Comparison | None = None

    @property
    def scales(self) -> list[Tensor]:
        """Of each order: (outputs), (outputs, inputs), ...; none where a plain loss on values is enough."""
        return [scale for name in _SCALES if (scale := getattr(self, name)).numel()]

    @property
    def needed(self) -> bool:
        """Whether there are derivative labels, or values are missing."""
        return self.value_scale.numel() > 0

    def expect(self, orders: int) -> None:
        """Ask for new scales if there are labels of more orders than it has scales for."""
        orders = orders if self.derivative_order is None else min(orders, self.derivative_order)
        if orders > max(len(self.scales) - 1, 0):
            self.fitted = torch.zeros_like(self.fitted)

    @torch.no_grad()
    def fit(
        self,
        inputs: Float[Tensor, "samples inputs"],
        targets: Float[Tensor, "samples *outputs"],
        labels: Sequence[Float[Tensor, "samples ..."]] = (),
    ) -> None:
        """Take the scale of every component from data.

        Args:
            inputs: (samples, inputs).
            targets: (samples, outputs), or (samples,) of one output; NaN where there is no value.
            labels: order 1 (samples, outputs, inputs), order 2 (samples, outputs, inputs, inputs); likewise.
        """
        targets, *labels = with_outputs(inputs, [targets, *labels])
        if labels or targets.isnan().any():
            scales = component_scales(inputs, targets, labels)
            for name, scale in zip(_SCALES, scales, strict=False):
                setattr(self, name, scale.to(self.value_scale))
        if self.gradient_weights == "joint":
            self.gradient_whitening = gradient_whitening(labels, self.gradient_scale).to(self.value_scale)
        self.fitted = torch.ones_like(self.fitted)
        self._comparison = None

    def forward(
        self,
        f: BatchedFunction,
        x: Float[Tensor, "batch inputs"],
        labels: Sequence[Tensor],
        seed: int | None = None,
    ) -> LossParts:
        """The loss of f at x.

        Args:
            f: maps (batch, inputs) to (batch, outputs).
            x: (batch, inputs).
            labels: values (batch, outputs), then derivative labels in the shapes of `fit`. Orders that are missing
                at the end do not count.
            seed: of random outputs and columns; without one they take turns, so that two calls agree.

        Raises:
            ValueError: a label of another shape.
        """
        if self._comparison is None:
            self._comparison = Comparison(self.scales, self.first_order, self.second_order)
        comparison = self._comparison
        labels = with_outputs(x, labels[: comparison.order + 1])
        check_labels(x, labels)
        draw = comparison.draw(len(x), seed)
        target = flat(comparison.chosen(labels, draw))
        predicted = flat(comparison.predicted(f, x, len(labels) - 1, draw))
        scale, weight = (t[..., : target.shape[1]] for t in (comparison.scales_of(draw, len(x)), comparison.weight))
        labelled = ~target.isnan()
        count = labelled.sum(0)
        errors = torch.where(labelled, (predicted - target) / scale, 0.0)
        if self.gradient_weights == "joint" and len(labels) > 1:
            value, gradient, rest = errors.tensor_split(torch.tensor(comparison.sizes[:2]).cumsum(0), 1)
            errors = torch.cat([value, gradient @ self.gradient_whitening, rest], 1)
        squares = errors.square().sum(0)
        return LossParts(squares * weight / count.clamp(min=1), weight * (count > 0), comparison.sizes[: len(labels)])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._comparison = None  # another device or precision
        return super()._apply(fn, recurse)


def _ratio(errors: Tensor, weights: Tensor) -> Tensor:
    return errors.sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def _take_shapes(module: SobolevLoss, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a fresh module load the scales of any labels, and a checkpoint that has none."""
    module._comparison = None
    state.setdefault(prefix + "fitted", module.fitted)
    for name in _BUFFERS:
        current = getattr(module, name)
        saved = state.setdefault(prefix + name, current)
        if saved.shape != current.shape:
            setattr(module, name, current.new_empty(saved.shape))
