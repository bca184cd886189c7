"""What to say of a network that has learnt little."""

_EXPLAINED = 0.9
"""A network that leaves more than the rest of the variance is said to have learnt little."""


def of_little_explained(explained: float) -> str | None:
    """One sentence where a part of the variance of held-out rows is small, with what to do; else None."""
    if not explained < _EXPLAINED:
        return None
    return (
        f"the network explains {max(0.0, explained):.0%} of the variance of held-out rows: give more rows, leave out "
        "inputs that say nothing, look for inputs that are missing, or take a smaller domain if the function "
        "oscillates over many periods; the rest may be noise, too"
    )
