"""What was done to a network's readout."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Readout:
    """What `solve_readout` did. Errors are root mean squares in units of the labels' own size, one for each order.

    Attributes:
        layer: the path of the layer in the model.
        changed: whether the network is another one now.
        strength: of the ridge, relative to the largest singular value; one for each output, None where the weights
            that came in were kept. Near 0 is plain least squares.
        degrees_of_freedom: effective number of parameters of each output, None where they were kept.
        condition: of the features, columns scaled to norm 1.
        rank: how many independent features there are in float64.
        before: held-out errors of the network that came in.
        after: held-out errors of the network that came out.
        rows: equations that were solved.
        held_out: samples that were held out.
        dtype: the precision of the network afterwards.
        features: on how many the layer is now, where others than the trained ones were added; else 0.
        refused: why more features that were better on held-out rows were not taken; else nothing.
    """

    layer: str
    changed: bool
    strength: tuple[float | None, ...]
    degrees_of_freedom: tuple[float | None, ...]
    condition: float
    rank: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    rows: int
    held_out: int
    dtype: str
    features: int = 0
    refused: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, [self._done(), self.refused]))

    def _done(self) -> str:
        after = _said(self.after)
        if not self.changed:
            return (
                f"The last layer ({self.layer}) stays as it was trained: least squares make nothing better beyond "
                f"chance, slopes included, on {self.held_out} held-out rows, where {after} (root mean square)"
            )
        features = f" on {self.features} features" if self.features else ""
        return (
            f"The last layer ({self.layer}) was solved anew by least squares{features}: on {self.held_out} held-out "
            f"rows {after} (root mean square); before, {_said(self.before)}"
        )


def _said(errors: tuple[float, ...]) -> str:
    """How wrong values and labels of derivatives are, in words."""
    names = ("the values", "the slopes", "the second derivatives")
    said = [f"{name} are wrong by {_share(error)}" for name, error in zip(names, errors, strict=False)]
    return f"{said[0]} of their size" if len(said) == 1 else f"{', '.join(said)} of their own size"


def _share(error: float) -> str:
    return f"{error:.2g}" if error < 1e-3 else f"{100 * error:.2g} %"
