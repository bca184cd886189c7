"""Shapes are checked while the tests run; warnings of other people's packages that no test is about are silenced."""

# Before our callbacks, whichever test file comes first: they then belong to both packages.
import lightning.pytorch  # noqa: F401
import pytest
import pytorch_lightning  # noqa: F401
import torch
from hypothesis import settings

settings.register_profile("any machine", deadline=None, derandomize=True)  # a failure of one run is one of all
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)
