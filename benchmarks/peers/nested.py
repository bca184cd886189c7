"""Plain PyTorch: `torch.autograd.grad` of the sum over the batch, nested."""

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer


def leaf(x: Tensor) -> Tensor:
    """The batch as a leaf to differentiate by."""
    return x.detach().requires_grad_()


class Nested(Peer):
    name = "nested autograd.grad"
    highest_order = 6

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        def job(x: Tensor) -> tuple[Tensor, ...]:
            keep = torch.is_grad_enabled()
            with torch.enable_grad():
                x = leaf(x)
                tower = [network(x)]
                for k in range(order):
                    tower.append(gradient(tower[-1], x, keep or k < order - 1))
            return tuple(tower)

        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        def job(x: Tensor) -> tuple[Tensor, ...]:
            keep = torch.is_grad_enabled()
            with torch.enable_grad():
                x = leaf(x)
                y = network(x)
                g = gradient(y, x, True)
                trace = sum(gradient(g[:, i], x, keep, retain=True)[:, i] for i in range(x.shape[1]))
            return y, g, trace[:, None]

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        def job(x: Tensor) -> tuple[Tensor, ...]:
            keep = torch.is_grad_enabled()
            with torch.enable_grad():
                x = leaf(x)
                g = gradient(network(x), x, True)
                return (torch.stack([gradient(g[:, i], x, keep, retain=True) for i in range(x.shape[1])], 1),)

        return job


def gradient(y: Tensor, x: Tensor, create_graph: bool, retain: bool = False) -> Tensor:
    """Of the sum of y over the batch."""
    return torch.autograd.grad(y.sum(), x, create_graph=create_graph, retain_graph=create_graph or retain)[0]
