"""Shapes of values and derivative labels: (batch, outputs), (batch, outputs, inputs), ...; of one output without it."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor


def with_outputs(inputs: Float[Tensor, "batch ..."], labels: Sequence[Tensor]) -> list[Tensor]:
    """Values and derivative labels, those of one output with an axis for it.

    Args:
        inputs: (batch, *in).
        labels: values, (batch, outputs) or (batch,); then (batch, outputs, *in) or, of one output, (batch, *in); then
            (batch, outputs, *in, *in) or (batch, *in, *in). What has another shape stays as it is.
    """
    if not labels or not labels[0].dim() or labels[0].numel() != len(labels[0]):
        return list(labels)
    entries = inputs.shape[1:]
    return [
        label.unsqueeze(1) if label.shape == inputs.shape[:1] + entries * order else label
        for order, label in enumerate(labels)
    ]


def is_label(item: Any, inputs: Float[Tensor, "batch ..."], values: Tensor, order: int) -> bool:
    """Whether something behind inputs and values in a batch has the shape of a derivative of some order.

    A column beside one input and values with an axis for their one output stays what it may be: weights of the samples.
    """
    if not isinstance(item, Tensor):
        return False
    entries, one_output = inputs.shape[1:], values.numel() == len(values)
    shapes: list[tuple[int, ...]] = [values.shape + entries * order]
    if one_output:
        shapes.append((len(values), 1, *entries * order))
    if one_output and entries.numel() > 1:
        shapes.append(inputs.shape[:1] + entries * order)
    return tuple(item.shape) in map(tuple, shapes)


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
                "something else, set derivative_order=0 in the model"
            )


def check_order(derivative_order: int | None) -> None:
    """Refuse an order of labels that nothing is made for."""
    if derivative_order not in (None, 0, 1, 2):
        raise ValueError(f"derivative_order is {derivative_order!r}; it is 0, 1, 2, or None for all there is")
