"""What SelfScaledBFGS and LBFGS share: where they end, what they survive, and what they refuse."""

import copy
import io
import os
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from torch import nn

from sobolev import MLP, FunctionData, Regressor
from sobolev.optimizers import LBFGS, SelfScaledBFGS

BOTH = pytest.mark.parametrize("kind", [SelfScaledBFGS, LBFGS])


def minimised(kind, function, start, steps=10, **options):
    """The parameters after some steps, and how often the function was computed."""
    x = nn.Parameter(torch.as_tensor(start, dtype=torch.float64).clone())
    optimizer = kind([x], **options)
    calls = run(optimizer, lambda: function(x), steps)
    return x.detach(), calls


def run(optimizer, function, steps):
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = function()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return calls


def rosenbrock(x):
    """Least at (1, ..., 1): Rosenbrock (1960), in any number of dimensions."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@BOTH
@given(seed=st.integers(0, 2**31), size=st.integers(1, 12))
@settings(max_examples=30)
def test_a_quadratic_is_solved_to_rounding(kind, seed, size):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, dtype=torch.float64, generator=generator)
    matrix = root @ root.T + torch.eye(size, dtype=torch.float64)
    solution = torch.randn(size, dtype=torch.float64, generator=generator)
    found, _ = minimised(kind, lambda x: (x - solution) @ matrix @ (x - solution), torch.zeros(size), steps=5)
    torch.testing.assert_close(found, solution, rtol=0, atol=1e-9)


@BOTH
@pytest.mark.parametrize("start", [[-1.2, 1.0], [-1.2, 1.0] * 5])
def test_rosenbrocks_valley(kind, start):
    found, calls = minimised(kind, rosenbrock, start, steps=15)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-9)
    assert calls < 600


@BOTH
@pytest.mark.parametrize("power", [-300, -60, 60, 300])
def test_the_unit_of_the_loss_does_not_matter(kind, power):
    """A loss times a power of 2 gives the same numbers bit for bit: no threshold is absolute."""
    start = [-1.2, 1.0, 0.5]
    usual, _ = minimised(kind, rosenbrock, start, steps=2)
    scaled, _ = minimised(kind, lambda x: 2.0**power * rosenbrock(x), start, steps=2)
    assert torch.equal(usual, scaled)


@BOTH
def test_a_loss_that_is_no_number_beyond_a_wall(kind):
    """x - log(x) is least at 1; x < 0 is NaN, and exp(1000 x) is infinite soon."""
    found, _ = minimised(kind, lambda x: (x - x.log()).sum(), [0.01, 30.0])
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-7)
    found, _ = minimised(kind, lambda x: ((1000 * x).exp() - 2000 * x).sum(), [-1.0])
    torch.testing.assert_close(found, torch.full_like(found, torch.tensor(2.0).log() / 1000), rtol=1e-5, atol=0)


@BOTH
def test_a_kink_does_no_harm(kind):
    found, _ = minimised(kind, lambda x: x.abs().sum(), [3.0, -2.0])
    assert found.abs().sum() < 0.5 and found.isfinite().all()


@BOTH
def test_a_flat_loss_and_a_minimum_are_left_alone(kind):
    found, calls = minimised(kind, lambda x: 0 * x.sum() + 1, [2.0, 3.0], steps=4)
    assert found.tolist() == [2.0, 3.0] and calls == 4
    found, calls = minimised(kind, rosenbrock, [1.0, 1.0], steps=4)
    assert found.tolist() == [1.0, 1.0] and calls == 4


@BOTH
def test_what_has_converged_costs_one_evaluation_a_step(kind):
    x = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = kind([x])
    run(optimizer, lambda: (x - 1).square().sum(), 6)
    before = x.detach().clone()
    assert run(optimizer, lambda: (x - 1).square().sum(), 5) == 5
    assert torch.equal(x, before)
    run(optimizer, lambda: (x - 2).square().sum(), 3)  # another batch: on it goes
    torch.testing.assert_close(x.detach(), torch.full_like(x, 2), rtol=0, atol=1e-9)


@BOTH
def test_groups_are_one_vector(kind):
    """The same bits as in one group; a learning rate of 0 at the end of a schedule stops nothing."""
    start = torch.tensor([-1.2, 1.0, 0.3], dtype=torch.float64)
    whole, _ = minimised(kind, rosenbrock, start, steps=3)
    a, b, unused = (nn.Parameter(part.clone()) for part in (start[:1], start[1:], start))
    optimizer = kind([{"params": [a]}, {"params": [b, unused]}])
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.0)
    for _ in range(3):
        run(optimizer, lambda: rosenbrock(torch.cat([a, b])), 1)
        scheduler.step()
    assert torch.equal(torch.cat([a, b]).detach(), whole) and torch.equal(unused.detach(), start)


@BOTH
def test_complex_and_single_precision_parameters(kind):
    z = nn.Parameter(torch.zeros(2, dtype=torch.complex128))
    w = nn.Parameter(torch.zeros(2, 2))
    target = torch.tensor([1 + 2j, -3j], dtype=torch.complex128)
    run(kind([z, w]), lambda: (z - target).abs().square().sum() + (w - 5).square().sum().double(), 3)
    torch.testing.assert_close(z.detach(), target, rtol=0, atol=1e-6)
    torch.testing.assert_close(w.detach(), torch.full_like(w, 5), rtol=1e-6, atol=0)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_saved_state_goes_on_bit_for_bit(kind, dtype):
    def fresh(steps, saved=None):
        x = nn.Parameter(torch.tensor([-1.2, 1.0, 2.0], dtype=dtype))
        optimizer = kind([x], iterations=4)
        if saved is not None:
            saved.seek(0)
            state = torch.load(saved, weights_only=True)
            optimizer.load_state_dict(state["optimizer"])
            x.data.copy_(state["x"])
        run(optimizer, lambda: rosenbrock(x), steps)
        return x, optimizer

    file = io.BytesIO()
    x, optimizer = fresh(2)
    torch.save({"x": x.detach(), "optimizer": optimizer.state_dict()}, file)
    assert torch.equal(fresh(3, file)[0], fresh(5)[0])


@BOTH
def test_a_loaded_state_is_a_copy(kind):
    x, y = (nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64)) for _ in range(2))
    first, second = kind([x], iterations=3), kind([y], iterations=3)
    run(first, lambda: rosenbrock(x), 1)
    second.load_state_dict(first.state_dict())
    before = copy.deepcopy(first.state_dict()["state"])
    run(second, lambda: rosenbrock(y), 2)
    assert str(before) == str(first.state_dict()["state"]) != str(second.state_dict()["state"])


@BOTH
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_state_saved_on_the_gpu_and_loaded_on_the_cpu_and_back(kind):
    x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64, device="cuda"))
    optimizer = kind([x], iterations=3)
    run(optimizer, lambda: rosenbrock(x), 1)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    run(optimizer, lambda: rosenbrock(x), 20)
    torch.testing.assert_close(x.detach().cpu(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-8)


@BOTH
def test_refusals(kind):
    x = nn.Parameter(torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="iterations is 0; it is a whole number, 1 or more"):
        kind([x], iterations=0)
    with pytest.raises(ValueError, match="needs a closure"):
        kind([x]).step()
    with pytest.raises(ValueError, match=r"the loss is nan .* before the first step"):
        run(kind([x]), lambda: (x - 2).log().sum(), 1)
    with pytest.raises(ValueError, match="gradient has 2 entries that are not finite"):
        run(kind([x]), lambda: (x - 1).sqrt().sum(), 1)
    assert x.tolist() == [1.0, 1.0]
    embedding = nn.Embedding(3, 2, sparse=True)
    with pytest.raises(ValueError, match=r"shape \(3, 2\) is sparse.*sparse=False"):
        run(kind(embedding.parameters()), lambda: embedding(torch.tensor([0, 2])).square().sum(), 1)


@BOTH
def test_gradients_that_are_not_the_closure_s_own_are_refused(kind):
    """A line search along gradients of several batches, or along clipped ones, ends anywhere."""
    x = nn.Parameter(torch.tensor([3.0, -2.0], dtype=torch.float64))

    def accumulating():
        loss = x.square().sum()
        loss.backward()
        return loss

    x.grad = torch.ones_like(x)
    with pytest.raises(ValueError, match="cannot accumulate gradients"):
        kind([x]).step(accumulating)

    def clipping():
        x.grad = None
        loss = accumulating()
        nn.utils.clip_grad_norm_([x], 0.1)
        return loss

    with pytest.raises(ValueError, match="changed after backward"):
        kind([x]).step(clipping)
    assert x.tolist() == [3.0, -2.0]
    x.grad = None
    kind([x]).step(accumulating)  # nothing was left by another batch
    assert x.abs().max() < 1e-6


@BOTH
def test_a_closure_that_returns_none_passes_its_batch_over(kind):
    x = nn.Parameter(torch.ones(2, dtype=torch.float64))
    x.grad = torch.full_like(x, 5.0)
    assert kind([x]).step(lambda: None) is None
    assert x.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [5.0, 5.0]


# In Lightning


def fitted(kind, epochs, checkpoint=None, module=None, **settings):
    torch.manual_seed(0)
    data = FunctionData("x**2", samples=200, batch_size=200, validation_samples=50, test_samples=50)
    module = module or Regressor(MLP(hidden=(8,), activation="tanh"), optimizer=kind)
    trainer = Trainer(
        accelerator="cpu", devices=1, precision="64-true", max_epochs=epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **settings,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return trainer, module


@BOTH
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended")
def test_automatic_optimisation_and_resuming(kind, tmp_path):
    """The learning rate of the default schedule falls to 0 and changes nothing."""
    whole, module = fitted(kind, 30)
    assert float(whole.callback_metrics["val/loss"]) < 1e-6
    half, _ = fitted(kind, 12)
    half.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed = fitted(kind, 30, tmp_path / "half.ckpt")
    pairs = zip(module.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class Skipping(Regressor):
    def training_step(self, batch, batch_idx):
        return None if self.trainer.current_epoch == 1 else super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore:.training_step. returned .None.")
def test_a_training_step_may_return_none():
    module = Skipping(MLP(hidden=(8,), activation="tanh"), optimizer=SelfScaledBFGS)
    trainer, _ = fitted(SelfScaledBFGS, 20, module=module)
    assert float(trainer.callback_metrics["val/loss"]) < 1e-4


@pytest.mark.parametrize("kind", [SelfScaledBFGS, LBFGS, torch.optim.LBFGS])
def test_settings_that_mix_or_cut_gradients_are_refused_before_the_training(kind):
    for setting in ({"accumulate_grad_batches": 2}, {"gradient_clip_val": 0.5}):
        with pytest.raises(ValueError, match=f"leave out trainer.{next(iter(setting))}"):
            fitted(kind, 1, **setting)


# Several processes


def sharded(rank, address, results):
    """Each process has another part of a quadratic; the gradient is the mean, as DistributedDataParallel makes it."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    x = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = SelfScaledBFGS([x])

    def closure():
        optimizer.zero_grad()
        loss = (100 if rank else 1) * (x - 3 * rank).square().sum()
        loss.backward()
        torch.distributed.all_reduce(x.grad)
        x.grad /= 2
        return loss

    optimizer.step(closure)
    torch.save(x.detach(), f"{results}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(os.name == "nt", reason="gloo is not set up everywhere on Windows")
def test_all_processes_take_the_same_steps(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.multiprocessing.spawn(sharded, (tmp_path / "meeting", tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, torch.full_like(first, 300 / 101), rtol=1e-9, atol=0)
