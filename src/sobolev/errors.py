"""What sobolev raises and says in more than one room: its own error, checks of arguments, files it does not load."""

from os import PathLike
from typing import Any

from torch import Tensor


class UntrustworthyDerivativeError(RuntimeError):
    """No method gives a derivative that checks out against the values of the function.

    Examples:
        >>> import lightning, sobolev
        >>> data, model = sobolev.FunctionData("x**2", (-1, 1)), sobolev.Regressor(sobolev.MLP(activation="relu"))
        >>> strict = sobolev.DerivativeMonitor(on_finding="raise")
        >>> try:
        ...     lightning.Trainer(max_epochs=1, callbacks=[strict]).fit(model, data)
        ... except sobolev.UntrustworthyDerivativeError as error:
        ...     print("piecewise linear" in str(error))
        True
    """


def refused_file(path: str | PathLike[str]) -> str:
    """The sentence for a file of torch.save that is not plain types and tensors."""
    return (
        f"{path} is refused: it is damaged, or holds more than plain types and tensors, and such a file can run code "
        "when it is loaded. Use one that holds tensors or a state_dict; if you trust its author, load it once with "
        "torch.load(path, weights_only=False) and save its state_dict"
    )


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
