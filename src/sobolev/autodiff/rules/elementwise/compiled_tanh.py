"""tanh and its slope from one exponential, for compiled code on the CPU.

The vectorised tanh that torch.compile calls there takes ten times as long as an exponential, and then the slope
1 - tanh² has to be found without cancellation.
"""

import torch
from torch import Tensor

_SMALL = 0.55
"""Below, the quotient of exponentials would cancel."""

_ODD = (-0.3333331755823902, 0.1333258609786223, -0.05385230615448814, 0.021071665036039213, -0.006274221227954254)
"""c of tanh x = x (1 + c_0 x² + c_1 x⁴ + ...) up to there, the relative error minimised: it is below 1e-9."""


def suits(x: Tensor) -> bool:
    """Whether `tanh_and_slope` pays for x: in compiled code, for float32 on the CPU."""
    wanted = torch.compiler.is_compiling() and x.dtype == torch.float32 and x.device.type == "cpu"
    return wanted and not (torch.compiler.is_exporting() or torch._C._are_functorch_transforms_active())


def tanh_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """Y = tanh x and 1 - y², each to two or three units in the last place, far out and near 0, too.

    Differentiable once: compiled code is not differentiated twice. Autograd is told the slopes, and does not follow
    the formulas; a `torch.autograd.Function` would say it more plainly, but compiling one raises a warning.
    """
    y, slope = _numbers(x.detach())
    if not (torch.is_grad_enabled() and x.requires_grad):
        return y, slope
    nothing = x - x.detach()  # 0, with the gradient of x
    return y + slope * nothing, slope - 2 * y * slope * nothing


def _numbers(x: Tensor) -> tuple[Tensor, Tensor]:
    size, square = x.abs(), x * x
    exp = torch.exp(-2 * size)
    half = 1 / (1 + exp)
    series = _ODD[-2] + _ODD[-1] * square
    for c in reversed(_ODD[:-2]):
        series = c + square * series
    y = torch.where(size < _SMALL, size + size * square * series, (1 - exp) * half)
    return torch.copysign(y, x), 4 * exp * half * half
