"""Do the numbers that go in have a size that networks and float32 can cope with?"""

from collections.abc import Iterator

from sobolev.audit.finding import Finding
from sobolev.audit.probe import Probe
from sobolev.audit.trace import Step
from sobolev.autodiff.tensor_classes import ordinary

_LINEAR = {
    *("linear", "conv1d", "conv2d", "conv3d", "lstm", "gru"),
    *("matmul", "__matmul__", "mm", "bmm", "addmm", "einsum"),
}
_SMALLEST, _LARGEST = 0.01, 10.0


def scaling(probe: Probe) -> Iterator[Finding]:
    """The inputs of the first layer must be of order one."""
    step = next((step for step in probe.steps if step.operation in _LINEAR), None)
    if step is None or not step.inputs:
        return
    sizes = _sizes(step)
    if not sizes or _SMALLEST <= max(sizes) <= _LARGEST:
        return
    if max(sizes) > _LARGEST:
        found = f"reach {max(sizes):.3g} (root mean square) where they enter the first layer"
    else:
        found = f"are at most {max(sizes):.3g} (root mean square) where they enter the first layer"
    yield Finding(
        "scaling",
        "warning",
        step.where,
        f"the inputs {found}, and layers are made for inputs of order one: such a network trains badly, and its "
        "derivatives worse. Standardise inside the network: sobolev.Standardized(network)",
    )


def _sizes(step: Step) -> list[float]:
    """Root mean square of every input of the layer that is not 0 throughout."""
    x = ordinary(step.inputs[0])
    rms = x.reshape(-1, x.shape[-1]).abs().square().mean(0).sqrt() if x.dim() > 1 else x.abs()
    return rms[rms > 0].tolist()
