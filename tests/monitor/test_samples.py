"""What is kept is a copy, and not without end."""

import torch

from sobolev.monitor import samples
from sobolev.monitor.samples import Samples


def test_a_copy_is_kept_while_there_is_room(monkeypatch):
    monkeypatch.setattr(samples, "REMEMBERED", 10)
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
    monkeypatch.setattr(samples, "REMEMBERED", 10)
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
