import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from sobolev.autodiff.guard import evaluating, guarded

CPU = torch.device("cpu")


def switches():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.math_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
    )


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
@pytest.mark.parametrize("fails", [False, True])
def test_right_inside_and_restored_outside(mode, fails):
    with mode():
        before = switches()
        try:
            with guarded(CPU):
                assert switches()[:4] == (True, False, False, False)
                x = torch.ones(2, 2, requires_grad=True)
                assert (x @ x).dtype == torch.float32
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
        assert switches() == before


def test_attention_has_second_derivatives():
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    with guarded(CPU):
        y = F.scaled_dot_product_attention(x, x, x)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
    assert second.isfinite().all()


def test_compiled_code_runs_eagerly():
    compiled = torch.compile(torch.sin, backend="aot_eager")
    x = torch.ones(3, requires_grad=True)
    with guarded(CPU):
        (first,) = torch.autograd.grad(compiled(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, -torch.sin(torch.ones(3)))


def test_nests():
    before = switches()
    with guarded(CPU), guarded(CPU):
        assert torch.is_grad_enabled()
    assert switches() == before


def test_evaluating_gives_every_module_its_own_flag_back():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    net[1][0].eval()
    flags = [module.training for module in net.modules()]
    with pytest.raises(KeyError), evaluating(net):
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert [module.training for module in net.modules()] == flags
