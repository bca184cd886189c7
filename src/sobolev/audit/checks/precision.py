"""How many digits does the model's own precision leave?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sobolev.audit.agreement import rms
from sobolev.audit.checks.derivatives import BENT, TAYLOR_IS_RIGHT
from sobolev.audit.describe import brief, shown
from sobolev.audit.finding import Finding, Severity
from sobolev.audit.probe import Derivatives, Probe
from sobolev.audit.verdict import verdict

_FEW, _NONE = 1e-3, 0.3
_ROUNDED = 1e-6
_SEEN = 1e-5
_MERGED = 0.05
_AT_FEW = 16
"""What is lost at one of so many points and not at the others is no matter of digits."""


def precision(
    probe: Probe, own: Derivatives | Exception, dtype: torch.dtype, by_taylor: Derivatives | None = None
) -> list[Finding]:
    """Compare the derivatives in the model's own precision with those in float64.

    Args:
        probe: in float64.
        own: by autograd in the model's own precision, or why there are none.
        dtype: that precision.
        by_taylor: the same by Taylor mode, if they are known.
    """
    if isinstance(probe.reverse, Exception):
        return []
    if isinstance(own, Exception):
        return [_fails_as_it_is(probe, own)]
    loss, what = _worst(own, probe.reverse, probe.size)
    if loss < _FEW:
        return [_rounded(probe)] if probe.noise > _ROUNDED else _merged(probe, dtype)
    if _changes(probe):
        return [_changing(probe)]
    severity: Severity = "error" if loss > _NONE else "warning"
    name = str(dtype).removeprefix("torch.")
    rows = _at_few(own, probe.reverse, probe.size)
    if rows is not None:
        message = (
            f"{what} by autograd in {name} differs from float64 by {loss:.1e} (relative) at {len(rows)} of "
            f"{len(probe.x)} points, x = {shown(probe.x[rows[0]])} for one. {BENT}"
        )
        if by_taylor is not None and _worst(by_taylor, probe.reverse, probe.size)[0] < _FEW:
            return [Finding("dtype", "warning", "f", message + TAYLOR_IS_RIGHT)]
        return [Finding("dtype", severity, "f", message)]
    return [
        Finding(
            "dtype",
            severity,
            "f",
            f"{what} computed in {name} differs from float64 by {loss:.1e} "
            "(relative): the numbers lose their digits on the way. Scale and centre the inputs, take the model in "
            "float32 or float64 (model.double(), x.double()), and look for casts inside",
        )
    ]


def _changes(probe: Probe) -> bool:
    """Whether autograd finds another first derivative when it is asked again, after one or more backward passes."""
    first = probe.reverse[1:2] if isinstance(probe.reverse, list) else []
    for order in (1, 1, probe.order):
        again = probe.differentiated("reverse", probe.x, probe.direction, order)
        if isinstance(again, list) and _worst(again[1:2], first, probe.size)[0] >= _FEW:
            return True
    return False


def _changing(probe: Probe) -> Finding:
    right = verdict(probe)[0] == "taylor"
    return Finding(
        "autograd-disagrees",
        "warning" if right else "error",
        "f",
        "derivatives by autograd change from call to call, while the values do not: a custom backward or a hook "
        "changes something that it uses again, such as a cached tensor or a counter. Let it leave everything as it was"
        + (". Taylor mode, which runs no backward, is right: method='taylor'" if right else ""),
    )


def products(probe: Probe, own: Derivatives | Exception, coarse: Derivatives | None) -> list[Finding]:
    """What TF32 or bfloat16 in products of float32, which sobolev switches off, costs where they are on."""
    if coarse is None or isinstance(own, Exception) or isinstance(probe.reverse, Exception):
        return []
    loss, what = _worst(coarse, [exact.double() for exact in own], probe.size)
    if loss < _SEEN:
        return []
    return [
        Finding(
            "reduced-precision",
            "warning" if loss > _FEW else "note",
            "torch.get_float32_matmul_precision()",
            f"torch may compute products of float32 in TF32 or bfloat16 here, which changes {what} by "
            f"{loss:.1e} (relative). sobolev switches that off for its own derivatives, nobody else does: for "
            "training and for autograd elsewhere call torch.set_float32_matmul_precision('highest')"
            + (" and torch.backends.cudnn.allow_tf32 = False" if probe.x.device.type == "cuda" else ""),
        )
    ]


def _rounded(probe: Probe) -> Finding:
    cause = probe.coarse_input or (
        "large numbers cancel inside, or a part is computed in less precision. Regularise large weights, and look for "
        "casts"
    )
    symptom = f"even in float64 rounding changes the value by {probe.noise:.1e} (relative)"
    return Finding("dtype", "warning", "f", f"{symptom}: {cause}")


def _merged(probe: Probe, dtype: torch.dtype) -> list[Finding]:
    """Points that differ in their last digits only: f is right at them, but they are no longer those of the data."""
    spacing = torch.finfo(dtype).eps * probe.x.abs().amax(0)
    share = (spacing / probe.input_sizes).amax().item()
    if share < _MERGED:
        return []
    message = (
        f"numbers of {str(dtype).removeprefix('torch.')} as large as the points are {share:.1e} of these points' own "
        "spread apart: they were rounded before f sees them. Centre the inputs in float64, or keep them in float64"
    )
    return [Finding("dtype", "warning", "f", message)]


def _fails_as_it_is(probe: Probe, error: Exception) -> Finding:
    """What the float64 twin can do and the model itself cannot: an operation that half precision lacks, say."""
    method, _ = verdict(probe)
    return Finding(
        "no-derivative",
        "note" if method == "taylor" else "error",
        "f",
        f"nested reverse mode fails on the model as it is, though not on a float64 copy: {brief(error)}. "
        "Take the model in float32 or float64, or use method='taylor'",
    )


def _worst(found: Sequence[Tensor], exact: Sequence[Tensor], size: float) -> tuple[float, str]:
    """The largest loss of all orders, and what it is a loss of."""
    losses = [_loss(a, b, size) for a, b in zip(found, exact, strict=True)]
    order = max(range(len(losses)), key=losses.__getitem__)
    return losses[order], f"derivative {order}" if order else "the value"


def _at_few(found: Sequence[Tensor], exact: Sequence[Tensor], size: float) -> list[int] | None:
    """The points where digits are lost, if these are so few that all the others keep theirs."""
    rows = torch.zeros(len(exact[0]), dtype=torch.bool, device=exact[0].device)
    for mine, right in zip(found, exact, strict=True):
        gaps = (mine.to(right.dtype) - right).abs().nan_to_num(torch.inf, torch.inf)
        worst = gaps.argsort(descending=True)[: max(1, len(gaps) // _AT_FEW)]
        others = torch.ones_like(rows).index_fill(0, worst, False)
        if not others.any() or _loss(mine[others], right[others], size) >= _FEW:
            return None
        rows[worst[gaps[worst] > gaps[others].amax() + _FEW * max(rms(right[others]), 1e-6 * size)]] = True
    return rows.nonzero()[:, 0].tolist() or None


def _loss(mine: Tensor, exact: Tensor, size: float) -> float:
    known = exact.isfinite()
    gap = (mine.to(exact.dtype) - exact)[known].nan_to_num(torch.inf, torch.inf)
    return rms(gap) / max(rms(exact[known]), 1e-6 * size)
