"""A smooth multilayer perceptron."""

from collections.abc import Sequence
from difflib import get_close_matches
from inspect import signature
from itertools import pairwise

from torch import nn
from torch.nn.modules import activation as activations


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

    Examples:
        >>> import sobolev, torch
        >>> network = sobolev.MLP(inputs=2, outputs=1, hidden=(16, 16), activation="silu")
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
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
