"""Numbers and exceptions as people read them."""

from torch import Tensor


def shown(x: Tensor) -> str:
    """A sample's first entries: `0.25`, `(0.25, 1, ...)`."""
    numbers = [f"{value:.4g}" for value in x.flatten()[:4].tolist()]
    return f"({', '.join(numbers)}{', ...' if x.numel() > 4 else ''})" if x.numel() > 1 else numbers[0]


def brief(error: BaseException) -> str:
    """The first line of an exception, with its kind; of one out of TorchScript the last, for only that says why."""
    lines = str(error).strip().splitlines()
    if lines and "TorchScript interpreter" in lines[0]:
        return lines[-1][:200].rstrip(".")
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.') if lines else 'no message'}"
