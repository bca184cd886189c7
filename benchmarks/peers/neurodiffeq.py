"""neurodiffeq: `diff` along one input; `grad` and `laplacian` over one tensor per input."""

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer


class NeuroDiffEq(Peer):
    name = "neurodiffeq"
    package = "neurodiffeq==0.7.0"
    needs = ("matplotlib", "scipy", "pandas", "seaborn", "dill", "tensorboard", "tqdm", "requests", "ordered_set")
    highest_order = 6

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        from neurodiffeq import diff

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                (x,) = _columns(x)
                tower = [network(x)]
                for _ in range(order):
                    tower.append(diff(tower[-1], x))
            return tuple(tower)

        return job

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        from neurodiffeq import diff
        from neurodiffeq.operators import grad

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                columns = _columns(x)
                y = network(torch.cat(columns, 1))
                g = grad(y, *columns)  # its laplacian would take this gradient a second time
                trace = sum(diff(component, column) for component, column in zip(g, columns, strict=True))
                return y, torch.cat(g, 1), trace

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        from neurodiffeq.operators import grad

        def job(x: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                columns = _columns(x)
                g = grad(network(torch.cat(columns, 1)), *columns)
                return (torch.stack([torch.cat(grad(component, *columns), 1) for component in g], 1),)

        return job


def _columns(x: Tensor) -> list[Tensor]:
    return [column.detach().requires_grad_() for column in x.split(1, 1)]
