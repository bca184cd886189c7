"""Rules of powers side by side, and of the classical orthogonal polynomials by their three-term recurrences."""

from collections.abc import Callable
from typing import Any

import torch

from sobolev.autodiff.taylor.registry import NoRuleError, rule

Step = Callable[[Any, Any, Any, int], Any]
"""x, p_k, p_(k - 1), k -> p_(k + 1)"""


def _chebyshev(x: Any, p: Any, before: Any, k: int) -> Any:  # noqa: ARG001
    return 2 * x * p - before


_FAMILIES: dict[str, tuple[Callable[[Any], Any], Step]] = {
    "chebyshev_polynomial_t": (lambda x: x, _chebyshev),
    "chebyshev_polynomial_u": (lambda x: 2 * x, _chebyshev),
    "chebyshev_polynomial_v": (lambda x: 2 * x - 1, _chebyshev),
    "chebyshev_polynomial_w": (lambda x: 2 * x + 1, _chebyshev),
    "hermite_polynomial_h": (lambda x: 2 * x, lambda x, p, before, k: 2 * x * p - 2 * k * before),
    "hermite_polynomial_he": (lambda x: x, lambda x, p, before, k: x * p - k * before),
    "laguerre_polynomial_l": (lambda x: 1 - x, lambda x, p, before, k: ((2 * k + 1 - x) * p - k * before) / (k + 1)),
    "legendre_polynomial_p": (lambda x: x, lambda x, p, before, k: ((2 * k + 1) * x * p - k * before) / (k + 1)),
}


def _polynomial(name: str, shifted: bool) -> Callable:
    first, step = _FAMILIES[name]

    def apply(x: Any, n: Any) -> Any:
        if not isinstance(n, int):
            raise NoRuleError(f"Taylor mode has no rule for {name} whose degree is a tensor")
        x = 2 * x - 1 if shifted else x
        before, p = torch.full_like(x, float(n >= 0)), first(x)
        for k in range(1, n):
            before, p = p, step(x, p, before, k)
        return p if n > 0 else before

    return apply


for _name in _FAMILIES:
    rule(getattr(torch.special, _name))(_polynomial(_name, shifted=False))
    if _name.startswith("chebyshev"):
        rule(getattr(torch.special, f"shifted_{_name}"))(_polynomial(_name, shifted=True))


@rule(torch.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each element, the highest first unless they are to increase."""
    exponents = range(x.shape[-1] if N is None else N)
    return torch.stack([x**k for k in (exponents if increasing else reversed(exponents))], -1)


@rule(torch.linalg.vander)
def linalg_vander(x: Any, *, N: int | None = None) -> Any:
    """The powers of each element, increasing."""
    return vander(x, N, True)
