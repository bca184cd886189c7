"""The last linear layer whose output reaches the network's output linearly."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sobolev.audit.twin import isolated
from sobolev.autodiff.guard import evaluating, guarded

_POINTS = 32
_TOLERANCE = 1e-9
"""What counts as equal, relative to the output: far above rounding in float64, far below any bend that matters."""


@dataclass(frozen=True)
class LinearLayer:
    """A layer z = W φ + b of a model whose outputs are y_j = t_j(x) + s_j c(x) z_j.

    Attributes:
        name: its path in the model.
        layer: the layer itself.
        scale: s, (outputs,).
        varying: whether the factor c depends on x; otherwise it is 1.
    """

    name: str
    layer: nn.Linear
    scale: Float64[Tensor, " outputs"]
    varying: bool

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return self.layer.weight.dtype

    @property
    def device(self) -> torch.device:
        """Of its weights."""
        return self.layer.weight.device

    @property
    def outputs(self) -> int:
        """How many there are."""
        return len(self.scale)

    def weights(self) -> Float64[Tensor, "unknowns outputs"]:
        """A copy on the CPU, the bias first."""
        columns = [self.layer.weight] if self.layer.bias is None else [self.layer.bias[:, None], self.layer.weight]
        return torch.cat([c.detach().double().cpu() for c in columns], dim=1).T

    @torch.no_grad()
    def set_weights(self, weights: Float64[Tensor, "unknowns outputs"]) -> None:
        """Write weights in the order of `weights()`, rounded to the layer's precision."""
        if self.layer.bias is not None:
            self.layer.bias.copy_(weights[0])
            weights = weights[1:]
        self.layer.weight.copy_(weights.T)

    def features(self, model: Callable[[Tensor], Any], x: Tensor) -> Any:
        """c(x) [1, φ(x)] and then t(x), (batch, 1 + features + outputs). On a jet with all its derivatives."""
        with replaced(self.layer, 0.0) as inputs:
            offset = model(x).reshape(x.shape[0], -1)
        features = inputs[-1]
        ones = torch.ones(x.shape[0], 1, dtype=features.dtype, device=features.device)
        if not self.varying:
            return torch.cat([ones, features, offset], dim=1)
        with replaced(self.layer, 1.0):
            factor = (model(x).reshape(x.shape[0], -1) - offset)[:, :1] / self.scale[0].to(ones.dtype)
        return torch.cat([factor * ones, factor * features, offset], dim=1)


@contextmanager
def replaced(layer: nn.Linear, output: float | Tensor) -> Iterator[list[Any]]:
    """Inside, the layer puts out these numbers, whatever goes in; what went in is kept in the list."""
    inputs = []

    def hook(_: nn.Module, arguments: tuple[Any, ...], result: Any) -> Tensor:
        inputs.append(arguments[0])
        like = {"dtype": result.dtype, "device": result.device}
        return torch.as_tensor(output, **like).expand(result.shape).clone()

    handle = layer.register_forward_hook(hook)
    try:
        yield inputs
    finally:
        handle.remove()


