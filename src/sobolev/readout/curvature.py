"""Values that are had at the price of curvature: what a kink makes of more features.

Resolved to a width w, a kink leaves errors of the values that fall like w^(3/2), while a second derivative of about 1/w
on a part w of the domain is as w^(-1/2) in the root mean square. So where that has grown by a factor q, the values of a
function with a kink have become better by q³, and those of one that rings or jumps by less. The second derivatives of a
smooth function have a size of their own: once it is reached, the values get better and better and q stays.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sobolev.autodiff.engine import Method
from sobolev.autodiff.guard import evaluating
from sobolev.autodiff.operators import derivatives

_NONE, _SAME = 1e-9, 1.1
"""The part of a curvature that is none, and a growth that is none."""
_PRICE = 4.0
"""How many times better than at a kink the values must become."""
_UNLEARNT, _LEARNT = 0.3, 10.0
"""An error of the values from which there was little curvature to lose, and how many times smaller it must become."""
_MISSED = 0.5
"""Of the variance that is explained, the part that was not before: then there was none to lose, noise or not."""


def curvature(model: nn.Module, x: Float[Tensor, "points *in"], sizes: Tensor, method: Method) -> float:
    """Root mean square of the second derivatives over a deviation of the inputs, along random directions.

    Args:
        model: maps (points, *in) to (points, *out).
        x: points.
        sizes: of the outputs, (*out).
        method: as in `sobolev.derivatives`.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(x.shape, generator=generator).to(x) * x.std(0)
    parameter = next(model.parameters())
    with torch.no_grad(), evaluating(model):
        second = derivatives(model, x.to(parameter), 2, directions.to(parameter), method=method)[2]
    return float((second / sizes.to(second)).square().mean().sqrt())


def is_paid(errors: tuple[float, float], curvatures: tuple[float, float]) -> bool:
    """Whether values have become better by more than second derivatives would grow by at a kink.

    Args:
        errors: of the values, before and after, in units of their size.
        curvatures: before and after.
    """
    growth = curvatures[1] / max(curvatures[0], _NONE * curvatures[1], 1e-300)
    price = _PRICE * growth**3
    if errors[0] > _UNLEARNT:
        price = min(price, _LEARNT)
    missed = errors[0] ** 2 - errors[1] ** 2 > _MISSED * (1 - errors[1] ** 2)
    return growth <= _SAME or missed or price * errors[1] <= errors[0]
