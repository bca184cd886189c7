"""Checks of arguments, with one wording for all that take the same."""

from typing import Any

from torch import Tensor


def check_counts(least: int, **values: Any) -> None:
    """Refuse arguments that are not whole numbers from `least` on.

    Raises:
        ValueError: names the first of them.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; it is a whole number, {least} or more")


def check_points(x: Any) -> None:
    """Refuse points that cannot be differentiated by.

    Raises:
        TypeError: not a floating-point tensor.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {kind}; derivatives need a floating-point tensor: torch.as_tensor(x).float()")