@contextmanager
def double(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and float64, with gradients off; afterwards as it was."""
    with ExitStack() as stack:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        stack.enter_context(guarded(device))
        stack.enter_context(torch.no_grad())
        stack.enter_context(isolated(list(model.modules()), double=True))
        stack.enter_context(evaluating(model))
        yield


def find_layer(model: nn.Module, x: Tensor) -> LinearLayer:
    """Look for the layer, from the last to the first that a forward pass meets, and try each in float64.

    Args:
        model: maps (batch, *in) to (batch, *out).
        x: some points; a few of them are used.

    Raises:
        ValueError: there is none; the reason of each layer is told.
    """
    device = next((p.device for p in model.parameters()), x.device)
    x = x[:_POINTS].detach().to(device, torch.float64)
    with double(model):
        calls = _calls(model, x)
        reasons = []
        for layer in list(dict.fromkeys(reversed(calls))):
            name = next(n for n, m in model.named_modules() if m is layer)
            found = _refusal(model, layer, calls) or _linear_in(model, layer, name, x)
            if isinstance(found, LinearLayer):
                return found
            reasons.append(f"{name or type(layer).__name__}: {found}")
    tried = "; ".join(reasons[:3]) if reasons else "the forward pass calls no torch.nn.Linear"
    raise ValueError(f"no linear layer reaches the output linearly, so there is no readout to solve for ({tried})")


def _calls(model: nn.Module, x: Tensor) -> list[nn.Linear]:
    """The linear layers in the order in which they are called."""
    calls: list[Any] = []
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
                handle = module.register_forward_hook(lambda layer, *_: calls.append(layer))
                stack.callback(handle.remove)
        y = model(x)
    if not isinstance(y, Tensor):
        raise ValueError(f"the network returns a {type(y).__name__}; a readout needs one tensor (batch, outputs)")
    return calls


def _refusal(model: nn.Module, layer: nn.Linear, calls: list[nn.Linear]) -> str | None:
    """Why the weights of this layer cannot be set freely."""
    if calls.count(layer) > 1:
        return f"it is called {calls.count(layer)} times in one forward pass"
    if parametrize.is_parametrized(layer) or not isinstance(layer._parameters.get("weight"), nn.Parameter):
        return "its weights are computed from others (parametrised)"
    own = [p for p in (layer.weight, layer.bias) if p is not None]
    owners = Counter(id(p) for m in dict.fromkeys(model.modules()) for p in m._parameters.values())
    if any(owners[id(p)] > 1 for p in own):
        return "it shares its weights with another layer"
    if not all(p.requires_grad for p in own):
        return "its weights are frozen"
    return None


def _linear_in(model: nn.Module, layer: nn.Linear, name: str, x: Tensor) -> LinearLayer | str:
    """The layer with its scales, or why the output is not linear in what it puts out."""
    with replaced(layer, 0.0) as inputs:
        base = model(x).reshape(len(x), -1)
    if inputs[-1].shape != (len(x), layer.in_features):
        return f"it works on {tuple(inputs[-1].shape[1:])} numbers a sample, not on one vector"

    def effect(z: Tensor) -> Tensor:
        with replaced(layer, z):
            return model(x).reshape(len(x), -1) - base

    columns = torch.stack([effect(unit) for unit in torch.eye(layer.out_features).to(x)], dim=2)
    if not _affine(effect, columns, layer.out_features):
        return "the output is not linear in what it puts out: an activation or a normalisation follows"
    return _scales(columns, layer, name)


def _affine(effect: Callable[[Tensor], Tensor], columns: Tensor, width: int) -> bool:
    """Whether random outputs of several sizes act as the sum of their parts."""
    generator = torch.Generator().manual_seed(0)
    for size in (0.1, 1.0, 10.0, 100.0):
        z = size * torch.randn(len(columns), width, generator=generator, dtype=columns.dtype).to(columns.device)
        expected = torch.einsum("bok,bk->bo", columns, z)
        if not (effect(z) - expected).abs().max() <= _TOLERANCE * expected.abs().max():
            return False
    return True


def _scales(columns: Tensor, layer: nn.Linear, name: str) -> LinearLayer | str:
    """From what each output of the layer does to each output of the model, (points, outputs, layer's outputs)."""
    largest = columns.abs().max()
    if not largest > 0:
        return "the output does not depend on it"
    if columns.shape[1] != columns.shape[2] or (columns - _diagonal(columns)).abs().max() > _TOLERANCE * largest:
        return "its outputs are mixed on their way to the output"
    own = columns.diagonal(dim1=1, dim2=2)
    strongest = own[own[:, 0].abs().argmax()]
    if not (strongest != 0).all():
        return "the output does not depend on all of it"
    factor = own[:, :1] / strongest[:1]
    if ((own - factor * strongest).abs() > _TOLERANCE * largest).any():
        return "its outputs are multiplied by different functions of x"
    varying = bool(((factor - 1).abs() > _TOLERANCE).any())
    return LinearLayer(name, layer, strongest.clone(), varying)


def _diagonal(columns: Tensor) -> Tensor:
    return torch.diag_embed(columns.diagonal(dim1=1, dim2=2))
