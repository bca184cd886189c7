"""What is said of derivative labels before a training."""

from collections.abc import Sequence
from itertools import chain

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from sobolev.training.contradicting_labels import contradictions
from sobolev.training.left_open import left_open


def warn_of_labels(data: object, inputs: Tensor, targets: Tensor, labels: Sequence[Tensor]) -> None:
    """Say which derivative labels contradict the values, and what they leave open.

    Args:
        data: the data module, which may know the names of inputs and outputs.
        inputs: (rows, inputs).
        targets: (rows, outputs).
        labels: of gradients, (rows, outputs, inputs), then of Hessians.
    """
    names = _names(data, "input", inputs.shape[1], "x"), _names(data, "output", targets.shape[1], "y")
    points, *given = (tensor.detach().double().cpu() for tensor in (inputs, targets, *labels))
    for sentence in chain(left_open(points, given, *names), contradictions(points, given, *names)):
        rank_zero_warn(sentence)


def _names(data: object, kind: str, count: int, letter: str) -> Sequence[str]:
    """Of the inputs or outputs, as far as the data know them."""
    names = getattr(data, f"{kind}_names", ())
    numbered = [f"{letter}{i + 1}" for i in range(count)] if count > 1 else [letter]
    return names if len(names) == count else numbered
