"""Differential PCA inside the network: it sees its inputs only along the directions that gradients point to."""

from collections.abc import Sequence
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from sobolev.networks.mlp import MLP
from sobolev.networks.standardized import Standardized


class DifferentialPCA(Standardized):
    """A `Standardized` network of few linear combinations of the inputs, found from gradient labels.

    The premise: the function depends on its inputs only through so many linear combinations, as the price of a call
    on a basket depends on the basket alone. Then all gradients lie in the space those span, and it is found from
    them (Huge & Savine, "Axes that Matter: PCA with a Difference", Risk 2021). What leads out of it is cut off: where
    the premise fails, so do the derivatives. `fit` measures how much of the gradient labels is cut off, and refuses
    too much. All derivatives come out in the user's units and by all the inputs.

    Args:
        network: maps (batch, components) to (batch, outputs), both about of order one.
        components: how many directions are kept.
        tolerance: the part of the squared length of the standardised gradients that may be cut off.

    Raises:
        ValueError: a network of another number of inputs.

    Examples:
        >>> import sobolev, torch
        >>> data = sobolev.PathsData("bachelier", assets=5, samples=512)
        >>> data.setup()
        >>> network = sobolev.DifferentialPCA(sobolev.MLP(inputs=1))  # all depends on the basket alone
        >>> network = network.fit(data.training.inputs, data.training.targets, data.training.labels).double()
        >>> network(data.training.inputs[:3]).shape
        torch.Size([3, 1])
    """

    from_data = (*Standardized.from_data, "axes")
    axes: Tensor

    def __init__(self, network: nn.Module, components: int = 1, tolerance: float = 1e-4) -> None:
        super().__init__(network)
        if isinstance(network, MLP) and network.arguments["inputs"] != components:
            raise ValueError(
                f"DifferentialPCA keeps {components} components, but its network has {network.arguments['inputs']} "
                f"inputs; give it MLP(inputs={components})"
            )
        self.components, self.tolerance = components, tolerance
        self.register_buffer("axes", torch.empty(0))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, outputs), both in the user's units."""
        if not self.axes.numel():
            raise ValueError("DifferentialPCA does not know its directions yet; call fit with gradient labels first")
        reduced = nn.functional.linear((x - self.input_mean) / self.input_scale, self.axes)
        return self.network(reduced) * self.output_scale + self.output_mean

    @override
    @torch.no_grad()
    def fit(
        self,
        inputs: Float[Tensor, "samples inputs"],
        outputs: Float[Tensor, "samples outputs"],
        labels: Sequence[Float[Tensor, "samples outputs *inputs"]] = (),
    ) -> Self:
        """Take means, scales and directions from data.

        Args:
            inputs: (samples, inputs).
            outputs: (samples, outputs).
            labels: the gradients (samples, outputs, inputs) first; samples with a NaN do not count.

        Raises:
            ValueError: no gradients, or gradients that do not lie in so few directions.
        """
        if not labels:
            raise ValueError("DifferentialPCA needs gradient labels in the batches: (x, y, d1)")
        super().fit(inputs, outputs, labels)
        gradients = labels[0].double() * self.input_scale.double() / self.output_scale.double()[:, None]
        gradients = gradients.flatten(0, 1)
        axes = self._principal(gradients[~gradients.isnan().any(1)])
        along = ((inputs.double() - self.input_mean) / self.input_scale) @ axes.T
        self.axes = (axes / along.std(0, correction=0)[:, None]).to(self.input_mean)
        return self

    def _principal(self, gradients: Float[Tensor, "rows inputs"]) -> Float[Tensor, "components inputs"]:
        """Orthonormal directions, those with the longest gradients."""
        squares, axes = torch.linalg.eigh(gradients.T @ gradients)
        kept, total = squares.flip(0).cumsum(0), squares.sum()
        if not total > 0 or len(squares) < self.components:
            raise ValueError(
                f"DifferentialPCA finds no {self.components} directions: there are {len(squares)} inputs and "
                f"{len(gradients)} gradients, of squared length {float(total):g}"
            )
        cut_off = 1 - kept / total
        if cut_off[self.components - 1] > self.tolerance:
            enough = int((cut_off > self.tolerance).sum()) + 1
            raise ValueError(
                f"DifferentialPCA with {self.components} components would cut off {cut_off[self.components - 1]:.2%} "
                f"of the squared gradients: this function does not depend on so few directions. Set components, and "
                f"the inputs of the network, to {enough}, or leave differential PCA out"
            )
        return axes.flip(1)[:, : self.components].T
