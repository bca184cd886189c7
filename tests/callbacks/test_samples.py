"""What is kept is a copy, and not without end."""

import torch

from sobolev.callbacks import samples
from sobolev.callbacks.samples import Samples


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
