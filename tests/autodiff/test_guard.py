import importlib
import threading
from contextlib import ExitStack

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import sobolev
from sobolev.autodiff.guard import evaluating, guarded, plain_forward, products_are_coarse

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

MODES = {
    "plain": ExitStack,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def switches():
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
        "memory efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "cudnn attention": torch.backends.cuda.cudnn_sdp_enabled(),
        "cudnn": torch.backends.cudnn.enabled,
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.backends.cudnn.deterministic,
        "matmul": torch.backends.cuda.matmul.fp32_precision,
        "mkldnn": torch.backends.mkldnn.fp32_precision,
        "stance": torch._dynamo.eval_frame._stance.stance,
    }


INSIDE = {"grad": True, "inference": False, "autocast": False, "fast path": False, "flash": False, "math": True}


@pytest.fixture(autouse=True)
def dynamo():
    importlib.import_module("torch._dynamo")  # as if somebody had compiled something


@pytest.fixture(autouse=True)
def _one_precision_for_cudnn():
    """Where its operations differ, PyTorch refuses to read the older name, in whatever test comes next."""
    yield
    torch.backends.cudnn.allow_tf32 = True


@pytest.fixture
def restored():
    """Puts the settings of the process back."""
    before = torch.get_float32_matmul_precision(), torch.backends.mkldnn.fp32_precision, torch.backends.cudnn.enabled
    yield
    torch.backends.cuda.matmul.fp32_precision = "none"
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cuda.matmul.fp32_precision = "none"
    torch.backends.mkldnn.fp32_precision = before[1]
    torch.backends.cudnn.enabled = before[2]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_right_inside_and_restored_outside(mode, fails, device):
    with mode():
        before = switches()
        try:
            with guarded(device):
                inside = switches()
                assert {**inside, **INSIDE} == {**inside, "autocast": False} or device is CUDA
                assert inside["stance"] == "force_eager"
                assert inside["cudnn"] is (device is CPU)
                x = torch.ones(2, 2, requires_grad=True)
                assert (x @ x).dtype == torch.float32 or device is CUDA
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
        assert switches() == before


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_plain_forward_leaves_gradients_as_they_are(mode):
    with mode():
        before = switches()
        with pytest.raises(KeyError), plain_forward(CPU):
            inside = switches()
            assert not inside["inference"] and not inside["autocast"]
            assert inside["stance"] == "force_eager"
            assert inside["fast path"] == before["fast path"]
            raise KeyError
        assert switches() == before


def test_a_users_own_switches_come_back(restored):
    torch.backends.cudnn.enabled = False
    torch.backends.mha.set_fastpath_enabled(False)
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        before = switches()
        with guarded(CUDA):
            pass
        assert switches() == before
        assert not before["fast path"] and not before["flash"] and not before["cudnn"]
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
        torch.backends.cuda.enable_flash_sdp(True)


@pytest.mark.parametrize("how", ["high", "medium", "newer name", "both names"])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_float32_products_are_float32(restored, how, device):
    if how == "newer name":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    else:
        torch.set_float32_matmul_precision("high" if how == "both names" else how)
    if how == "both names":
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    before = switches()
    for context in (guarded, plain_forward):
        with context(device):
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
            assert torch.backends.cuda.matmul.allow_tf32 is False
        assert switches() == before


def test_precisions_by_their_newer_names_are_no_error(restored):
    """`torch.backends.cudnn.flags` raises here."""
    before = torch.backends.cudnn.conv.fp32_precision
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    try:
        with guarded(CUDA):
            assert not torch.backends.cudnn.enabled
    finally:
        torch.backends.cudnn.conv.fp32_precision = before


OPERATIONS = {
    CPU: [(torch.backends.mkldnn, kind) for kind in ("matmul", "conv", "rnn")],
    CUDA: [(torch.backends.cuda, "matmul"), (torch.backends.cudnn, "conv"), (torch.backends.cudnn, "rnn")],
}


