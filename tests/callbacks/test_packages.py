"""Lightning under both names."""

import subprocess
import sys

import lightning.pytorch
import pytest
import pytorch_lightning
from cases import environment

from sobolev.callbacks.packages import is_a

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
        ("lightning", "lightning.pytorch"),
        ("pytorch_lightning", "pytorch_lightning"),
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
