"""The model and the random numbers stay as they were."""

import copy
import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric

from sobolev.callbacks.restored_state import state_restored


class Restless(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(2))
        self.register_buffer("none", None)
        self.drop = nn.Dropout()
        self.drop.eval()

    def forward(self, x):
        self.count[0] += 1
        self.count = self.count + torch.rand(())
        return x * torch.rand(())


@pytest.mark.parametrize("inference", [True, False])
def test_the_model_is_left_as_it_was(inference):
    model, state = Restless(), torch.get_rng_state()
    buffer = model.count
    with torch.inference_mode(inference), state_restored(model, torch.device("cpu")):
        assert not model.training
        model(torch.rand(3, 1))
    assert model.count is buffer and (buffer == 0).all()
    assert model.training and not model.drop.training
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_is_left_as_it_was_after_an_error():
    model = Restless()
    with pytest.raises(RuntimeError), state_restored(model, torch.device("cpu")):
        model(torch.rand(3, 1))
        raise RuntimeError
    assert (model.count == 0).all() and model.training


class Drawing(nn.Module):
    """Draws a number of Python's, and counts in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return x * random.random()


def hooked():
    model = nn.Sequential(nn.Linear(1, 3), nn.Tanh())
    model[1].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    ("model", "others", "kept"),
    [
        (nn.Sequential(nn.Linear(1, 3), nn.Tanh()), False, False),
        (nn.Sequential(nn.Linear(1, 3), nn.Tanh()), True, True),
        (nn.Sequential(nn.Linear(1, 3), Drawing()), False, True),
        (nn.Sequential(nn.TransformerEncoderLayer(2, 1)), False, True),
        (hooked(), False, True),
    ],
)
def test_where_nothing_but_known_layers_runs_there_is_less_to_restore(model, others, kept):
    """Python's numbers would be drawn by somebody else's layer, a hook, an activation, or other code around."""
    state = random.getstate()
    with state_restored(model, torch.device("cpu"), others=others):
        random.random()
    assert (random.getstate() == state) == kept


def test_a_layer_of_somebody_elses_leaves_no_trace():
    model, state = nn.Sequential(nn.Linear(1, 3), Drawing()), random.getstate()
    with state_restored(model, torch.device("cpu"), others=False):
        model(torch.ones(2, 1))
    assert random.getstate() == state and model[1].count == 0


class Keeping(nn.Module):
    """Keeps a count, a hidden state, a list, a dict, a tensor that it writes to, and a metric."""

    def __init__(self):
        super().__init__()
        self.cell, self.hidden, self.metric = nn.LSTMCell(1, 2), None, MeanMetric()
        self.count, self.seen, self.cache, self.total = 0, [], {"first": [1]}, torch.zeros(1)

    def forward(self, x):
        self.count += 1
        self.hidden = self.cell(x, self.hidden)
        self.seen.append(x)
        self.cache["first"].append(2)
        self.total += x.sum()
        self.metric(x)
        self.new = x
        return self.hidden[0] * self.count


def test_what_forward_keeps_in_attributes_is_as_before():
    model, x = Keeping(), torch.rand(4, 1)
    model(x)
    hidden, seen, total = model.hidden, model.seen, model.total
    values = hidden[0].clone(), total.clone(), model.metric.compute()
    del model.new
    with state_restored(model, torch.device("cpu")), torch.no_grad():
        model(torch.rand(4, 1))
        model(torch.rand(4, 1))
    assert model.count == 1 and model.hidden is hidden and model.seen is seen and model.total is total
    assert len(seen) == 1 and seen[0] is x and model.cache == {"first": [1, 2]} and not hasattr(model, "new")
    model.metric._computed = None
    found = hidden[0], total, model.metric.compute()
    assert all(torch.equal(a, b) for a, b in zip(found, values, strict=True))
    assert model.metric._update_count == 1 and model.cell.weight_ih is not None


def test_what_hooks_store_is_as_before():
    model, stored, calls = nn.Sequential(nn.Linear(1, 3), nn.Tanh()), {}, 0

    def hook(module, args, output):
        nonlocal calls
        calls += 1
        stored["activation"] = output

    model[1].register_forward_hook(hook)
    x = torch.rand(4, 1)
    model(x)
    before = stored["activation"]
    with state_restored(model, torch.device("cpu"), others=False):
        model(torch.rand(7, 1))
    assert stored["activation"] is before and calls == 1
    model(x)
    assert calls == 2


@pytest.mark.parametrize(
    ("generator", "draw"),
    [
        (random.Random(3), lambda own: own.random()),
        (np.random.default_rng(3), lambda own: own.random()),
        (np.random.RandomState(3), lambda own: own.random_sample()),
        (torch.Generator().manual_seed(3), lambda own: float(torch.rand((), generator=own))),
    ],
    ids=["random", "numpy", "old numpy", "torch"],
)
def test_a_generator_of_the_models_own_goes_on_as_without_us(generator, draw):
    model, other = Restless(), copy.deepcopy(generator) if not isinstance(generator, torch.Generator) else None
    model.own = generator
    expected = draw(other or torch.Generator().manual_seed(3))
    with state_restored(model, torch.device("cpu")):
        draw(generator)
    assert draw(generator) == expected


class Slots:
    __slots__ = ("hidden", "later")

    def __init__(self):
        self.hidden = None


class Strict(Counter):
    """Its copies cannot be made, as of torchphysics' spaces."""

    def __init__(self, name):
        super().__init__({name: 1})


SHARED = {"hidden": None}
LATEST = None


class Elsewhere(nn.Module):
    """Keeps what it has seen in its class, in globals, in slots and in a container of a class of its own."""

    hidden, seen = None, []

    def __init__(self):
        super().__init__()
        self.slots, self.strict = Slots(), Strict("a")

    def forward(self, x):
        self.slots.hidden = self.slots.later = x
        self.strict["b"] += 1
        type(self).hidden = x
        return self.keep(x)

    def keep(self, x):
        global LATEST
        type(self).new = SHARED["hidden"] = LATEST = x
        self.seen.append(x)
        return x


def test_what_is_kept_beside_the_module_is_as_before():
    model = Elsewhere()
    strict = model.strict
    with state_restored(model, torch.device("cpu"), others=False):
        model(torch.ones(2, 1))
        assert LATEST is not None and strict["b"]
    assert model.slots.hidden is None and not hasattr(model.slots, "later")
    assert dict(model.strict) == {"a": 1} and model.strict is strict
    assert Elsewhere.hidden is None and Elsewhere.seen == [] and not hasattr(Elsewhere, "new")
    assert SHARED == {"hidden": None} and LATEST is None
