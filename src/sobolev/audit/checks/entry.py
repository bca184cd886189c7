"""Can f be evaluated at all, and in float64?"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sobolev.audit.checks.consistency import stateful
from sobolev.audit.describe import brief
from sobolev.audit.distributed import calculates_in_pieces
from sobolev.audit.finding import Finding
from sobolev.audit.finite import as_rows
from sobolev.audit.modules import label, weights_of
from sobolev.audit.probe import Derivatives, Probe, probing
from sobolev.autodiff.guard import products_are_coarse

_Modules = dict[str, nn.Module]


class Entry(NamedTuple):
    """What the first look at f shows.

    Attributes:
        findings: about weights and output; nothing else is looked at after an error.
        double: whether f runs in float64.
        own: its derivatives in its own precision, or why there are none.
        by_taylor: the same by Taylor mode where these are not all finite; else None.
        coarse: the same where torch may take products in less than float32, as elsewhere in the user's program; or
            None where it may not.
        y: f(x) when f had seen half of the points, in float64 where it runs in that.
        remembered: what shows that f returns something else then than before.
        nearby: f close by some of the points, see `Probe.outputs_nearby`.
    """

    findings: list[Finding]
    double: bool = False
    own: Derivatives | Exception = []  # noqa: RUF012  never written to
    by_taylor: Derivatives | None = None
    coarse: Derivatives | None = None
    y: Tensor | None = None
    remembered: list[Finding] = []  # noqa: RUF012
    nearby: Tensor | None = None


def entry(f: Callable, x: Tensor, order: int, modules: _Modules) -> Entry:
    """Call f for the first time, in its own precision and in float64."""
    lazy = [path for path, module in modules.items() if any(map(is_lazy, weights_of(module)))]
    if lazy:
        message = "this layer has no weights yet: call the model once on a batch before the audit"
        return Entry([Finding("uninitialised", "error", lazy[0], message)])
    if order > 1 and calculates_in_pieces(modules.values()):
        return Entry([_in_pieces()])
    made_in_inference = _inference_tensors(modules)
    seen: dict[str, Any] = {}
    try:
        with probing(f, x, order, modules) as probe:
            seen = _first_look(probe) | {"sizes": probe.output_sizes, "nearby": probe.outputs_nearby}
        findings = made_in_inference + _non_finite(seen["y"], modules)
    except Exception as error:  # of one that fails in any precision, its own is the one to report
        message = f"f runs in {x.dtype} only, so the checks are coarse: {brief(error)}"
        findings = [Finding("dtype", "note", "f", message)]
    sizes = seen.get("sizes")
    wrong, own, by_taylor = _in_own_precision(f, x, order, modules, sizes)
    if wrong:
        return Entry(wrong)
    if sizes is None:
        with probing(f, x, order, modules, double=False) as probe:
            seen = _first_look(probe)
        findings += _non_finite(seen["y"], modules)
    coarse = _in_coarse_products(f, x, order, modules, sizes)
    return Entry(findings, sizes is not None, own, by_taylor, coarse, **{k: v for k, v in seen.items() if k != "sizes"})


def _first_look(probe: Probe) -> dict[str, Any]:
    """What f returns at first, `y`, and whether it changes when f has seen more points: running extremes show."""
    distances = as_rows((probe.x - probe.x.mean(0)).abs()).sum(1)
    inner = probe.x[distances.argsort()[: (len(distances) + 1) // 2]]
    early = None
    with suppress(Exception):
        early = probe(inner).detach()
    y, remembered = probe.y, []
    probe.relax()
    with suppress(Exception):
        remembered = [] if early is None else list(stateful(early, probe(inner).detach()))
    return {"y": y, "remembered": remembered}


def _in_own_precision(
    f: Callable, x: Tensor, order: int, modules: _Modules, sizes: Tensor | None
) -> tuple[list[Finding], Derivatives | Exception, Derivatives | None]:
    """What is wrong with the output, and the derivatives; those by Taylor mode, where the others are not finite."""
    with probing(f, x, order, modules, double=False) as probe:
        own = _own_derivatives(probe, sizes)  # first, for f may remember the points it has seen
        by_taylor = None
        if isinstance(own, list) and not all(bool(level.isfinite().all()) for level in own):
            by_taylor = probe.differentiated("taylor", probe.x, probe.direction, probe.order)
        by_taylor = by_taylor if isinstance(by_taylor, list) else None
        try:
            return _output(probe(probe.x), x), own, by_taylor
        except Exception as error:
            return [Finding("fails", "error", "f", _failed(error, x, modules))], own, by_taylor


def _own_derivatives(probe: Probe, sizes: Tensor | None) -> Derivatives | Exception:
    """In f's own precision, the outputs weighted by their sizes in float64: rounding may make up others."""
    if sizes is not None:
        probe.output_sizes = sizes.to(probe.x)
    return probe.differentiated("reverse", probe.x, probe.direction, probe.order)


