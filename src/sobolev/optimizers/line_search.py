"""A line search for the strong Wolfe conditions that survives losses which are infinite or no number."""

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

_DECREASE = 1e-4
"""Sufficient decrease: c1 of Nocedal & Wright, Numerical Optimization (2006), equation 3.7."""
_CURVATURE = 0.9
"""How much of the slope may be left: c2, same equation; the usual value for quasi-Newton directions."""
_ROUNDING = 1e-6
"""Below this part of the loss a difference of losses may be rounding: the residuals of a small loss are cancelled."""
EVALUATIONS = 25
"""Enough for a loss whose rounding is small."""
_MARGIN = 0.1
"""A trial keeps this part of the bracket away from its ends."""


class Trial(NamedTuple):
    """The loss along a direction: at which step, its value, its slope, and the gradient by all parameters."""

    step: float
    loss: float
    slope: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        """Whether loss and slope are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def strong_wolfe(
    evaluate: Callable[[float], Trial], start: Trial, step: float, evaluations: int = EVALUATIONS
) -> Trial | None:
    """A step that satisfies the strong Wolfe conditions, or at least lowers the loss enough.

    Nocedal & Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6, as one loop: `low` is the best step so
    far, `high` the other end of the bracket once there is one. A loss that is no number counts as too high.

    Args:
        evaluate: the trial at a step.
        start: that of step 0; its slope is negative.
        step: the first to try.
        evaluations: at most so many trials.

    Returns:
        The trial, or None where no step lowers the loss.
    """
    low, high = start, None
    for _ in range(evaluations):
        trial = evaluate(step)
        if _settled(trial, start):
            return trial
        if not trial.finite or trial.loss > start.loss + _DECREASE * step * start.slope or trial.loss >= low.loss:
            high = trial
        else:
            if trial.slope * (1.0 if high is None else high.step - low.step) >= 0:
                high = low
            low = trial
        step = _further(low) if high is None else _between(low, high)
        if step in (low.step, high.step if high else None):  # neighbours in floating point
            break
    return low if low.loss < start.loss else None


def _settled(trial: Trial, start: Trial) -> bool:
    """Whether the strong Wolfe conditions hold, or, where rounding hides the decrease, those on slopes alone.

    The latter are the approximate Wolfe conditions of Hager & Zhang, A new conjugate gradient method with guaranteed
    descent and an efficient line search (2005), section 4.
    """
    if not (trial.finite and abs(trial.slope) <= -_CURVATURE * start.slope):
        return False
    if trial.loss <= start.loss + _DECREASE * trial.step * start.slope:
        return True
    return trial.loss <= start.loss + _ROUNDING * abs(start.loss) and trial.slope <= (2 * _DECREASE - 1) * start.slope


def _further(low: Trial) -> float:
    return 4 * low.step


def _between(low: Trial, high: Trial) -> float:
    """The minimum of the cubic through both ends, well inside the bracket; close to `low` where `high` is unknown."""
    width = high.step - low.step
    part = _cubic_minimum(low, high) if high.finite else _MARGIN
    return low.step + width * min(max(part, _MARGIN), 1 - _MARGIN)


def _cubic_minimum(low: Trial, high: Trial) -> float:
    """Where the cubic with the losses and slopes of both ends is least, as part of the way from low to high.

    Nocedal & Wright, equation 3.59, on an interval of length 1.
    """
    width = high.step - low.step
    a, b = low.slope * width, high.slope * width
    d = a + b - 3 * (high.loss - low.loss)
    root = d * d - a * b
    if not root > 0:  # no minimum, or the sum has overflowed
        return 0.5
    root = math.sqrt(root)
    below = b - a + 2 * root
    part = 1 - (b + root - d) / below if below else 0.5
    return part if math.isfinite(part) else 0.5
