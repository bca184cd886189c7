"""Lightning under both names."""

import subprocess
import sys

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from cases import Plain, environment, loader, quiet_trainer

from sobolev import DerivativeMonitor
from sobolev.callbacks.base import is_a, pass_over

X = torch.linspace(-1, 1, 64)[:, None]

SCRIPT = """
import sys, {imports}
names = [name for name in ("lightning.pytorch", "pytorch_lightning") if name in sys.modules] or ["lightning.pytorch"]
import sobolev
monitor = sobolev.DerivativeMonitor()
print(*(name for name in names if isinstance(monitor, sys.modules[name].Callback)))
"""


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("math", "lightning.pytorch"),
        ("lightning, pytorch_lightning", "lightning.pytorch pytorch_lightning"),
    ],
)
def test_a_callback_belongs_to_whichever_was_imported(imports, expected):
    script = [sys.executable, "-W", "ignore", "-c", SCRIPT.format(imports=imports)]
    done = subprocess.run(script, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == expected.split(), done.stderr


def test_a_class_of_either_package_by_its_name():
    for package in (lightning.pytorch, pytorch_lightning):
        assert is_a(package.callbacks.EarlyStopping("x"), "EarlyStopping")
        assert is_a(package.loggers.CSVLogger("x"), "Logger") and not is_a(package.loggers.CSVLogger("x"), "Trainer")


class Own(DerivativeMonitor):
    steps = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self.steps += 1

    def on_after_backward(self, trainer, pl_module):
        super().on_after_backward(trainer, pl_module)
        self.steps += 1


@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_hooks_that_do_nothing_are_passed_over_and_those_of_a_subclass_are_not(tmp_path):
    own, monitor = Own(on_finding="ignore"), DerivativeMonitor(on_finding="ignore", name="other")
    trainer = quiet_trainer(tmp_path, own, monitor, max_epochs=2, logger=False)
    trainer.fit(Plain(), loader(X, X), loader(X, X))
    assert own.steps == 2 * trainer.global_step > 0
    assert own.on_before_backward is None and callable(own.on_validation_batch_end)
    assert monitor.on_after_backward is None and monitor.on_train_batch_start is None
    assert monitor._sampling.training_rows == len(next(iter(loader(X, X)))[0])  # it had been called before


def test_in_other_hands_every_hook_can_be_called(tmp_path):
    monitor = DerivativeMonitor()
    monitor.on_train_batch_start = None
    pass_over(monitor, quiet_trainer(tmp_path))
    assert monitor.on_train_batch_start is not None and monitor.on_before_backward is not None
