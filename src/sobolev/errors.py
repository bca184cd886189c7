"""What sobolev raises besides ValueError and TypeError."""


class UntrustworthyDerivativeError(RuntimeError):
    """No method gives a derivative that checks out against the values of the function."""
