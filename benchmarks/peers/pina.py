"""PINA: the fast operators, which spare its checks, on its labelled tensors."""

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer


class Pina(Peer):
    name = "pina-mathlab"
    package = "pina-mathlab==0.3.2"
    needs = ("lightning", "matplotlib", "psutil", "xxhash", "torch_geometric")
    highest_order = 6

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        from pina.operator import fast_grad

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                x, y = _labelled(network, x)
                tower = [y]
                for _ in range(order):
                    tower.append(fast_grad(tower[-1], x, tower[-1].labels, x.labels))
            return _plain(tower)

        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        from pina.operator import fast_div, fast_grad

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                x, y = _labelled(network, x)
                g = fast_grad(y, x, y.labels, x.labels)
                # its fast_laplacian would take this gradient a second time
                return _plain((y, g, fast_div(g, x, g.labels, x.labels)))

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        from pina.operator import fast_grad

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                x, y = _labelled(network, x)
                g = fast_grad(y, x, y.labels, x.labels)
                (H,) = _plain((fast_grad(g, x, g.labels, x.labels),))
                return (H.reshape(len(H), g.shape[1], g.shape[1]),)

        return job


def _labelled(network: nn.Module, x: Tensor):
    from pina import LabelTensor

    x = LabelTensor(x.detach(), [f"x{i}" for i in range(x.shape[1])]).requires_grad_()
    y = network(x)
    y.labels = ["u"]
    return x, y


def _plain(tensors) -> tuple[Tensor, ...]:
    return tuple(tensor.as_subclass(Tensor) for tensor in tensors)
