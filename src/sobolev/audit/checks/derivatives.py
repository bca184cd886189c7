"""Are the derivatives finite, and do they agree with finite differences?"""

from collections.abc import Iterator
from contextlib import suppress
from math import log10

import torch
from torch import Tensor

from sobolev.audit.agreement import Mismatch
from sobolev.audit.checks.shape import is_level
from sobolev.audit.culprit import Culprit, find_culprit, is_custom
from sobolev.audit.describe import brief, shown
from sobolev.audit.finding import Finding, Severity
from sobolev.audit.finite import as_rows
from sobolev.audit.locate import attempt, name_of
from sobolev.audit.probe import Probe
from sobolev.audit.single_entries import SingleEntries
from sobolev.audit.trace import ESCAPES
from sobolev.audit.verdict import Failure, verdict
from sobolev.autodiff.elementary import GraphsKept
from sobolev.autodiff.rules import NoRuleError
from sobolev.errors import UntrustworthyDerivativeError

TAYLOR_IS_RIGHT = ". Taylor mode is right: method='taylor'"
_LOST = 1e-8
"""A function that varies by less than this, relative, hides in its own rounding."""
_ADVICE = {
    "detached": "Remove the detach, no_grad, .data, .item() or numpy call there, or differentiate without it",
    "straight-through": "Take the straight-through estimator, the rounding or the fake quantisation out",
    "once-differentiable": "Write the backward in differentiable torch operations, without @once_differentiable",
    "autograd-disagrees": "Correct the custom backward or the hook there, or write it in plain torch operations",
}
BENT = (
    "At such a point an operation in f (abs, norm, sqrt, max, clamp) has no derivative, although f as a whole may "
    "have one, which autograd then misses: write f there by x², or by a series, in a torch.where whose other branch "
    "gets a harmless argument"
)
_KEEP_GRAPH = (
    "f computes derivatives inside (torch.autograd.grad) without a graph. sobolev keeps one; autograd elsewhere takes "
    "them for constants: give torch.autograd.grad create_graph=True there, in eval mode as well"
)
_DETACHING = {"detach", "detach_", "data", "new_tensor", "tensor", "grad", *ESCAPES}
_WRITES = (
    "it writes into a tensor that autograd needs later (y[i] = ..., y += ..., copy_). Collect the parts and join them "
    "with torch.stack or torch.cat"
)


