"""Which rows are taken: evenly many of every part, small batches together."""

from types import SimpleNamespace

import pytest
import torch
from cases import Plain

from sobolev.monitor import measured_points
from sobolev.monitor.measured_points import Samples, Sampling


def trainer(batches, fn="fit", rank=0, world_size=1, **options):
    options = {"sanity_checking": False, "num_val_batches": [batches], "num_test_batches": [batches], **options}
    device = SimpleNamespace(root_device=torch.device("cpu"))
    return SimpleNamespace(
        state=SimpleNamespace(fn=fn), global_rank=rank, world_size=world_size, strategy=device, **options
    )


def drawn(sampling, batches, points=None, **options):
    """The samples of one pass."""
    model, ready = Plain(), []
    sampling.begin()
    for batch in batches:
        ready += sampling.take(trainer(len(batches), **options), model, batch, batch[0], points)
    return ready + sampling.rest(trainer(len(batches), **options))


def sampling_of(max_points="auto"):
    return Sampling(max_points, every_n_epochs=1, order=2)


LINE = [(part, part) for part in torch.arange(96.0)[:, None].split(8)]


@pytest.mark.parametrize("most", [1, 7, 50, 100, None])
def test_rows_are_evenly_drawn_across_batches(most):
    ((batch, places),) = drawn(sampling_of(max_points=most), LINE)
    rows = batch[0].flatten()
    assert places is None and min(most or 96, 96) / 2 < len(rows) <= (most or 96)
    assert rows[0] == 0 and (len(rows) == 1 or (rows.diff() == rows[1]).all())


def test_batches_that_cannot_be_joined_come_one_by_one():
    batches = [(torch.rand(4, 1), torch.rand(4, 1)), (torch.rand(4, 1), torch.rand(4, 2))]
    assert [len(batch[0]) for batch, _ in drawn(sampling_of(max_points=None), batches)] == [4, 4]


def test_only_a_training_keeps_its_samples():
    sampling = sampling_of(max_points=None)
    drawn(sampling, LINE, fn="validate")
    assert not sampling.samples
    for _ in range(2):
        drawn(sampling, LINE)
    assert sum(len(batch[0]) for batch, _ in sampling.samples.on(torch.device("cpu"))) == 96


@pytest.mark.parametrize("rank", [0, 1])
def test_own_points_are_shared_among_processes(rank):
    """With the first sample of a batch, once in a pass."""
    points = torch.linspace(0, 4, 5)[:, None]
    ((batch, own),) = drawn(sampling_of(), LINE, points, rank=rank, world_size=2)
    assert own.flatten().tolist() == ([0, 2, 4] if rank == 0 else [1, 3])
    assert len(batch[0]) == 1


def test_where_there_was_no_batch_nothing_is_drawn():
    assert drawn(sampling_of(), []) == []


def test_a_copy_is_kept_while_there_is_room(monkeypatch):
    monkeypatch.setattr(measured_points, "REMEMBERED", 10)
    kept, x = Samples(), torch.ones(6, 1)
    assert not kept
    for _ in range(3):
        kept.add(((x, x[:1]), None))
    x.zero_()
    ((inputs, _), points), *others = kept.on(torch.device("cpu"))
    assert kept and not others and inputs.sum() == 6 and points is None
    kept.clear()
    assert not kept and not kept.complete


def test_one_sample_is_kept_whatever_its_size(monkeypatch):
    monkeypatch.setattr(measured_points, "REMEMBERED", 10)
    (kept := Samples()).add((torch.ones(50), None))
    assert kept


def test_what_the_pass_before_had_in_the_same_place_is_not_copied_again():
    kept, x = Samples(), torch.linspace(0, 1, 6)[:, None]
    for rows in (slice(0, 3), slice(3, 6)):
        kept.add(((x[rows], "name"), None))
    first, second = kept.on(torch.device("cpu"))
    kept.begin()
    same = kept.add(((x[:3].clone(), first[0][1]), None))
    other = kept.add(((x[3:] + 1, "name"), None))
    assert same[0][0].data_ptr() == first[0][0].data_ptr() and torch.equal(other[0][0], x[3:] + 1)
    assert [sample[0][0].sum().item() for sample in kept.on(torch.device("cpu"))] == [x[:3].sum(), (x[3:] + 1).sum()]
    assert torch.equal(second[0][0], x[3:])
    assert kept.add(((x[:3], "name"), None))[0][0].data_ptr() == x.data_ptr()  # nothing stood there before
