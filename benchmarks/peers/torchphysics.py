"""TorchPhysics: the operators of its `utils`."""

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer
from benchmarks.peers.nested import leaf


class TorchPhysics(Peer):
    name = "torchphysics"
    package = "torchphysics==1.1.2"
    needs = ("matplotlib", "scipy", "importlib-metadata")
    highest_order = 6

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        from torchphysics.utils import partial

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                x = leaf(x)
                tower = [network(x)]
                for _ in range(order):
                    tower.append(partial(tower[-1], x))
            return tuple(tower)

        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        from torchphysics.utils import grad, laplacian

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                x = leaf(x)
                y = network(x)
                g = grad(y, x)
                return y, g, laplacian(y, x, grad=g)

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        from torchphysics.utils import grad, jac

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                x = leaf(x)
                return (jac(grad(network(x), x), x),)

        return job
