"""Says when a training has ended in a network that is constant, or not finite, where its labels are not."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sobolev.autodiff.guard import evaluating, plain_forward
from sobolev.networks.scales import moments, variation

_FEWEST_ROWS = 8
_CONSTANT = 1e-2
"""Outputs that vary by less than this part of what the labels vary are called constant."""
_VISIBLE = 1e-5
"""Labels that vary by less than this part of their mean are constant for float32."""


@torch.no_grad()
def collapse(
    network: nn.Module,
    inputs: Float[Tensor, "batch inputs"],
    targets: Float[Tensor, "batch outputs"],
    labels: Sequence[Float[Tensor, "batch outputs ..."]] = (),
) -> str | None:
    """One sentence if an output of the network is constant or not finite where the labels vary; else None.

    Args:
        network: maps (batch, inputs) to (batch, outputs); left as it is.
        inputs: (batch, inputs).
        targets: (batch, outputs); NaN where there is no value.
        labels: derivative labels of orders 1, 2, which stand in where values are missing.
    """
    if len(inputs) < _FEWEST_ROWS:
        return None
    with evaluating(network), plain_forward(inputs.device), _Watch(network) as watch:
        predicted = network(inputs)
    if not predicted.isfinite().all():
        return (
            "the training diverged: outputs of the network are not finite. Look for outliers among the labels, lower "
            "the learning rate, or clip gradients"
        )
    wanted = variation(inputs, targets, labels)
    wanted = torch.where(wanted > _VISIBLE * moments(targets)[0].abs(), wanted, 0.0)
    collapsed = moments(predicted)[1] < _CONSTANT * wanted
    if not collapsed.any():
        return None
    where = f" Behind {watch.found[0]} all points are the same: its units are dead or saturated." if watch.found else ""
    return (
        f"the training collapsed: {_named(collapsed)} of the network hardly changes with the inputs, but the labels do."
        f"{where} Lower the learning rate, keep standardize=True, leave out an activation behind the last layer, or "
        "use a smooth one such as SiLU inside; another seed may do as well"
    )


def _named(collapsed: Tensor) -> str:
    places = collapsed.nonzero()[:, 0].tolist()
    return "the output" if len(collapsed) == 1 else f"output {', '.join(map(str, places))}"


class _Watch:
    """While it is entered, notes in `found` the layers whose output is the same for all rows, unlike their input."""

    def __init__(self, network: nn.Module) -> None:
        self.layers = [(name, layer) for name, layer in network.named_modules() if not list(layer.children())]
        self.found: list[str] = []

    def __enter__(self) -> Self:
        self.handles = [layer.register_forward_hook(self._hook(name)) for name, layer in self.layers]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _hook(self, name: str) -> Any:
        def look(layer: nn.Module, given: Any, result: Any) -> None:
            if given and _varies(given[0]) and not _varies(result):
                self.found.append(f"{name} ({type(layer).__name__})")

        return look


def _varies(values: Any) -> bool:
    return not isinstance(values, Tensor) or len(values) == 0 or bool((values != values[:1]).any())
