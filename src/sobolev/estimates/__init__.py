"""How wrong derivatives are where no truth is known."""

from sobolev.estimates.estimate import DerivativeEstimate, Estimated
from sobolev.estimates.verdict import Expected, verdict

__all__ = ["DerivativeEstimate", "Estimated", "Expected", "verdict"]