def _in_coarse_products(
    f: Callable, x: Tensor, order: int, modules: _Modules, sizes: Tensor | None
) -> Derivatives | None:
    if not products_are_coarse(x.device):
        return None
    with probing(f, x, order, modules, double=False, exact=False) as probe:
        derivatives = _own_derivatives(probe, sizes)
    return None if isinstance(derivatives, Exception) else derivatives


def _failed(error: Exception, x: Tensor, modules: _Modules) -> str:
    kinds = {p.dtype for module in modules.values() for p in weights_of(module) if p.is_floating_point()}
    advice = f" The points are {x.dtype}, the weights {kinds.pop()}: give both one dtype." if kinds - {x.dtype} else ""
    return f"f cannot be evaluated at points of shape {tuple(x.shape)}: {brief(error)}.{advice}"


def _in_pieces() -> Finding:
    return Finding(
        "distributed",
        "error",
        "f",
        "the layers calculate with pieces of their weights (tensor parallelism), and on the way between DTensor and "
        "Tensor torch loses second derivatives. Gather the weights into an ordinary model first "
        "(parameter.full_tensor()), as DerivativeMonitor does",
    )


def _inference_tensors(modules: _Modules) -> list[Finding]:
    """Weights that autograd will not save; here they are copied, elsewhere reverse mode fails."""
    where = [label(path, m) for path, m in modules.items() if any(p.is_inference() for p in weights_of(m))]
    message = (
        "the weights were made in inference mode, so torch refuses to differentiate through them in reverse mode: "
        "make or load the model outside of it, or use method='taylor'"
    )
    return [Finding("inference-tensors", "note", where[0], message)] if where else []


def _output(y: Any, x: Tensor) -> list[Finding]:
    """What is wrong with an output that is not one floating-point tensor with a row for each sample."""
    if not isinstance(y, Tensor):
        return [Finding("output-type", "error", "f", f"f returns {_described(y)}")]
    if y.layout is not torch.strided or y.is_nested:
        kind = "nested" if y.is_nested else str(y.layout).removeprefix("torch.")
        return [Finding("output-type", "error", "f", f"f returns a {kind} tensor: call .to_dense() on it")]
    if not y.is_floating_point():
        advice = "take .real, .imag or .abs()" if y.is_complex() else "round and take the class after differentiating"
        return [Finding("output-type", "error", "f", f"f returns {y.dtype}, which has no real derivative: {advice}")]
    if y.device.type == "meta":
        return [Finding("fails", "error", "f", "the model is on the meta device: its weights have no values")]
    if not y.numel():
        return [Finding("output-shape", "error", "f", f"f returns shape {tuple(y.shape)}: no number at all")]
    if y.shape[:1] != x.shape[:1]:
        message = f"f returns shape {tuple(y.shape)} for {len(x)} samples: the first axis must be the samples"
        return [Finding("output-shape", "error", "f", message)]
    return []


def _described(y: Any) -> str:
    if isinstance(y, dict):
        keys = ", ".join(map(repr, list(y)[:5]))
        return f"a dict with {keys}; audit one entry: lambda x: f(x)[{next(iter(y), 'key')!r}]"
    if isinstance(y, tuple | list):
        return f"a {type(y).__name__} of {len(y)}; audit one entry: lambda x: f(x)[0]"
    return f"a {type(y).__name__}; audit a function that returns one tensor (batch, *out)"


def _non_finite(y: Tensor, modules: _Modules) -> list[Finding]:
    bad = int((~as_rows(y).isfinite().all(1)).sum())
    if not bad:
        return []
    if any(not p.isfinite().all() for module in modules.values() for p in weights_of(module)):
        message = "weights are NaN or infinite, since a training diverged: lower the learning rate, or look at its data"
        return [Finding("non-finite", "error", "f", message)]
    message = f"f is NaN or infinite at {bad} of {len(y)} points. Keep the points inside the function's domain"
    return [Finding("non-finite", "error", "f", message)]
