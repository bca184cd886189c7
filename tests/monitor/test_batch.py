"""Containers of every kind keep their type and what is not touched."""

import dataclasses
from collections import OrderedDict, UserDict, namedtuple
from types import MappingProxyType

import pytest
import torch

from sobolev.monitor.batch import (
    alike,
    copied,
    described,
    entry,
    joined_batches,
    leaves,
    length,
    mapped,
    numbers,
    repeated,
    replaced,
    some_rows,
)

Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: object
    b: object


CONTAINERS = [
    {"a": 1, "b": 2}, OrderedDict(a=1, b=2), UserDict(a=1, b=2), MappingProxyType({"a": 1, "b": 2}),
    Pair(1, 2), Frozen(1, 2),
]  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: type(c).__name__)
def test_entries_by_name(container):
    assert dict(leaves(container)) == {"a": 1, "b": 2}
    changed = replaced({"outer": [0, container]}, "outer.1.a", 7)
    assert entry(changed, "outer.1.a") == 7 and entry(changed, "outer.1.b") == 2 and entry(container, "a") == 1
    if not isinstance(container, MappingProxyType):
        assert type(changed["outer"][1]) is type(container)


@pytest.mark.parametrize("container", [[1, 2, [3]], (1, 2, (3,)), Pair(1, 2)])
def test_entries_by_position(container):
    assert entry(container, 1) == entry(container, "1") == 2 and entry(container, "-2") in (1, 2)
    assert entry(replaced(container, 0, 9), 0) == 9 and type(replaced(container, 0, 9)) is type(container)


def test_keys_that_are_numbers_and_a_batch_that_is_a_tensor():
    assert entry({0: "zero"}, 0) == "zero" and replaced({0: "zero"}, 0, 1) == {0: 1}
    tensor = torch.rand(2)
    assert entry(tensor, "") is tensor and list(leaves(tensor)) == [("", tensor)]


@pytest.mark.parametrize("path", ["c", "a.b", "5"])
def test_what_is_not_there(path):
    with pytest.raises(LookupError):
        entry({"a": torch.zeros(1)}, path)


def test_every_tensor_is_mapped_and_nothing_else():
    batch = {"x": torch.ones(2), "names": ["a", "b"], "in": Frozen(torch.ones(2), None)}
    doubled = mapped(lambda tensor: 2 * tensor, batch)
    assert doubled["x"].tolist() == doubled["in"].a.tolist() == [2, 2] and doubled["names"] == ["a", "b"]
    assert batch["x"].tolist() == [1, 1] and doubled["in"].b is None


def test_batches_are_joined_row_by_row():
    one, two = ({"x": torch.full((n, 2), float(n)), "scale": torch.ones(())} for n in (3, 1))
    assert alike(one, two) and not alike(one, {"x": torch.ones(3, 5), "scale": torch.ones(())})
    joined = joined_batches([one, two], [3, 1])
    assert joined["x"][:, 0].tolist() == [3, 3, 3, 1] and joined["scale"].dim() == 0


def test_a_batch_in_words():
    assert described([torch.zeros(2, 3), "a"]) == "a list with 0: float32 (2, 3), 1: str"


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
