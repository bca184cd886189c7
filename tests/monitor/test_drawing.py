"""Which rows are taken: evenly many of every part, small batches together."""

from types import SimpleNamespace

import pytest
import torch
from cases import Plain

from sobolev import DerivativeMonitor
from sobolev.monitor.drawing import Drawing
from sobolev.monitor.forms import Forms


def trainer(batches, fn="fit", rank=0, world_size=1, **options):
    options = {"sanity_checking": False, "num_val_batches": [batches], "num_test_batches": [batches], **options}
    device = SimpleNamespace(root_device=torch.device("cpu"))
    return SimpleNamespace(
        state=SimpleNamespace(fn=fn), global_rank=rank, world_size=world_size, strategy=device, **options
    )


def drawn(drawing, batches, **options):
    """The samples of one pass."""
    model, ready = Plain(), []
    drawing.begin()
    for batch in batches:
        ready += drawing.take(trainer(len(batches), **options), model, batch)
    return ready + drawing.rest(trainer(len(batches), **options), model, batches[0] if batches else None)


def drawing_of(**options):
    monitor = DerivativeMonitor(**options)
    return Drawing(monitor, monitor._watch.forms)


LINE = [(part, part) for part in torch.arange(96.0)[:, None].split(8)]


@pytest.mark.parametrize("most", [1, 7, 50, 100, None])
def test_rows_are_evenly_drawn_across_batches(most):
    ((batch, places),) = drawn(drawing_of(max_points=most), LINE)
    rows = batch[0].flatten()
    assert places is None and min(most or 96, 96) / 2 < len(rows) <= (most or 96)
    assert rows[0] == 0 and (len(rows) == 1 or (rows.diff() == rows[1]).all())


def test_batches_that_cannot_be_joined_come_one_by_one():
    batches = [(torch.rand(4, 1), torch.rand(4, 1)), (torch.rand(4, 1), torch.rand(4, 2))]
    assert [len(batch[0]) for batch, _ in drawn(drawing_of(max_points=None), batches)] == [4, 4]


def test_only_a_training_keeps_its_samples():
    drawing = drawing_of(max_points=None)
    drawn(drawing, LINE, fn="validate")
    assert not drawing.samples
    for _ in range(2):
        drawn(drawing, LINE)
    assert sum(len(batch[0]) for batch, _ in drawing.samples.on(torch.device("cpu"))) == 96


@pytest.mark.parametrize("rank", [0, 1])
def test_own_points_are_shared_among_processes(rank):
    """With the first sample of a batch, also by a process that had none."""
    drawing = drawing_of(points={"x": [0, 4, 5]})
    ((batch, points),) = drawn(drawing, LINE, rank=rank, world_size=2)
    assert points.flatten().tolist() == [0, 2, 4][: 3 - rank] if rank == 0 else [1, 3]
    assert len(batch[0]) == 1
    drawing.begin()
    ((batch, again),) = drawing.rest(trainer(0, rank=rank, world_size=2), Plain(), LINE[0])
    assert torch.equal(again, points)


def test_where_there_was_no_batch_nothing_is_drawn():
    assert drawn(drawing_of(), []) == [] and isinstance(drawing_of()._forms, Forms)
