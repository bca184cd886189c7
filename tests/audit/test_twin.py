import copy
import random

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from sobolev.audit.twin import Double, Widening, isolated, plainly, widened


class Restless(nn.Module):
    """Writes to everything it holds at every call."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("mean", torch.zeros(2))
        self.calls, self.cache, self.plain = 0, {}, torch.ones(2)

    def forward(self, x):
        self.calls += 1
        self.cache["x"] = x
        self.mean.add_(x.detach().mean(0))
        self.plain *= 2
        with torch.no_grad():
            self.linear.weight.add_(1)
        self.linear.bias.grad = torch.ones_like(self.linear.bias)
        self.extra = nn.Linear(1, 1)
        return self.linear(x) + torch.randn(2, dtype=x.dtype) + random.random() + np.random.rand()  # noqa: NPY002


def test_all_that_a_forward_writes_is_undone():
    module = Restless()
    module.linear.weight.requires_grad_(False)
    before, weights = copy.deepcopy(module.state_dict()), dict(module.named_parameters())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    with isolated(module.modules(), double=True):
        assert module(torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float64
        module.eval()
    for name, value in module.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])
    assert all(parameter is weights[name] for name, parameter in module.named_parameters())
    assert (module.calls, module.cache, module.training) == (0, {}, True)
    assert torch.equal(module.plain, torch.ones(2))
    assert module.linear.bias.grad is None
    assert not module.linear.weight.requires_grad
    assert not hasattr(module, "extra")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2][1])  # noqa: NPY002


def test_all_is_undone_after_an_exception():
    module = nn.Linear(2, 2)
    weight = module.weight
    with pytest.raises(RuntimeError, match="halfway"), isolated([module], double=True):
        assert module.weight is not weight
        raise RuntimeError("halfway")
    assert module.weight is weight


def test_a_shared_tensor_stays_shared():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    with isolated(module.modules(), double=True):
        assert module[1].weight is module[0].weight
        assert module[0].weight.dtype == torch.float64


def test_lstm_sees_its_double_weights():
    module = nn.LSTM(2, 3)
    with isolated([module], double=True):
        assert module(torch.ones(4, 1, 2, dtype=torch.float64))[0].dtype == torch.float64
    assert module(torch.ones(4, 1, 2))[0].dtype == torch.float32


def test_a_module_that_converts_to_its_own_precision_computes_in_float64():
    class Converting(LightningModule):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x):
            return self.linear(x.to(self.dtype))

    module, x = Converting(), torch.rand(3, 2, dtype=torch.float64)
    with isolated(list(module.modules()), double=True):
        assert module(x).dtype == torch.float64
    assert module(x).dtype == module.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_torchscript():
    module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    before = copy.deepcopy(module.state_dict())
    pointers = [parameter.data_ptr() for parameter in module.parameters()]
    with isolated(module.modules(), double=True):
        module(torch.randn(5, 2, dtype=torch.float64))
    assert pointers == [parameter.data_ptr() for parameter in module.parameters()]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_double_mode_widens_constants_casts_and_closures():
    weight = torch.ones(1, 1)
    with Double():
        y = (torch.ones(2, 1, dtype=torch.float64).float() @ weight).half() + torch.linspace(0, 1, 1)
        assert y.dtype == torch.float64
        assert isinstance(y.shape[:1], torch.Size)
    assert weight.dtype == torch.float32


def test_double_mode_widens_what_lies_in_lists_and_keywords():
    narrow = torch.ones(2)
    with Double():
        assert torch.cat([narrow, narrow]).dtype == torch.float64
        assert torch.cat(tensors=(narrow, narrow)).dtype == torch.float64
        assert torch.ones(2, dtype=torch.float32).dtype == torch.float64
        assert all(part.dtype == torch.float64 for part in torch.tensor([0.5, 2.0]).frexp()[:1])
        assert nn.functional.linear(nn.Parameter(narrow), nn.Parameter(narrow[None])).dtype == torch.float64


def test_arithmetic_of_ours_is_left_alone():
    @plainly
    def halved(x, *, by):
        return (x / by).float()

    with Double():
        found, other = halved(torch.ones(1, dtype=torch.float64), by=2), torch.ones(1)
    assert (found.dtype, other.dtype) == (torch.float32, torch.float64)


def test_widened():
    assert widened(torch.float16) is torch.float64
    assert widened(torch.ones(1, dtype=torch.complex64)).dtype == torch.complex128
    assert widened(torch.ones(1, dtype=torch.int32)).dtype == torch.int32
    assert widened("float32") == "float32"


def test_what_has_been_widened_once_is_looked_at_for_good():
    narrow, widening = torch.ones(3), Widening()
    for _ in range(2):
        with widening:
            assert (narrow * 2).dtype == torch.float64
        widening.relax()
    assert (narrow * 2).dtype == torch.float32


def test_where_nothing_was_widened_nobody_looks_any_more():
    wide, widening = torch.ones(3, dtype=torch.float64), Widening()
    with widening, widening:
        assert torch._C._len_torch_function_stack() == 1
        wide.sin().sum()
    widening.relax()
    with widening:
        assert torch._C._len_torch_function_stack() == 0
