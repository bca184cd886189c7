"""One adapter per library: what it offers of our jobs, by its fastest public way."""

from benchmarks.peers import deepxde, jet, nested, neurodiffeq, omnibias, pina, sobolev, torch_func, torchphysics
from benchmarks.peers.base import NotOffered, Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        sobolev.Sobolev(),
        nested.Nested(),
        torch_func.TorchFunc(),
        deepxde.DeepXDE(),
        neurodiffeq.NeuroDiffEq(),
        torchphysics.TorchPhysics(),
        pina.Pina(),
        omnibias.Omnibias(),
        jet.Jet(),
    )
}
"""Every peer by name; ourselves first."""

__all__ = ["PEERS", "NotOffered", "Peer"]
