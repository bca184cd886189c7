from collections import OrderedDict
from functools import partial

from torch import nn

from sobolev.audit.modules import is_users_object, label, modules_behind

GLOBAL = nn.Sequential(nn.Tanh())


class Owner:
    def __init__(self):
        self.networks = [nn.Linear(1, 1)]

    def __call__(self, x):
        return self.networks[0](x)

    def method(self, x):
        return x


def uses_global(x):
    return GLOBAL(x)


def test_a_module_with_its_paths():
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert list(modules_behind(net)) == ["", "0", "1", "1.0"]


def test_closures_globals_partials_methods_and_objects():
    net, owner = nn.Tanh(), Owner()
    assert net in modules_behind(lambda x: net(x)).values()
    assert GLOBAL in modules_behind(uses_global).values()
    assert GLOBAL in modules_behind(lambda x: next(uses_global(x) for _ in range(2))).values()
    assert net in modules_behind(partial(lambda n, x: n(x), net)).values()
    assert net in modules_behind(net.forward).values()
    assert owner.networks[0] in modules_behind(owner).values()
    assert owner.networks[0] in modules_behind(owner.method).values()
    assert net in modules_behind(lambda x, n=net: n(x)).values()
    assert list(modules_behind(lambda x: net(x))) == ["net"]


def test_none_behind_a_plain_function():
    assert modules_behind(lambda x: x**2) == {}
    assert modules_behind(len) == {}


def test_objects_that_refer_to_each_other_end():
    owner = Owner()
    owner.self = owner
    assert len(modules_behind(owner)) == 1


def test_label():
    assert label("network.1", nn.ReLU()) == "network.1 (ReLU)"
    assert label("", nn.ReLU()) == "ReLU"


def test_whose_object_it_is():
    assert is_users_object(Owner())
    assert not any(map(is_users_object, (OrderedDict(), {}, 1.0, nn.Tanh())))  # modules keep their hooks in the first
