"""`audit`: run the checks, draw the verdict."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sobolev.audit.agreement import rms
from sobolev.audit.checks import CALCULUS, CONSISTENCY, SENSE
from sobolev.audit.checks.consistency import stateful
from sobolev.audit.checks.entry import Entry, entry
from sobolev.audit.checks.precision import precision, products
from sobolev.audit.describe import brief
from sobolev.audit.finding import Audit, Finding, by_severity
from sobolev.audit.finite import Estimate
from sobolev.audit.modules import modules_behind
from sobolev.audit.probe import Probe, probing
from sobolev.audit.special_points import ZERO, special_points
from sobolev.audit.verdict import verdict
from sobolev.autodiff.tensor_classes import plain
from sobolev.errors import check_counts, check_points

_TRAINING = "; the model is in training mode, and in eval mode it is not so: call .eval() before you differentiate"

_SPECIAL = 16
"""One of so many points may be drawn for the zeros of its inputs, as many for zeros inside the function."""


def audit(f: Callable[[Tensor], Any], x: Tensor, order: int = 2, *, points: int = 64) -> Audit:
    """Check on a few points whether the derivatives of f by x can be trusted, and say why not.

    The checks run in float64 and in eval mode; those that a training mode can spoil run in the model's own
    mode as well. The model, its flags, its gradients and the random generators are left exactly as they were.

    Args:
        f: a module, a LightningModule, a bound method, any callable; maps (batch, *in) to (batch, *out).
        x: points of the domain, (batch, *in), floating point.
        order: the highest derivative that is needed.
        points: at most so many of them are looked at, evenly drawn, with some that have zeros or at which something
            inside f is 0 or a case of its own.

    Returns:
        The findings, whether any is an error, and whose numbers can be relied on.

    Raises:
        TypeError: x is not a floating-point tensor.
        ValueError: x has no batch axis or no rows, or order or points is below 1.

    Examples:
        >>> import sobolev, torch
        >>> x = torch.linspace(-2, 2, 20)[:, None]
        >>> sobolev.audit(torch.sin, x).trustworthy
        True
        >>> sobolev.audit(lambda x: x * x.detach(), x).findings[0].kind
        'detached'
    """
    _check(x, order, points)
    modules = modules_behind(f)
    f, x = plain(f, x)
    try:
        return _all_checks(f, x.detach(), order, modules, points)
    except Exception as error:  # of a later call of f's, which may keep a state that allows only so many
        return Audit((_stopped(error),), "none", min(points, len(x)), order)


def _all_checks(f: Callable, points: Tensor, order: int, modules: dict[str, nn.Module], most: int) -> Audit:
    x = _some(points, most)
    first = entry(f, x, order, modules)
    if not _has_errors(first) and len(points) > most:  # now that f may see other points
        special = special_points(f, points, modules, most // _SPECIAL)
        if special:
            x = _some(points, most, special)
            first = entry(f, x, order, modules)._replace(remembered=first.remembered)
    if _has_errors(first):
        return Audit(by_severity(first.findings), "none", len(x), order)
    in_training = _in_own_mode(f, x, order, modules, first.double)
    dtype = x.dtype  # within the probe's context it would read float64
    with probing(f, x, order, modules, double=first.double) as probe:
        if first.nearby is not None:
            probe.outputs_nearby = first.nearby
        return _audited(probe, first, in_training, dtype)


def _has_errors(first: Entry) -> bool:
    return any(finding.severity == "error" for finding in first.findings)


def _stopped(error: Exception) -> Finding:
    message = (
        f"the audit had to stop: {brief(error)}. The first call of f went well: if it keeps something from call to "
        "call, make it a function of x alone"
    )
    return Finding("fails", "error", "f", message)


def _audited(probe: Probe, first: Entry, in_training: list[Finding], dtype: torch.dtype) -> Audit:
    _show_another_batch(probe)
    inconsistent = _inconsistencies(probe) or list(stateful(first.y if first.y is not None else probe.y, probe.y))
    inconsistent = inconsistent or first.remembered
    findings = first.findings + inconsistent + _only(in_training, inconsistent)
    method, errors = "none", ()
    if not any(finding.severity == "error" for finding in inconsistent):
        _ = probe.reverse
        probe.relax()
        findings += [finding for check in CALCULUS for finding in _made(check, probe)]
        findings += precision(probe, first.own, dtype, first.by_taylor) + products(probe, first.own, first.coarse)
        method, _ = verdict(probe)
        errors = _errors(probe, method)
    findings += [finding for check in SENSE for finding in _made(check, probe)]
    return Audit(by_severity(findings), method, len(probe.x), probe.order, errors)


def _in_own_mode(f: Callable, x: Tensor, order: int, modules: dict[str, nn.Module], double: bool) -> list[Finding]:
    """What only training mode does to f, if it is in training mode."""
    if not any(getattr(module, "training", False) for module in modules.values()):  # frozen scripts have none
        return []
    with probing(f, x, order, modules, double=double, evaluate=False) as probe:
        try:
            found = _inconsistencies(probe)
        except Exception as error:  # BatchNorm of a single sample, for one
            found = [Finding("train-mode", "error", "f", f"f fails in training mode: {error}")]
    return [replace(finding, message=finding.message + _TRAINING) for finding in found]


def _show_another_batch(probe: Probe) -> None:
    """So that what f keeps of the first batch it sees is not of x itself: half of the points, twice."""
    with suppress(Exception):
        probe(probe.x[torch.arange(len(probe.x), device=probe.x.device) // 2])


def _inconsistencies(probe: Probe) -> list[Finding]:
    """The first is enough: what is random also seems to mix samples."""
    return next(filter(None, (list(check(probe)) for check in CONSISTENCY)), [])


def _made(check: Callable[[Probe], Iterable[Finding]], probe: Probe) -> list[Finding]:
    """What a check finds; where the model's tensors are of a kind that it cannot calculate with, that."""
    try:
        return list(check(probe))
    except Exception as error:
        name = getattr(check, "__name__", "")
        return [Finding("unverified", "warning", "f", f"the check `{name}` could not be made: {brief(error)}")]


