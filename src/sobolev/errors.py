"""What sobolev raises besides ValueError and TypeError, and what it says of files that it does not load."""

from os import PathLike


class UntrustworthyDerivativeError(RuntimeError):
    """No method gives a derivative that checks out against the values of the function."""


def refused_file(path: str | PathLike[str]) -> str:
    """The sentence for a file of torch.save that is not plain types and tensors."""
    return (
        f"{path} is refused: it is damaged, or holds more than plain types and tensors, and such a file can run code "
        "when it is loaded. Use one that holds tensors or a state_dict; if you trust its author, load it once with "
        "torch.load(path, weights_only=False) and save its state_dict"
    )
