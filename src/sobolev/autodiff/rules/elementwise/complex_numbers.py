"""Rules of complex arithmetic; derivatives are with respect to real inputs."""

from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import aligned, dims, padded, settled
from sobolev.autodiff.taylor.propagation import batched_linear
from sobolev.autodiff.taylor.registry import rule


@rule("real", Tensor.real.__get__)  # pyright: ignore[reportAttributeAccessIssue]
def real(z: Any) -> Any:
    """The real part."""
    return batched_linear(z, torch.real, torch.real) if z.value.is_complex() else z


@rule("imag", Tensor.imag.__get__)  # pyright: ignore[reportAttributeAccessIssue]
def imag(z: Any) -> Any:
    """The imaginary part."""
    return batched_linear(z, torch.imag, torch.imag)


@rule("conj", "conj_physical")
def conj(z: Any) -> Any:
    """The conjugate."""
    return batched_linear(z, torch.conj, torch.conj) if z.value.is_complex() else z


@rule(Tensor.H.__get__, Tensor.mH.__get__, "adjoint")  # pyright: ignore[reportAttributeAccessIssue]
def adjoint(z: Any) -> Any:
    """The conjugate transpose."""
    return conj(z.mT)


@rule("view_as_real")
def view_as_real(z: Any) -> Any:
    """Real and imaginary part along a new last axis."""
    return batched_linear(z, torch.view_as_real, torch.view_as_real)


@rule("view_as_complex")
def view_as_complex(x: Any) -> Any:
    """Complex numbers from a last axis of length 2."""
    return batched_linear(x, torch.view_as_complex, lambda h: torch.complex(h[..., 0], h[..., 1]))


@rule("complex")
def from_parts(re: Any, im: Any) -> Any:
    """Re + i im."""
    space = (re if isinstance(re, Jet) else im).space
    length = max(len(part.higher) for part in (re, im) if isinstance(part, Jet))
    values = [part.value if isinstance(part, Jet) else part for part in (re, im)]
    most = max(dims(re), dims(im))
    parts = (aligned(part, most) for part in (re, im))
    parts = (padded(part, length) if isinstance(part, Jet) else part.new_zeros(()) for part in parts)
    parts = torch.broadcast_tensors(*parts)
    return settled(space, torch.complex(*values), torch.complex(*parts))


@rule("polar")
def polar(length: Any, angle: Any) -> Any:
    """Length e^(i angle)."""
    return from_parts(length * torch.cos(angle), length * torch.sin(angle))


@rule("angle")
def angle(z: Any) -> Any:
    """The argument; of a real number locally constant."""
    return torch.atan2(imag(z), real(z)) if z.value.is_complex() else torch.angle(z.value)


@rule("atan2", "arctan2")
def atan2(y: Any, x: Any) -> Any:
    """The angle of (x, y): its derivative is (x y' - y x') / (x² + y²)."""
    values = [part.value if isinstance(part, Jet) else part for part in (y, x)]
    largest = torch.maximum(*torch.broadcast_tensors(*(value.detach().abs() for value in values)))
    origin = largest == 0
    scale = torch.where(origin, 1.0, largest)
    value = torch.atan2(*values)
    y, x = y / scale, x / scale
    sine, cosine = ((part.value if isinstance(part, Jet) else part).detach() for part in (y, x))
    length = torch.where(origin, 1.0, torch.sqrt(sine * sine + cosine * cosine))
    sine, cosine = sine / length, cosine / length  # of the value itself, they would be wrong by 1e-16 near the axes
    along, across = x * cosine + y * sine, y * cosine - x * sine  # turned so that the point lies on the x axis
    turn: Any = torch.atan(across / torch.where(origin, 1.0, along))
    return settled(turn.space, value, torch.where(origin, 0.0, turn.full))


@rule("hypot")
def hypot(a: Any, b: Any) -> Any:
    """√(a² + b²)."""
    parts = torch.broadcast_tensors(*(part.value if isinstance(part, Jet) else part for part in (a, b)))
    a, b = (x.expand(parts[0].shape) for x in (a, b))
    return torch.linalg.vector_norm(torch.stack([a, b], -1), dim=-1)
