import numpy as np
import torch

from sobolev.audit.probe import probing
from sobolev.audit.verdict import failure_of, verdict

X = torch.linspace(-1, 1, 12)[:, None]


def test_both_agree_on_a_smooth_function():
    with probing(torch.tanh, X, 2, {}) as probe:
        method, failures = verdict(probe)
    assert method == "taylor"
    assert failures == {"taylor": None, "reverse": None}


def test_the_first_wrong_order_is_told():
    with probing(torch.tanh, X, 2, {}) as probe:
        value, first, second = probe.reverse
        for wrong, order in (([value, 1.1 * first, second], 1), ([value, first, 1.1 * second], 2)):
            probe.taylor = wrong
            assert failure_of(probe, "taylor").order == order
        probe.taylor = ValueError("no")
        assert failure_of(probe, "taylor").error is not None


def test_a_slight_difference_does_not_hide_a_grave_one():
    with probing(torch.tanh, X, 2, {}) as probe:
        value, first, second = probe.reverse
        probe.taylor = [value, first * (1 + 3e-6), second]
        assert failure_of(probe, "taylor").order == 1
        assert failure_of(probe, "taylor").slight
        probe.taylor = [value, first * (1 + 3e-6), 1.1 * second]
        assert failure_of(probe, "taylor").order == 2
        assert not failure_of(probe, "taylor").slight


def test_a_method_that_is_slightly_off_is_better_than_none():
    def nearly(x):
        return torch.sin(x) + 1e-6 * torch.from_numpy(np.sin(x.detach().numpy()))

    with probing(nearly, X, 2, {}) as probe:
        method, failures = verdict(probe)
    assert method == "reverse"
    assert failures["reverse"].slight


def test_none_where_both_are_wrong():
    def f(x):
        return x**2 + torch.from_numpy(x.detach().numpy() ** 2)

    with probing(f, X, 2, {}) as probe:
        assert verdict(probe)[0] == "none"
