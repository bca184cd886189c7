"""A network for few data: features that know their sizes, and a linear layer on top."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class ChebyshevFeatures(nn.Module):
    """Products of Chebyshev polynomials, one factor for each input: (batch, inputs) to (batch, terms).

    Args:
        degrees: of each factor, (terms, inputs).
        sizes: what each term is multiplied by, (terms,).
        low: the input that goes to -1, (inputs,).
        high: the one that goes to 1.
    """

    degrees: Tensor
    sizes: Tensor
    centre: Tensor
    radius: Tensor

    def __init__(
        self,
        degrees: Int64[Tensor, "terms inputs"],
        sizes: Float[Tensor, " terms"],
        low: Float[Tensor, " inputs"],
        high: Float[Tensor, " inputs"],
    ) -> None:
        super().__init__()
        self.register_buffer("degrees", degrees)
        self.register_buffer("sizes", sizes)
        self.register_buffer("centre", (low + high) / 2)
        self.register_buffer("radius", (high - low) / 2)

    def forward(self, x: Tensor) -> Tensor:
        """By the recurrence of the polynomials, then one product over the inputs that occur."""
        table = self._table((x - self.centre) / self.radius)
        terms = self.sizes.to(x.dtype)
        for j in self.degrees.any(0).nonzero().flatten().tolist():
            terms = terms * table[:, j][:, self.degrees[:, j]]
        return terms.expand(len(x), -1)

    def summary(self) -> dict[str, Any]:
        """How many terms, and the highest degree in each input."""
        return {"terms": len(self.degrees), "highest_degrees": self.degrees.amax(0).tolist()}

    def _table(self, x: Tensor) -> Tensor:
        """Every polynomial of every input, (batch, inputs, 1 + highest degree)."""
        values = [torch.ones_like(x), x]
        for _ in range(2, int(self.degrees.max()) + 1):
            values.append(2 * x * values[-1] - values[-2])
        return torch.stack(values, 2)


class KernelFeatures(nn.Module):
    """Gaussian bumps around centres, in coordinates that were learnt: (batch, inputs) to (batch, centres).

    The coordinates are the inputs, each with a scale of its own, and some tanh units: a deep kernel (Wilson et al.,
    2016). Without units it is the squared exponential kernel of a Gaussian process with a length scale for each input.

    Args:
        centres: in the inputs' units, (centres, inputs).
        scales: the inverse length of each input, (inputs,).
        units: how many tanh units.
    """

    centres: Tensor

    def __init__(self, centres: Tensor, scales: Tensor, units: int = 8) -> None:
        super().__init__()
        self.register_buffer("centres", centres)
        self.scales = nn.Parameter(scales)
        self.units = nn.Linear(centres.shape[1], units)
        self.strengths = nn.Parameter(torch.ones(units))

    def coordinates(self, x: Tensor) -> Tensor:
        """Where the kernel measures distances, (batch, inputs + units)."""
        return torch.cat([x * self.scales, torch.tanh(self.units(x)) * self.strengths], 1)

    def forward(self, x: Tensor) -> Tensor:
        """exp(-r² / 2), r² as one product, which is smooth at the centres."""
        here, there = self.coordinates(x), self.coordinates(self.centres)
        squares = (here * here).sum(1, keepdim=True) + (there * there).sum(1) - 2 * (here @ there.T)
        return torch.exp(-0.5 * squares)

    def summary(self) -> dict[str, Any]:
        """How many centres and units, and the length of each input in the input's unit."""
        lengths = self.scales.detach().reciprocal().tolist()
        return {"centres": len(self.centres), "units": len(self.strengths), "lengths": lengths}


class Surrogate(nn.Module):
    """A linear layer on the inputs and on features, (batch, inputs) to (batch, outputs), built by `sobolev.evidence`.

    Args:
        features: modules that map (batch, inputs) to (batch, features); none at the start.
        inputs: of each sample.
        outputs: of each sample.
    """

    def __init__(self, features: Sequence[nn.Module] = (), inputs: int = 1, outputs: int = 1) -> None:
        super().__init__()
        self.features = nn.ModuleList(features)
        width = inputs + sum(_width(module) for module in features)
        self.last = nn.Linear(width, outputs)
        self.register_load_state_dict_pre_hook(_take_structure)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs)."""
        return self.last(torch.cat([x, *(module(x) for module in self.features)], 1))


def _width(module: nn.Module) -> int:
    return len(module.degrees if isinstance(module, ChebyshevFeatures) else module.centres)  # pyright: ignore[reportArgumentType]


def _take_structure(module: Surrogate, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Let a fresh network load any features: what they are is seen in their tensors."""
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    count = 1 + max((int(name.split(".")[1]) for name in own if name.startswith("features.")), default=-1)
    parts = [{n.split(".", 2)[2]: t for n, t in own.items() if n.startswith(f"features.{i}.")} for i in range(count)]
    features = [_like(part) for part in parts]
    outputs, width = own["last.weight"].shape
    inputs = width - sum(map(_width, features))
    like = module.last.weight
    fresh = Surrogate(features, inputs, outputs).to(like.device, like.dtype)
    module.features, module.last = fresh.features, fresh.last


def _like(state: dict[str, Tensor]) -> nn.Module:
    """Features whose tensors have these shapes."""
    if "degrees" in state:
        return ChebyshevFeatures(state["degrees"], state["sizes"], -state["radius"], state["radius"])
    return KernelFeatures(state["centres"], state["scales"].clone(), len(state["strengths"]))
