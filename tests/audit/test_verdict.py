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
        assert failure_of(probe, [value, 1.1 * first, second]).order == 1
        assert failure_of(probe, [value, first, 1.1 * second]).order == 2
        assert failure_of(probe, ValueError("no")).error is not None


def test_none_where_both_are_wrong():
    def f(x):
        return x**2 + torch.from_numpy(x.detach().numpy() ** 2)

    with probing(f, X, 2, {}) as probe:
        assert verdict(probe)[0] == "none"
