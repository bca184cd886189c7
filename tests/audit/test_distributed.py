import pytest
import torch
from torch import nn

import sobolev
from sobolev.audit.distributed import calculates_in_pieces, is_in_pieces, whole, without_distributed

X = torch.linspace(-1, 1, 24)[:, None]


@pytest.fixture
def mesh():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).eval()


@pytest.mark.parametrize("called", [False, True])
def test_fully_sharded_models_are_left_as_they_were(mesh, called):
    """Between two layers their weights have no memory, and after a call the outermost ones are gathered."""
    from torch.distributed.fsdp import fully_shard

    net = network()
    fully_shard(net[2], mesh=mesh)
    fully_shard(net, mesh=mesh)
    if called:
        net(X)
    assert not calculates_in_pieces(net.modules())
    audit = sobolev.audit(net, X)
    assert not audit.findings
    assert audit.errors == pytest.approx(sobolev.audit(network(), X).errors, rel=0.01)
    torch.testing.assert_close(net(X), network()(X))
    net(X).sum().backward()
    assert all(whole(parameter.grad).isfinite().all() for parameter in net.parameters())


def test_tensor_parallelism_is_said(mesh):
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    net = parallelize_module(network(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    assert is_in_pieces(net[0].weight)
    torch.testing.assert_close(whole(net[0].weight), network()[0].weight.detach())
    (finding,) = sobolev.audit(net, X).findings
    assert (finding.kind, finding.severity) == ("distributed", "error")
    assert not any(is_in_pieces(parameter) for parameter in network().parameters())


def test_hooks_of_others_stay():
    net = network()
    net.register_forward_hook(print)
    assert list(without_distributed(net._forward_hooks).values()) == [print]
