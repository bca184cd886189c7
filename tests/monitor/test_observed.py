"""How a module's own steps call its forward, where signature and batch do not tell."""

import pytest
import torch
from cases import Plain, loader, quiet_trainer
from torch import nn

from sobolev import DerivativeMonitor
from sobolev.monitor.observed import Observer

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
    monitor = DerivativeMonitor(order=1, on_finding="ignore", **options)
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
        fitted(tmp_path, Silent())
    monitor, _ = fitted(tmp_path, Silent(), inputs=[0, 1])
    assert len(monitor.errors[1]["at"]) == 2


def test_a_tensor_of_the_steps_own_making_is_no_answer():
    observer, module = Observer(), Field()
    observer.begin(module, (X, Y))
    module(X + 1, Y)
    assert observer.arguments((X, Y)) is None and not module._forward_pre_hooks
    observer.begin(module, (X,))
    assert not module._forward_pre_hooks  # one tensor of two arguments: nothing to be seen