def non_finite(probe: Probe) -> Iterator[Finding]:
    """Derivatives that are NaN or infinite where the value is a number."""
    if isinstance(probe.reverse, Exception):
        return
    for order, derivative in enumerate(probe.reverse[1:], 1):
        bad = ~derivative.isfinite() & as_rows(probe.y).isfinite().all(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            right = verdict(probe)[0] == "taylor"
            yield Finding(
                "non-finite",
                "warning" if right else "error",
                _where_gradient_breaks(probe, row),
                f"derivative {order} is NaN or infinite at {int(bad.sum())} of {len(bad)} points, first at "
                f"x = {shown(probe.x[row])}, although the value is a number: a square root, norm, power, "
                "division or logarithm meets a special point there. Move it off with a small positive number "
                "inside, or mask its argument, not its result (torch.where keeps the NaN of the other branch)"
                + (_relief(probe) if right else ""),
            )
            return


def inner(probe: Probe) -> Iterator[Finding]:
    """Derivatives that f computes inside, which autograd outside of sobolev could not differentiate."""
    if probe.once(_differentiates):
        yield Finding("inner-gradient", "note", "f", _KEEP_GRAPH)


def _differentiates(probe: Probe) -> bool:
    kept = GraphsKept()
    with kept, suppress(Exception):
        probe(probe.x.clone().requires_grad_())
    return bool(kept.needed)


def unverified(probe: Probe) -> Iterator[Finding]:
    """Finite differences that tell nothing: nothing has been checked against the function itself."""
    order = next((k for k, truth in enumerate(probe.finite, 1) if not probe.knows(truth)), None)
    if order is None or is_level(probe):
        return
    severity: Severity = "warning"
    if not probe.finite[order - 1].error.isfinite().any():
        reason = (
            "beside the points f fails, or is NaN or infinite, so finite differences tell nothing of it. Give points "
            "inside the domain of f, or let f take points a little outside"
        )
    elif probe.size < _LOST * probe.values_here.abs().amax():
        severity = "note"
        reason = "between the points f varies by hardly more than its last digits, in which finite differences drown"
    elif probe.coarse_input:
        reason = probe.coarse_input
    else:
        reason = (
            "on the scale of finite differences f is rough: rounding, jumps or kinks inside it (lookup tables, a "
            "solver that stops early, half precision) hide its derivative. Make f smooth, or compute it in more digits"
        )
    yield Finding("unverified", severity, "f", f"derivative {order} could not be checked: {reason}")


def agreement(probe: Probe) -> Iterator[Finding]:
    """Taylor mode and nested reverse mode against finite differences."""
    method, failures = verdict(probe)
    reverse, taylor = failures["reverse"], failures["taylor"]
    if reverse is not None and not _said_elsewhere(probe, reverse):
        relief = _relief(probe) if taylor is None else ""
        yield _reverse_finding(reverse, "error" if method == "none" else "warning", relief)
    if taylor is not None and taylor.error is None and reverse is None and taylor.off is not None:
        severity = "warning" if taylor.slight else "error"
        yield Finding("taylor-disagrees", severity, "f", _taylor_is_off(taylor, taylor.off))
    if taylor is not None and taylor.error is not None and reverse is None and not probe.once(_differentiates):
        yield Finding("taylor-fails", "note", "f", _taylor_fails(taylor.error))


def _relief(probe: Probe) -> str:
    """What works although reverse mode does not: Taylor mode, in training as well or not."""
    if probe.refused_training is None:
        return TAYLOR_IS_RIGHT
    return (
        ". Taylor mode is right while no graph is kept: method='taylor' under torch.no_grad(). With gradients enabled "
        "it refuses, and no loss on these derivatives can be trained"
    )


def _taylor_is_off(failure: Failure, off: Mismatch) -> str:
    if failure.order == 0:
        return (
            f"the values by Taylor mode are {off.relative:.1e} (relative) off f's own: the forward takes another "
            "course when it is not given a plain tensor (isinstance or type decide). Use method='reverse', or let "
            "the forward not ask"
        )
    return (
        f"derivative {failure.order}{_seen(failure, off)} by Taylor mode is {off.relative:.1e} (relative) off finite "
        "differences, while reverse mode agrees with them. Use method='reverse', and please report the operation"
    )


def _taylor_fails(error: Exception) -> str:
    place = (error.__cause__ or error).__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    ours = place is not None and "sobolev.autodiff.rules" in place.tb_frame.f_globals.get("__name__", "")
    reason = (
        str(error).partition(". Use method=")[0].splitlines()[0] if isinstance(error, NoRuleError) else brief(error)
    )
    return f"method='auto' computes by nested reverse mode, which is right and slower: {reason}" + (
        ". The mistake is sobolev's: please report it" if ours else ""
    )


def _seen(failure: Failure, off: Mismatch) -> str:
    """By which input and of which output, if only a close-up shows it."""
    if not isinstance(failure.probe, SingleEntries):
        return ""
    return " " + failure.probe.named(int(off.rows.nonzero()[0]))


def _said_elsewhere(probe: Probe, failure: Failure) -> bool:
    """Whether `non_finite` says it, for NaN is all that is wrong, or `piecewise`: no graph, but nothing to find."""
    if isinstance(failure.error, UntrustworthyDerivativeError):
        return is_level(probe)
    results = failure.probe.reverse
    if failure.off is None or isinstance(results, Exception):
        return False
    return not bool((failure.off.rows & results[failure.order].isfinite()).any())


def _reverse_finding(failure: Failure, severity: Severity, relief: str) -> Finding:
    probe = failure.probe
    if failure.error is not None:
        return _raised(probe, failure.error, severity, relief)
    off = failure.off
    assert off is not None
    if failure.slight:
        return _slightly_off(failure, off, relief)
    culprit = attempt(lambda: find_culprit(probe, failure.order, off.rows))
    kind = culprit.kind if culprit is not None else "autograd-disagrees"
    before = "the first derivative is right, " if failure.order == 2 else ""
    return Finding(
        kind,
        severity,
        name_of(culprit.step if culprit else None),
        f"{before}derivative {failure.order}{_seen(failure, off)} by autograd is {off.relative:.1e} (relative) off "
        f"finite differences at {int(off.rows.sum())} of {len(probe.x)} points: {_symptom(culprit)}. "
        f"{_advice(kind, culprit, at_few=10 * int(off.rows.sum()) <= len(probe.x))}{relief}",
    )


def _slightly_off(failure: Failure, off: Mismatch, relief: str) -> Finding:
    """So little that no operation can be named for it."""
    points = f"{int(off.rows.sum())} of {len(failure.probe.x)} points"
    return Finding(
        "autograd-disagrees",
        "warning",
        "f",
        f"derivative {failure.order}{_seen(failure, off)} by autograd is {off.relative:.1e} (relative) off finite "
        f"differences at {points}; {int(-log10(failure.size))} digits are right. "
        f"A solver that chooses its steps, an iteration that stops early or a table may do that{relief}",
    )


def _advice(kind: str, culprit: Culprit | None, *, at_few: bool = False) -> str:
    """What to do; a backward that is wrong is so at more than a few points."""
    if culprit is None:
        return BENT if at_few else _ADVICE[kind]
    step = culprit.step
    if kind == "once-differentiable" or (kind == "autograd-disagrees" and at_few):
        return BENT if step.recorded and not is_custom(step) else _ADVICE[kind]
    if kind != "detached":
        return _ADVICE[kind]
    lost = step.recorded and not step.output.requires_grad and any(tensor.requires_grad for tensor in step.inputs)
    if lost and step.operation not in _DETACHING:
        return f"Torch has no derivative of `{step.operation}`: write it in operations that have one"
    return _ADVICE[kind]


def _symptom(culprit: Culprit | None) -> str:
    if culprit is None:
        return "some backward in f is not that of its function"
    return f"`{culprit.step.operation}` is the first operation whose gradient is not its derivative"


def _raised(probe: Probe, error: Exception, severity: Severity, relief: str) -> Finding:
    text = str(error)
    if isinstance(error, UntrustworthyDerivativeError):
        rows = torch.ones(len(probe.x), dtype=torch.bool, device=probe.x.device)
        culprit = attempt(lambda: find_culprit(probe, 1, rows))
        message = "the output changes with x, but autograd sees no way from one to the other"
        return Finding(
            "detached",
            severity,
            name_of(culprit.step if culprit else None),
            f"{message}. {_advice('detached', culprit)}{relief}",
        )
    if "once_differentiable" in text:
        return Finding(
            "once-differentiable",
            severity,
            "f",
            f"a custom function's backward cannot be differentiated: {brief(error)}. "
            f"{_ADVICE['once-differentiable']}{relief}",
        )
    writes = "modified by an inplace operation" in text
    reason = _WRITES if writes else f"{brief(error)}. Write that operation in others that torch can"
    message = f"torch cannot differentiate f {probe.order} times: {reason}{relief}"
    return Finding("no-derivative", severity, "f", message)


def _where_gradient_breaks(probe: Probe, row: int) -> str:
    """The last step whose output still has a finite gradient by x leads to the one that has not."""
    x = probe.x[row : row + 1].clone().requires_grad_()
    broken = (step for step in probe.trace(x) if step.value.requires_grad and _breaks(step.value, x))
    return name_of(attempt(lambda: next(broken, None)))


def _breaks(output: Tensor, x: Tensor) -> bool:
    """Whether the first or the second derivative of an intermediate is not finite."""
    try:
        total = output.abs().square().sum() if output.is_complex() else output.sum()
        (gradient,) = torch.autograd.grad(total, x, create_graph=True, materialize_grads=True, allow_unused=True)
        if not gradient.isfinite().all() or not gradient.requires_grad:
            return not bool(gradient.isfinite().all())
        (second,) = torch.autograd.grad(gradient.sum(), x, retain_graph=True, materialize_grads=True, allow_unused=True)
    except RuntimeError:
        return False
    return not bool(second.isfinite().all())
