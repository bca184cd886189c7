"""DeepXDE on its PyTorch backend: lazy Jacobians in reverse mode, its default."""

import os

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer
from benchmarks.peers.nested import leaf


class DeepXDE(Peer):
    name = "deepxde"
    package = "deepxde==1.15.0"
    needs = ("scikit-learn", "scikit-optimize>=0.10.2", "scipy", "matplotlib")
    highest_order = 6

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        gradients = _gradients()

        def job(x: Tensor) -> tuple[Tensor, ...]:
            gradients.clear()  # as its trainer does each iteration
            with torch.enable_grad():
                x = leaf(x)
                tower = [network(x)]
                for _ in range(order):
                    tower.append(gradients.jacobian(tower[-1], x))
            return tuple(tower)

        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        gradients = _gradients()

        def job(x: Tensor) -> tuple[Tensor, ...]:
            gradients.clear()
            with torch.enable_grad():
                x = leaf(x)
                y = network(x)
                trace = sum(gradients.hessian(y, x, i=i, j=i) for i in range(x.shape[1]))
                return y, gradients.jacobian(y, x, i=0), trace

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        gradients = _gradients()

        def job(x: Tensor) -> tuple[Tensor, ...]:
            gradients.clear()
            with torch.enable_grad():
                x = leaf(x)
                g = gradients.jacobian(network(x), x, i=0)
                return (torch.stack([gradients.jacobian(g, x, i=i) for i in range(x.shape[1])], 1),)

        return job


def _gradients():
    os.environ["DDE_BACKEND"] = "pytorch"
    import deepxde

    return deepxde.grad
