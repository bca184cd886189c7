"""The scale of every value and derivative in a set of labels, by which a loss balances them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDING = 1e-12
"""A standard deviation below this part of the mean is rounding: the column is constant."""

_LEAST_OF_AVERAGE, _LEAST_OF_UNIT = 0.3, 0.03
"""No scale of a derivative is below this part of the average of its order, and of (spread of y) / (spread of x)."""


def component_scales(
    inputs: Float[Tensor, "samples inputs"],
    targets: Float[Tensor, "samples outputs"],
    labels: Sequence[Float[Tensor, "samples outputs ..."]] = (),
) -> list[Float[Tensor, "outputs ..."]]:
    """Standard deviation of each value, root mean square of each derivative; infinite where nothing has a label.

    In units of the spreads of inputs and output, a derivative that is much smaller than the root mean square of its
    order takes 0.3 of that for its scale, and at least 0.03: in units of its own, its errors would drown the others.

    Args:
        inputs: (samples, inputs).
        targets: (samples, outputs); NaN where there is no value.
        labels: order 1 (samples, outputs, inputs), order 2 (samples, outputs, inputs, inputs); NaN: no label.

    Returns:
        One float64 tensor for each order: (outputs), (outputs, inputs), (outputs, inputs, inputs).
    """
    unit = output_spread(inputs, targets, labels)
    scales = [_where_labelled(targets, unit)]
    for label in labels:
        unit = unit[..., None] / spread(inputs)
        shares = _root_mean_square(label) / unit
        present = ~label.isnan().all(0)
        least = (_LEAST_OF_AVERAGE * _average(shares, present)).clamp(min=_LEAST_OF_UNIT)
        scales.append(_where_labelled(label, torch.maximum(shares, least) * unit))
    return scales


def spread(values: Float[Tensor, "samples columns"]) -> Float[Tensor, " columns"]:
    """Standard deviation over the samples in float64, NaN left out; 1 for a constant column and one without numbers."""
    mean, deviation = moments(values)
    return torch.where(deviation > ROUNDING * mean.abs(), deviation, 1.0)


def moments(values: Float[Tensor, "samples columns"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (columns) over the samples in float64, NaN left out; 0 where nothing is left."""
    values = values.double()
    mean = values.nanmean(0).nan_to_num(0.0)
    return mean, _root_mean_square(values - mean)


def output_spread(
    inputs: Float[Tensor, "samples inputs"],
    targets: Float[Tensor, "samples outputs"],
    labels: Sequence[Float[Tensor, "samples outputs ..."]] = (),
) -> Float[Tensor, " outputs"]:
    """As `variation`, but 1 for an output that is constant or of which nothing is known."""
    found = variation(inputs, targets, labels)
    return torch.where(found > 0, found, 1.0)


def variation(
    inputs: Float[Tensor, "samples inputs"],
    targets: Float[Tensor, "samples outputs"],
    labels: Sequence[Float[Tensor, "samples outputs ..."]] = (),
) -> Float[Tensor, " outputs"]:
    """How much each output varies, (outputs): by its values; where those are constant or missing, by derivatives."""
    mean, deviation = moments(targets)
    found = torch.where(deviation > ROUNDING * mean.abs(), deviation, 0.0)
    for label in labels:
        change = _root_mean_square(label)
        for _ in label.shape[2:]:
            change = (change * spread(inputs)).square().sum(-1).sqrt()
        found = torch.where(found > 0, found, change)
    return found


def _root_mean_square(values: Tensor) -> Tensor:
    """Over the samples, NaN left out; 0 where nothing is left."""
    return values.double().square().nanmean(0).sqrt().nan_to_num(0.0)


def _average(shares: Tensor, present: Tensor) -> Tensor:
    """Root mean square over the derivatives of each output that have labels, (outputs, 1, ...)."""
    axes = tuple(range(1, shares.dim()))
    count = present.sum(axes, keepdim=True).clamp(min=1)
    return ((shares * present).square().sum(axes, keepdim=True) / count).sqrt()


def _where_labelled(label: Tensor, scale: Tensor) -> Tensor:
    return torch.where(label.isnan().all(0), torch.inf, scale)
