"""`torch.func`: nested jvp along one input; vmap of forward over reverse mode for several."""

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, jacfwd, jvp, vmap

from benchmarks.peers.base import Job, Peer


class TorchFunc(Peer):
    name = "torch.func"
    compiles = True
    highest_order = 6

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        job: Job = lambda x: (network(x),)  # noqa: E731
        for _ in range(order):
            job = _one_order_more(job)
        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        second = _second_order(network)

        def job(x: Tensor) -> tuple[Tensor, ...]:
            H, (g, y) = second(x)
            return y[:, None], g, H.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        second = _second_order(network)
        return lambda x: (second(x)[0],)


def _one_order_more(job: Job) -> Job:
    def tower(x: Tensor) -> tuple[Tensor, ...]:
        orders, slopes = jvp(job, (x,), (torch.ones_like(x),))
        return (*orders, slopes[-1])

    return tower


def _second_order(network: nn.Module):
    """Hessian, with gradient and value as by-products."""

    def gradient(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        g, y = grad_and_value(lambda x: network(x)[0])(x)
        return g, (g, y)

    return vmap(jacfwd(gradient, has_aux=True))
