"""What an adapter says about its library, and the three jobs it may offer."""

from collections.abc import Callable

from torch import Tensor, nn

Job = Callable[[Tensor], tuple[Tensor, ...]]
"""Computes from a batch (rows, inputs). Where gradients are enabled, the results carry a graph to the weights."""


class NotOffered(Exception):  # noqa: N818  not an error: the table shows a dash and the reason
    """The library has no public way to do this job."""


class Peer:
    """A library. Its adapter imports it inside the methods, so that the list of peers can be read without it."""

    name: str
    package: str | None = None
    """As pip takes it; installed without its dependencies, so that it cannot bring another torch."""
    needs: tuple[str, ...] = ()
    """What it imports beyond torch, Lightning and what they bring."""
    python: tuple[int, int] = (3, 11)
    """The oldest Python it installs on."""
    compiles: bool = False
    """Whether its way of computing is meant to be compiled by `torch.compile`."""

    highest_order: int = 10
    """Beyond it nothing is timed: order 10 of a small network takes nested reverse mode 20 s and 8 GB, nested
    forward mode 36 s."""

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        """All orders to `order` of a network with one input and one output, the value first, each (rows, 1)."""
        raise NotOffered("no derivatives of one input")

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        """Value (rows, 1), gradient (rows, inputs) and Laplacian (rows, 1) of a network with one output."""
        raise NotOffered("no Laplacian")

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        """Hessian (rows, inputs, inputs) of a network with one output."""
        raise NotOffered("no full Hessian")
