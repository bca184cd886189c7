"""Rules of the gamma function and its relatives."""

import math
from typing import Any

import torch
from torch import Tensor

from sobolev.autodiff.rules.elementwise.functions import integrated
from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.matching import plain
from sobolev.autodiff.taylor.propagation import compose
from sobolev.autodiff.taylor.registry import NoRuleError, rule


@rule("lgamma", torch.special.gammaln)
def lgamma(x: Any) -> Any:
    """Log Γ(x); its derivatives are polygamma functions."""
    return compose(x, [torch.lgamma(x.value), *_polygammas(x.value, x.space.order, 0)])


@rule("digamma", torch.special.digamma, torch.special.psi)
def digamma(x: Any) -> Any:
    """Γ'(x) / Γ(x)."""
    return compose(x, [torch.digamma(x.value), *_polygammas(x.value, x.space.order, 1)])


@rule("polygamma", torch.special.polygamma)
def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of digamma; as a method it is called on x."""
    n, x = (x, n) if isinstance(n, Jet) else (n, x)
    return compose(x, [torch.polygamma(n, x.value), *_polygammas(x.value, x.space.order, n + 1)])


@rule(torch.special.zeta)
def zeta(s: Any, q: Any) -> Any:
    """Hurwitz' zeta function, whose derivative by q is -s ζ(s + 1, q)."""
    s = plain(s)
    if isinstance(s, Jet):
        raise NoRuleError("Taylor mode has no rule for zeta with a first argument that depends on x")
    q, s = _broadcast(q, s)
    rising, c = 1.0, [torch.special.zeta(s, q.value)]
    for k in range(1, q.space.order + 1):
        rising = rising * -(s + k - 1) / k
        c.append(rising * torch.special.zeta(s + k, q.value))
    return compose(q, c)


@rule("mvlgamma", torch.special.multigammaln)
def mvlgamma(x: Any, p: int) -> Any:
    """The logarithm of the gamma function of p dimensions."""
    parts = (torch.lgamma(x - j / 2) for j in range(p))
    return sum(parts, math.log(math.pi) * p * (p - 1) / 4)


@rule("igamma", torch.special.gammainc)
def igamma(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function, whose derivative by x is x^(a - 1) e⁻ˣ / Γ(a)."""
    a = plain(a)
    if isinstance(a, Jet):
        raise NoRuleError("Taylor mode has no rule for igamma with a first argument that depends on x")
    x, a = _broadcast(x, a)
    density = integrated(lambda x: torch.exp(torch.xlogy(a - 1, x) - x - torch.lgamma(a)), x.value, x.space.order)
    return compose(x, [torch.igamma(a, x.value), *density])


@rule("igammac", torch.special.gammaincc)
def igammac(a: Any, x: Any) -> Any:
    """The regularised upper incomplete gamma function."""
    lower = igamma(a, x)
    return Jet(x.space, torch.igammac(a.value if isinstance(a, Jet) else a, x.value), -lower.higher)


def _broadcast(x: Jet, other: Any) -> tuple[Jet, Any]:
    """Both of one shape; a number is left alone."""
    return torch.broadcast_tensors(x, other) if isinstance(other, Tensor) else (x, other)


def _polygammas(x: Tensor, order: int, first: int) -> list[Tensor]:
    """The coefficients 1, ..., order of polygamma(first - 1)."""
    return [_polygamma(first + k - 1, x) / math.factorial(k) for k in range(1, order + 1)]


def _polygamma(n: int, x: Tensor) -> Tensor:
    """PyTorch's own, but for its trigamma function, which has ten digits; the zeta function has all."""
    if n != 1 or x.requires_grad:
        return torch.polygamma(n, x)
    return torch.where(x > 0, torch.special.zeta(2.0, x.clamp(min=torch.finfo(x.dtype).tiny)), torch.polygamma(1, x))
