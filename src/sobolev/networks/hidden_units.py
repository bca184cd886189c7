"""The hidden layers of a perceptron that was trained, with random units beside those of the last one."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sobolev.networks.mlp import MLP

_LEAST = 1e-2
"""Part of the largest deviation; a unit that varies less is not to be heard above all others."""


class HiddenUnits(nn.Module):
    """(batch, inputs) to (batch, units): what a perceptron's last layer sees, with room for random units.

    Random units of a layer on top of trained ones are features that nobody trained, but a linear layer on them fits far
    more (random feature expansion: Rahimi & Recht, Weighted sums of random kitchen sinks, 2008).

    Args:
        widths: of the inputs and of each hidden layer, random units included.
        activation: name of a torch activation.
    """

    activation: Tensor

    def __init__(self, widths: list[int], activation: str = "silu") -> None:
        super().__init__()
        network = MLP(widths[0], widths[-1], widths[1:-1], activation, activation)
        self.layers = nn.Sequential(*network)
        self.register_buffer("activation", torch.tensor(list(activation.encode()), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        """The values of all units of the last hidden layer."""
        return self.layers(x)

    @property
    def width(self) -> int:
        """How many units."""
        return self.layers[-2].out_features  # pyright: ignore[reportReturnType]

    @classmethod
    @torch.no_grad()
    def of(cls, network: MLP, x: Float[Tensor, "rows inputs"], random: int, seed: int = 0) -> "HiddenUnits":
        """Those of a perceptron, and random ones that bend where the layer before has values.

        Args:
            network: in the precision of x.
            x: some inputs.
            random: how many units to add.
            seed: of the random numbers.
        """
        arguments = network.arguments
        widths = [arguments["inputs"], *arguments["hidden"]]
        made = cls([*widths[:-1], widths[-1] + random], arguments["activation"]).to(x)
        linear = [layer for layer in made.layers if isinstance(layer, nn.Linear)]
        trained = [layer for layer in network if isinstance(layer, nn.Linear)]
        for own, other in zip(linear[:-1], trained, strict=False):
            own.load_state_dict(other.state_dict())
        below, last = made.layers[:-2](x), trained[-2]
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(random, widths[-2] + 1, dtype=torch.float64, generator=generator).to(x)
        deviations = below.std(0)
        weights = draw[:, 1:] / deviations.clamp_min(_LEAST * float(deviations.max())) / widths[-2] ** 0.5
        linear[-1].weight.copy_(torch.cat([last.weight, weights]))
        linear[-1].bias.copy_(torch.cat([last.bias, draw[:, 0] - weights @ below.mean(0)]))
        return made

    @classmethod
    def like(cls, state: dict[str, Tensor]) -> "HiddenUnits":
        """One that can load this state."""
        weights = [tensor for name, tensor in state.items() if name.endswith(".weight")]
        activation = bytes(state["activation"].tolist()).decode()
        return cls([weights[0].shape[1], *map(len, weights)], activation)