def precisions():
    return [getattr(module, kind).fp32_precision for places in OPERATIONS.values() for module, kind in places]


@pytest.mark.parametrize(("device", "place"), [(device, p) for device, places in OPERATIONS.items() for p in places])
def test_each_operations_own_precision_is_switched_off_and_comes_back(device, place):
    home = getattr(*place)
    before = home.fp32_precision
    home.fp32_precision = "tf32"
    try:
        outside = precisions()
        assert products_are_coarse(device)
        with plain_forward(device):
            assert set(precisions()) == {"ieee"}
        with guarded(device, exact=False):
            assert precisions() == outside
        assert precisions() == outside
    finally:
        home.fp32_precision = before


def test_convolutions_on_a_gpu_are_coarse_unless_told_otherwise():
    assert not products_are_coarse(CPU)
    assert products_are_coarse(CUDA)
    torch.backends.cudnn.allow_tf32 = False
    try:
        assert not products_are_coarse(CUDA)
    finally:
        torch.backends.cudnn.allow_tf32 = True


def test_what_is_inherited_stays_inherited():
    torch.backends.fp32_precision = "tf32"
    try:
        with plain_forward(CPU):
            pass
    finally:
        torch.backends.fp32_precision = "none"
    assert torch.backends.mkldnn.conv.fp32_precision == "none"


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
    with guarded(CPU):
        with pytest.raises(KeyError), guarded(CUDA), torch.no_grad(), guarded(CPU):
            assert torch.is_grad_enabled()
            raise KeyError
        assert torch.is_grad_enabled()
        assert switches()["stance"] == "force_eager" and not torch.backends.mha.get_fastpath_enabled()
        assert torch.backends.cudnn.enabled
    assert switches() == before


def test_threads_that_leave_in_the_order_they_came():
    """The first to come must not take the guard from the second, nor the second leave it behind."""
    before, inside, seen = switches(), [threading.Event(), threading.Event()], {}
    leave = [threading.Event(), threading.Event()]

    def stay(number):
        with guarded(CPU):
            inside[number].set()
            leave[number].wait(20)
            seen[number] = switches()

    threads = [threading.Thread(target=stay, args=(number,)) for number in range(2)]
    for thread, event in zip(threads, inside, strict=True):
        thread.start()
        assert event.wait(20)
    for thread, event in zip(threads, leave, strict=True):
        event.set()
        thread.join(20)
    assert all(seen[n]["grad"] and not seen[n]["fast path"] and seen[n]["stance"] == "force_eager" for n in range(2))
    assert switches() == before


def test_many_threads_find_the_same_second_derivative():
    net, x = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), torch.linspace(-1, 1, 20)[:, None]
    expected, found, before = sobolev.derivatives(net, x, method="reverse"), [], switches()

    def work():
        found.extend(sobolev.derivatives(net, x, method="reverse")[2] for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40 and all(torch.equal(d2, expected[2]) for d2 in found)
    assert switches() == before


def test_evaluating_gives_every_module_its_own_flag_back():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    net[1][0].eval()
    flags = [module.training for module in net.modules()]
    with pytest.raises(KeyError), evaluating(net):
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert [module.training for module in net.modules()] == flags


def test_evaluating_calls_nobodys_eval():
    class Merging(nn.Linear):
        def train(self, mode=True):
            self.weight.data *= 2
            return super().train(mode)

    net = nn.Sequential(Merging(1, 1))
    weight = net[0].weight.clone()
    with evaluating(net):
        assert not net[0].training
    assert torch.equal(net[0].weight, weight) and net[0].training


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_evaluating_a_frozen_script():
    frozen = torch.jit.freeze(torch.jit.script(nn.Linear(1, 1).eval()))
    holder = nn.ModuleList([frozen, nn.Dropout()])
    with evaluating(holder):
        assert not holder[1].training
    assert holder[1].training
