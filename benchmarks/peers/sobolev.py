"""Ourselves, as a user calls us."""

from torch import Tensor, nn

from benchmarks.peers.base import Job, Peer


class Sobolev(Peer):
    name = "sobolev"
    compiles = True

    def derivatives(self, network: nn.Module, order: int, x: Tensor) -> Job:
        from sobolev import derivatives

        return lambda x: derivatives(network, x, order)

    def laplacian(self, network: nn.Module, x: Tensor) -> Job:
        from sobolev import laplacian

        def job(x: Tensor) -> tuple[Tensor, ...]:
            y, J, trace = laplacian(network, x)
            return y, J[:, 0], trace

        return job

    def hessian(self, network: nn.Module, x: Tensor) -> Job:
        from sobolev import hessian

        return lambda x: (hessian(network, x)[2][:, 0],)
