"""Networks to learn a function with: a smooth MLP, and standardisation inside the network."""

from collections.abc import Sequence
from difflib import get_close_matches
from inspect import signature
from itertools import pairwise
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules import activation as activations

from sobolev.autodiff.perceptron.sequential import sequential
from sobolev.scales import moments, output_spread, spread


class MLP(nn.Sequential):
    """A multilayer perceptron: (batch, inputs) to (batch, outputs).

    Args:
        inputs: inputs of each sample.
        outputs: outputs of each sample.
        hidden: width of each hidden layer.
        activation: name of a torch activation, in any spelling of its class: `"silu"`, `"Tanh"`, `"soft_plus"`.
            Second derivatives need one that is smooth; `sobolev.audit` says when it is not.
        output_activation: the same behind the last layer, where it limits what the network can say; usually None.

    Weights and biases start uniform in ±1 / sqrt(inputs of the layer), as `torch.nn.Linear` draws them: for
    standardised inputs this spreads the bends of the units over the domain, which biases of zero do not.

    Raises:
        ValueError: an activation torch does not have, or a width below 1.
    """

    def __init__(
        self,
        inputs: int = 1,
        outputs: int = 1,
        hidden: Sequence[int] = (64, 64),
        activation: str = "silu",
        output_activation: str | None = None,
    ) -> None:
        widths = [inputs, *hidden, outputs]
        if min(widths) < 1:
            raise ValueError(f"the widths {widths} of the MLP contain one below 1; each is 1 or more")
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), activation_named(activation)]
        layers = layers[:-1] + ([activation_named(output_activation)] if output_activation else [])
        super().__init__(*layers)
        self.arguments = {  # plain types, for a checkpoint to rebuild the network from
            "inputs": inputs,
            "outputs": outputs,
            "hidden": list(hidden),
            "activation": activation,
            "output_activation": output_activation,
        }

    forward = sequential  # pyright: ignore[reportAssignmentType]

    def __getitem__(self, index: int | slice) -> nn.Module:
        """A layer, or for a slice a plain `Sequential` of the same layers."""
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else super().__getitem__(index)


def activation_named(name: str) -> nn.Module:
    """The torch activation of that name, with its default arguments.

    Raises:
        ValueError: torch has none of that name, or it needs arguments; the nearest names are given.
    """
    known = {key.lower(): getattr(activations, key) for key in activations.__all__}
    found = known.get(name.lower().replace("_", ""))
    if found is None:
        near = ", ".join(get_close_matches(name.lower(), known, n=3)) or "silu, tanh, softplus, gelu"
        raise ValueError(f"torch has no activation {name!r}; did you mean {near}?")
    parameters = signature(found).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if required:
        raise ValueError(f"{found.__name__} is no elementwise activation: it needs {', '.join(required)}")
    return found()


class Standardized(nn.Module):
    """A network that eats and speaks the user's units and works on standardised numbers inside.

    The means and scales of inputs and outputs are buffers: they are saved with the weights, and the chain rule
    through them is part of the graph, so every derivative comes out in the user's units.

    Args:
        network: maps (batch, inputs) to (batch, outputs), both about of order one.
    """

    from_data: tuple[str, ...] = ("input_mean", "input_scale", "output_mean", "output_scale")
    """The buffers whose shapes the data give."""
    input_mean: Tensor
    input_scale: Tensor
    output_mean: Tensor
    output_scale: Tensor
    fitted: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for name in Standardized.from_data:
            self.register_buffer(name, torch.tensor([0.0 if name.endswith("mean") else 1.0]))
        self.register_buffer("fitted", torch.tensor(False))
        self.register_load_state_dict_pre_hook(_take_shapes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs), both in the user's units."""
        return self.network((x - self.input_mean) / self.input_scale) * self.output_scale + self.output_mean

    @torch.no_grad()
    def fit(
        self,
        inputs: Float[Tensor, "samples inputs"],
        outputs: Float[Tensor, "samples outputs"],
        labels: Sequence[Float[Tensor, "samples outputs ..."]] = (),
    ) -> Self:
        """Take means and standard deviations from data, (samples, inputs) and (samples, outputs).

        A constant column has no scale and is only shifted. NaN in the outputs counts as no value; an output without
        values takes its scale from derivative labels, (samples, outputs, inputs), (samples, outputs, inputs, inputs).
        """
        self.input_mean, self.input_scale = moments(inputs)[0].to(self.input_mean), spread(inputs).to(self.input_mean)
        self.output_mean = moments(outputs)[0].to(self.output_mean)
        self.output_scale = output_spread(inputs, outputs, labels).to(self.output_mean)
        self.fitted = torch.ones_like(self.fitted)
        return self


def _take_shapes(module: Standardized, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a fresh module load the means and scales of any number of inputs and outputs."""
    for name in module.from_data:
        saved = state.get(prefix + name)
        current = getattr(module, name)
        if saved is not None and saved.shape != current.shape:
            setattr(module, name, current.new_empty(saved.shape))
