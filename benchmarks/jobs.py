"""From a peer and a case to something that can be called, checked and timed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.peers import NotOffered, Peer
from benchmarks.peers.base import Job

Run = Callable[[], tuple[Tensor, ...]]


def prepared(peer: Peer, case: Case, network: nn.Module, x: Tensor, compiled: bool = False) -> Run:
    """The case done by the peer; gradients of all weights are the result of a training step."""
    if compiled and not peer.compiles:
        raise NotOffered("not meant to be compiled")
    if case.job == "training":
        return _training(peer.derivatives(network, case.order, x), network, x, compiled)
    if case.job == "derivatives":
        return _inference(peer.derivatives(network, case.order, x), x, compiled)
    return _inference(getattr(peer, case.job)(network, x), x, compiled)


def _inference(job: Job, x: Tensor, compiled: bool) -> Run:
    evaluate = _compiled(job) if compiled else job

    def run() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return evaluate(x)

    return run


def _training(derivatives: Job, network: nn.Module, x: Tensor, compiled: bool) -> Run:
    """Sobolev training towards x²: the sum of three mean squared errors."""
    weights = list(network.parameters())

    def loss(x: Tensor) -> Tensor:
        targets = (x**2, 2 * x, torch.full_like(x, 2.0))
        errors = zip(derivatives(x), targets, strict=True)
        return sum(nn.functional.mse_loss(y, target) for y, target in errors)

    evaluate = _compiled(loss) if compiled else loss

    def run() -> tuple[Tensor, ...]:
        return torch.autograd.grad(evaluate(x), weights, allow_unused=True, materialize_grads=True)

    return run


def _compiled(function):
    return torch.compile(function, dynamic=False)
