"""Ways to call forward, the likeliest first."""

import pytest
import torch
from cases import Plain, loader, quiet_trainer
from torch import nn

from sobolev import DerivativeMonitor
from sobolev.monitor.forward import Observer, calls, floating, taken

X, T, IDS = torch.rand(3, 1), torch.rand(3, 1), torch.arange(3)


class By(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.forward = forward


def whole(batch):
    return batch


def two(x, t, ids=None):
    return x


@pytest.mark.parametrize(
    ("forward", "batch", "paths"),
    [
        (two, (X, T, IDS), ["0", "1"]),
        (two, {"ids": IDS, "t": T, "x": X, "y": X}, ["ids", "t", "x"]),
        (whole, {"x": X, "ids": IDS}, ["x", "ids"]),
        (two, ({"x": X, "t": T}, IDS), ["0.x", "0.t"]),
    ],
)
def test_the_first_way_hands_over_what_forward_asks_for(forward, batch, paths):
    first = next(calls(By(forward), batch, None))
    assert taken(first, batch) == paths
    args, kwargs = first.of(batch)
    forward(*args, **kwargs)


def test_targets_among_the_arguments_cannot_be_told_apart():
    batch = {"x": X, "y": T}
    first = next(calls(By(whole), batch, None))
    assert first.whole and floating(first, batch) == ()
    assert floating(next(calls(By(two), (X, T, IDS), None)), (X, T, IDS)) == ("0", "1")


X, Y = torch.linspace(-1, 1, 32)[:, None], torch.linspace(2, 3, 32)[:, None]

pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")


class Scaled(Plain):
    """Its second argument is no entry of a batch."""

    def forward(self, x, scale):
        return super().forward(x) * scale

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self(batch[0], 2.0), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", nn.functional.mse_loss(self(batch[0], scale=torch.tensor(2.0)), batch[1]))

    test_step = validation_step


class Field(Plain):
    """Takes both entries: points in time and space, without targets."""

    def forward(self, x, t):
        return super().forward(x) * t

    def training_step(self, batch, batch_idx):
        return self(*batch).square().mean()

    def validation_step(self, batch, batch_idx):
        x, t = (item.clone().requires_grad_() for item in batch)
        self(x, t)


class Silent(Field):
    def validation_step(self, batch, batch_idx):
        pass


def fitted(folder, module, **options):
    monitor = DerivativeMonitor(**{"order": 1, "on_finding": "ignore", **options})
    trainer = quiet_trainer(folder, monitor, max_epochs=1, logger=False)
    trainer.fit(module, loader(X, Y), loader(X, Y))
    return monitor, trainer


def test_what_the_steps_hand_over_is_what_is_measured(tmp_path):
    monitor, trainer = fitted(tmp_path, module := Scaled(), reference="x**2")
    with torch.no_grad():
        expected = (module(X, 2.0) - X**2).square().mean().sqrt().item()
    assert monitor.errors[0]["rmse"] == pytest.approx(expected, rel=1e-5)
    assert not module._forward_pre_hooks
    trainer.test(module, loader(X, Y), verbose=False)
    assert monitor.errors[0]["rmse"] == pytest.approx(expected, rel=1e-5)


def test_the_batch_holds_the_targets_then(tmp_path):
    monitor, _ = fitted(tmp_path, module := Scaled())
    with torch.no_grad():
        expected = (module(X, 2.0) - Y).square().mean().sqrt().item()
    assert monitor.errors[0]["rmse"] == pytest.approx(expected, rel=1e-5) and "rms" in monitor.errors[1]


def test_both_are_inputs_where_the_steps_say_so(tmp_path):
    monitor, _ = fitted(tmp_path, Field())
    assert len(monitor.errors[1]["at"]) == 2


def test_what_no_step_shows_is_asked_for(tmp_path):
    with pytest.raises(TypeError, match="the last of which may be the targets"):
        fitted(tmp_path, Silent(), on_finding="raise")
    monitor, _ = fitted(tmp_path, Silent(), inputs=[0, 1])
    assert len(monitor.errors[1]["at"]) == 2


def test_a_tensor_of_the_steps_own_making_is_no_answer():
    observer, module = Observer(), Field()
    observer.begin(module, (X, Y))
    module(X + 1, Y)
    assert observer.arguments((X, Y)) is None and not module._forward_pre_hooks
    observer.begin(module, (X,))
    assert not module._forward_pre_hooks  # one tensor of two arguments: nothing to be seen
