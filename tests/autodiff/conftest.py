"""The ways of large batches are tested on small ones."""

import pytest

from sobolev.autodiff import algorithms


@pytest.fixture(autouse=True)
def _small_batches_go_the_way_of_large_ones(monkeypatch, request):
    if request.module.__name__.rpartition(".")[2] != "test_algorithms":
        monkeypatch.setattr(algorithms, "_FEWEST_ENTRIES", {})
