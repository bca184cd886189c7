"""jet-for-pytorch: Taylor mode on a traced graph; collapsed Taylor mode for the Laplacian."""

import torch
from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer


class Jet(Peer):
    name = "jet-for-pytorch"
    package = "jet-for-pytorch==1.0.0"
    needs = ("scipy",)
    python = (3, 12)
    compiles = True

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        from jet import jet

        f = jet(network, (x,))

        def job(x: Tensor) -> tuple[Tensor, ...]:
            zero = torch.zeros_like(x)
            return f((x, torch.ones_like(x), *[zero] * (order - 1)))

        return _captured(job, x)

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        from jet import jet

        f = jet(network, (x,), collapsed=True)

        def job(x: Tensor) -> tuple[Tensor, ...]:
            rows, inputs = x.shape
            basis = torch.eye(inputs, dtype=x.dtype, device=x.device)[:, None].expand(inputs, rows, inputs)
            y, g, trace = f((x, basis, torch.zeros_like(x)))
            return y, g[..., 0].T, trace

        return _captured(job, x)


def _captured(job: Job, x: Tensor) -> Job:
    """As its documentation advises: trace once, drop what is computed twice, then run or compile the graph."""
    from jet import capture_graph, common_subexpression_elimination

    module, _ = capture_graph(job, (x,))
    common_subexpression_elimination(module.graph)
    module.recompile()
    return lambda x: tuple(module(x))
