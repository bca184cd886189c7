"""Standardisation inside the network, so that the chain rule through it is part of the graph."""

from collections.abc import Sequence
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sobolev.networks.scales import moments, output_spread, spread


class Standardized(nn.Module):
    """A network that eats and speaks the user's units and works on standardised numbers inside.

    The means and scales of inputs and outputs are buffers: they are saved with the weights, and the chain rule
    through them is part of the graph, so every derivative comes out in the user's units.

    Args:
        network: maps (batch, inputs) to (batch, outputs), both about of order one.

    Examples:
        >>> import sobolev, torch
        >>> x = torch.linspace(-50, 50, 101)[:, None]
        >>> network = sobolev.Standardized(torch.nn.Linear(1, 1)).fit(x, x**2)
        >>> y, slope = sobolev.jacobian(network, x)  # by x itself, not by the standardised x
        >>> slope.shape
        torch.Size([101, 1, 1])
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
        """(batch, inputs) to (batch, outputs), both in the user's units.

        Raises:
            ValueError: the network has another number of outputs than the data, to which one would be spread out.
        """
        y = self.network((x - self.input_mean) / self.input_scale)
        if not torch.jit.is_tracing():  # which takes a shape for a number that varies
            self._check_outputs(y)
        return y * self.output_scale + self.output_mean

    def _check_outputs(self, y: Tensor) -> None:
        outputs = self.output_mean.shape[0]
        if isinstance(y, Tensor) and outputs > 1 and y.shape[-1:] != (outputs,):
            raise ValueError(
                f"the network returns shape {tuple(y.shape)}, but the data have {outputs} outputs: give it as many"
            )

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