def _only(in_training: list[Finding], known_already: list[Finding]) -> list[Finding]:
    known = {finding.kind for finding in known_already}
    return [finding for finding in in_training if finding.kind not in known]


def _errors(probe: Probe, method: str) -> tuple[float, ...]:
    """Relative L2 difference from finite differences, per order, of the method relied on."""
    results = getattr(probe, method, None)
    return tuple(map(partial(_error, probe.size), results[1:], probe.finite)) if isinstance(results, list) else ()


def _error(size: float, mine: Tensor, truth: Estimate) -> float:
    """Over the samples of which finite differences know three digits."""
    scale = max(rms(truth.value[truth.error < 1e-2 * truth.value.abs()]), size * 1e-9)
    known = truth.error < 1e-3 * scale
    return rms((mine - truth.value)[known]) / scale


def _check(x: Tensor, order: int, points: int) -> None:
    check_points(x)
    if x.dim() == 0 or not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; give at least one row, (batch, *in)")
    check_counts(1, order=order, points=points)


def _some(x: Tensor, count: int, special: Sequence[int] = ()) -> Tensor:
    """Evenly drawn rows, with `special` ones and some that have zeros: there alone functions of |x| may go wrong."""
    if len(x) <= count:
        return x
    sizes = x.reshape(len(x), -1).abs()
    zeros = (sizes <= ZERO * sizes.amax(0)).sum(1)
    most = zeros.argsort(descending=True, stable=True)[: count // _SPECIAL]
    chosen = torch.cat([most[zeros[most] > 0], torch.tensor(special, dtype=torch.long, device=x.device)])
    even = torch.linspace(0, len(x) - 1, count - len(chosen), dtype=torch.float64).round().long().to(x.device)
    return x[torch.cat([even, chosen]).unique()]
