import torch
from torch import nn

from sobolev.audit.modules import modules_behind
from sobolev.audit.probe import probing
from sobolev.audit.verdict import verdict


def probe_of(f, x, order=2, **options):
    return probing(f, x, order, modules_behind(f), **options)


def test_every_output_and_input_counts():
    """The scalar has a weight for each output, the direction a part in each input, none near zero."""
    x = torch.randn(16, 5)
    with probe_of(lambda x: x * torch.tensor([1, 1e-3, 1e6, 1, 1]), x) as probe:
        for entry in range(5):
            moved = probe.x.clone()
            moved[:, entry] += 1
            assert ((probe.scalar(moved) - probe.scalar(probe.x)).abs() > 0.1).all()
        assert (probe.direction.abs() > 0).all()


def test_derivatives_along_the_direction():
    x = torch.randn(16, 1)
    with probe_of(torch.sin, x) as probe:
        value, first, second = probe.reverse
        scale = value / torch.sin(probe.x)[:, 0]
        length = probe.direction[:, 0]
        torch.testing.assert_close(first, scale * length * torch.cos(probe.x)[:, 0])
        torch.testing.assert_close(second, -scale * length**2 * torch.sin(probe.x)[:, 0])
        for mine, truth in zip(probe.reverse[1:], probe.finite, strict=True):
            torch.testing.assert_close(mine, truth.value, rtol=1e-7, atol=1e-7)


def test_in_double_and_eval_mode_unless_told_otherwise():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    with probe_of(net, torch.ones(3, 2)) as probe:
        assert probe.y.dtype == torch.float64
        assert not net[1].training
    with probe_of(net, torch.ones(3, 2), double=False, evaluate=False) as probe:
        assert probe.y.dtype == torch.float32
        assert net[1].training


def test_what_raises_is_kept():
    with probe_of(lambda x: x.detach(), torch.randn(4, 1)) as probe:
        assert isinstance(probe.reverse, Exception)


def test_f_may_differentiate_inside_and_write_to_its_argument():
    def f(x):
        x.mul_(2)
        x = x.requires_grad_() if x.is_leaf else x
        return torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]

    with probe_of(f, torch.randn(4, 1)) as probe:
        torch.testing.assert_close(probe.y, 12 * probe.x**2)


def test_points_are_looked_at_together():
    """Also by a close-up, each of whose points looks at an input and output of its own."""
    sizes = []

    def f(x):
        sizes.append(x.shape[0])
        return x.sin() @ x.new_ones(3, 2)

    with probe_of(f, torch.rand(16, 3)) as probe:
        assert verdict(probe)[0] == "taylor"
    assert min(sizes) > 1


def test_switched_off_gradients_stay_inside():
    def f(x):
        torch.set_grad_enabled(False)
        return x * 2

    with probe_of(f, torch.rand(4, 1)) as probe:
        assert not probe(probe.x).requires_grad and torch.is_grad_enabled()
