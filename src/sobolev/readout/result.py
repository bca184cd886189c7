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

    def __str__(self) -> str:
        before, after = (", ".join(f"{e:.2g}" for e in errors) for errors in (self.before, self.after))
        if not self.changed:
            return f"Readout of {self.layer}: kept as it was, nothing better beyond chance (held-out error {before})"
        strengths = ", ".join("kept" if s is None else f"{s:.1g}" for s in self.strength)
        freedom = ", ".join("-" if d is None else f"{d:.0f}" for d in self.degrees_of_freedom)
        return (
            f"Readout of {self.layer}: held-out error {before} -> {after}; ridge {strengths}, "
            f"{freedom} degrees of freedom, condition {self.condition:.0e}"
        )
