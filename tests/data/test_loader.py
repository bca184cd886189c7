import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sobolev.data import BatchLoader
from sobolev.data.loader import EpochBatches


@given(st.integers(1, 300), st.integers(1, 70), st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_every_row_once_and_as_many_batches_on_every_process(rows, size, processes, shuffle, epoch):
    processes = min(processes, rows)
    shards = [EpochBatches(rows, size, shuffle, 7, rank, processes) for rank in range(processes)]
    for shard in shards:
        shard.set_epoch(epoch)
    batches = [list(shard) for shard in shards]
    assert {len(part) for part in batches} == {len(shards[0])}
    assert all(1 <= len(batch) <= size + 1 for part in batches for batch in part)
    assert torch.equal(torch.cat([batch for part in batches for batch in part]).sort().values, torch.arange(rows))
    if processes == 1:
        assert all(len(batch) == size for batch in batches[0][:-1])


def test_order_is_new_each_epoch_and_repeats_for_the_same_one():
    batches = EpochBatches(100, 10, True, seed=3)
    first = torch.cat(list(batches))
    batches.set_epoch(1)
    second = torch.cat(list(batches))
    batches.set_epoch(0)
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.cat(list(batches)))
    assert not torch.equal(first, torch.cat(list(EpochBatches(100, 10, True, seed=4))))


def test_workers_fetch_the_same_batches_and_leave_the_generator_alone():
    tensors = (torch.arange(50.0)[:, None], torch.arange(50.0)[:, None] ** 2)
    plain, working = (BatchLoader(tensors, EpochBatches(50, 8, True), workers) for workers in (0, 1))
    before = torch.get_rng_state()
    for epoch in (0, 1):
        for loader in (plain, working):
            loader.batch_sampler.set_epoch(epoch)
        for a, b in zip(plain, working, strict=True):
            assert torch.equal(a[0], b[0])
            assert torch.equal(a[1], b[1])
    assert torch.equal(before, torch.get_rng_state())


def test_too_few_rows_or_no_batch_are_refused():
    with pytest.raises(ValueError, match=r"1 row\(s\) cannot be shared among 2 processes"):
        EpochBatches(1, 5, False, 0, 0, 2)
    with pytest.raises(ValueError, match="batch_size is 0"):
        EpochBatches(1, 0, False)
