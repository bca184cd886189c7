"""Some samples of a batch, with what belongs to all of them left alone."""

import torch

from sobolev.monitor.rows import copied, length, numbers, repeated, some_rows

BATCH = {"scale": torch.tensor(2.0), "x": torch.arange(4.0)[:, None], "table": torch.rand(3, 5), "name": "a"}


def test_rows():
    assert length(BATCH) == 4 and length("text") == 1
    some = some_rows(BATCH, slice(1, 4, 2), 4)
    assert some["x"].flatten().tolist() == [1, 3]
    assert some["table"] is BATCH["table"] and some["scale"] is BATCH["scale"] and some["name"] == "a"


def test_the_first_sample_again_and_again():
    assert repeated(some_rows(BATCH, slice(1, None), 4), 5, 3)["x"].flatten().tolist() == [1] * 5


def test_a_copy_is_no_inference_tensor_and_has_no_graph():
    with torch.inference_mode():
        batch = (torch.rand(3), torch.arange(3))
        copy = copied(batch)
    assert not copy[0].is_inference() and torch.equal(copy[0], batch[0].clone()) and copy[0] is not batch[0]
    assert not copied([torch.rand(2, requires_grad=True)])[0].requires_grad


def test_numbers():
    assert numbers(BATCH) == 1 + 4 + 15 and numbers(None) == 0
