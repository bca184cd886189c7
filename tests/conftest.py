"""Shapes are checked while the tests run; warnings of other people's packages that no test is about are silenced."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)
