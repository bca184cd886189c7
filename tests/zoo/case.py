"""A kind of model or mode, what is expected of it, and the outcome of trying it."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import sobolev
from sobolev.audit import Audit

# central differences of order 8: coefficients of f(x + k h), k = 0 ... 4
_FIRST = (0, 4 / 5, -1 / 5, 4 / 105, -1 / 280)
_SECOND = (-205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560)


def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return low + (high - low) * torch.rand(shape, generator=generator)


@dataclass(frozen=True)
class Case:
    """`expected` is the kind of finding that must come, or None: the right numbers and nothing above a note.

    `truth` maps float64 points to derivatives along the direction 1, if they are known; by default they come
    from differences of the same model, built again and turned to float64.
    """

    name: str
    build: Callable[[], Any]
    expected: str | None = None
    x: Tensor = field(default_factory=lambda: uniform(24, 1))
    order: int = 2
    truth: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    around: Callable[[], Any] = nullcontext
    tolerance: float = 2e-3
    step: float = 0.02


@dataclass(frozen=True)
class Outcome:
    """`score` is right, found, silently wrong or raw error; `audit` where there is one."""

    score: str
    kinds: tuple[str, ...]
    detail: str = ""


def run(case: Case) -> Outcome:
    """Audit the model, and take the derivatives that the audit vouches for."""
    with torch.enable_grad():  # also afterwards: some forwards leave it switched off
        return _tried(case)


def _tried(case: Case) -> Outcome:
    try:
        f = _built(case)
        with case.around():
            audit = sobolev.audit(f, case.x, order=case.order)
    except (TypeError, ValueError) as error:
        return Outcome("found", (type(error).__name__,), str(error))
    except Exception as error:
        return Outcome("raw error", (), repr(error))
    kinds = tuple(finding.kind for finding in audit.findings if finding.severity != "note")
    if not audit.trustworthy:
        return Outcome("found", kinds, str(audit))
    return _measured(case, f, audit, kinds)


def _measured(case: Case, f: Any, audit: Audit, kinds: tuple[str, ...]) -> Outcome:
    try:
        direction = torch.ones_like(case.x)
        with case.around(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reentrant checkpoints complain of inputs without gradients
            numbers = sobolev.derivatives(f, case.x, case.order, direction, method=audit.method)
    except Exception as error:
        return Outcome("raw error", kinds, repr(error))
    off = max(map(_relative, numbers, _truth(case)))
    if off <= case.tolerance:
        return Outcome("right", kinds, f"{off:.1e}\n{audit}")
    return Outcome("found" if kinds else "silently wrong", kinds, f"off by {off:.1e}\n{audit}")


def _built(case: Case) -> Any:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript and quantisation are deprecated, and still about
        return case.build()


def _truth(case: Case) -> tuple[Tensor, ...]:
    x = case.x.double()
    if case.truth is not None:
        return case.truth(x)
    f = _built(case)
    behind = [f, getattr(f, "__self__", None), getattr(f, "network", None)]
    for module in filter(lambda part: isinstance(part, nn.Module), behind):
        module._apply(lambda t: t.to(torch.complex128 if t.is_complex() else torch.float64)).eval()
    return differences(f, x, case.step, case.order)


def differences(f: Callable[[Tensor], Tensor], x: Tensor, step: float, order: int) -> tuple[Tensor, ...]:
    """Value and derivatives along (1, ..., 1) by central differences of order 8."""
    y = [f(x + k * step).detach() for k in range(-4, 5)]
    return (y[4], _stencil(y, _FIRST, -1) / step, _stencil(y, _SECOND, 1) / step**2)[: order + 1]


def _stencil(y: list[Tensor], weights: tuple[float, ...], sign: int) -> Tensor:
    total = weights[0] * y[4]
    for k, weight in enumerate(weights[1:], 1):
        total = total + weight * (y[4 + k] + sign * y[4 - k])
    return total


def _relative(mine: Tensor, truth: Tensor) -> float:
    gap = (mine.double() - truth).square().mean().sqrt().item()
    size = truth.square().mean().sqrt().item()
    return gap / size if size > 1e-6 else gap


def mlp(activation: Callable[[], nn.Module], inputs: int = 1, outputs: int = 1, width: int = 16) -> nn.Sequential:
    """1-16-16-1 with an activation, the commonest of models."""
    layers = [nn.Linear(inputs, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, outputs)]
    return nn.Sequential(*layers).eval()


class Wrap(nn.Module):
    """A module whose forward is `forward(self, x)`; its parts are modules, tensors and parameters by name."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self._forward = partial(forward, self)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self._forward(x)


def points(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]
