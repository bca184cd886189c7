"""omnibias-torch: closed-form jets of a perceptron given as a list of layers."""

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, NotOffered, Peer


class Omnibias(Peer):
    name = "omnibias-torch"
    package = "omnibias-torch==0.5.0rc1"
    needs = ("omnibias-core==0.5.0rc1",)
    compiles = True

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        from omnibias.torch import jet_to_tower, mlp_jet

        layers = _layers(network)

        def job(x: Tensor) -> tuple[Tensor, ...]:
            # The quadratic recurrence is never slower than the default, and much quicker once compiled.
            jet = mlp_jet(x, torch.ones_like(x), layers, order, riccati=True)
            return tuple(jet_to_tower(jet).unbind())

        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        from omnibias.torch.laplacian import deep_field_value_grad_laplacian

        layers = _layers(network)

        def job(x: Tensor) -> tuple[Tensor, ...]:
            y, g, trace = deep_field_value_grad_laplacian(x, layers)
            return y, g[..., 0], trace

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        from omnibias.torch import jet_hessian, mlp_jet_mv

        layers, inputs = _layers(network), x.shape[1]
        if inputs > 10:
            raise NotOffered("no full Hessian of many inputs: one Python step per pair of multi-indices")

        def one_row(x: Tensor) -> Tensor:
            return jet_hessian(mlp_jet_mv(x, layers, 2), inputs, 2)[..., 0]

        return lambda x: (torch.func.vmap(one_row)(x),)


def _layers(network: nn.Module) -> list[tuple[Tensor, Tensor, str | None]]:
    linear = [module for module in network if isinstance(module, nn.Linear)]
    return [(module.weight, module.bias, "tanh" if module is not linear[-1] else None) for module in linear]
