"""Checks of arguments, with one wording for all that take the same."""

from typing import Any

from torch import Tensor


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number from `least` on.

    Args:
        name: of the argument, for the message.
        value: what was given.
        least: the smallest that makes sense.

    Raises:
        ValueError: it is something else.
    """
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
