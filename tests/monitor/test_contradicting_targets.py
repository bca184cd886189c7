"""What targets and labels say against what they are compared with."""

from types import SimpleNamespace

import pytest
import torch
from cases import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

import sobolev
from sobolev import DerivativeMonitor, Function
from sobolev.monitor.contradicting_targets import contradiction, in_order_of, names_of, other_factor
from sobolev.monitor.forward import Arguments
from sobolev.monitor.inputs import Evaluation
from sobolev.monitor.targets import Target

X = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)).double() * 2
Y = X[:, :1] ** 2 * torch.exp(-X[:, 1:])
RIGHT = Function("x**2*exp(-t)", ["x", "t"])


def by(*paths):
    return Evaluation(Arguments(lambda batch: ((batch,), {})), paths or None, ("",), (), True)


def test_names_of_the_data_decide_before_the_alphabet_does():
    assert in_order_of(Function("x**2*exp(-t)"), ("x", "t")).inputs == ("x", "t")
    assert in_order_of(Function("x**2"), ("x", "t")).inputs == ("x", "t")  # t plays no part
    assert in_order_of(Function("x*t", ["t", "x"]), ("x", "t")).inputs == ("t", "x")  # somebody has said so
    assert in_order_of(Function("a*b"), ("x", "t")).inputs == ("a", "b")
    assert in_order_of(Function("x*t"), None).inputs == ("t", "x")


def test_a_name_that_the_data_do_not_have_is_refused():
    with pytest.raises(ValueError, match=r"has s, but the inputs of the data are x, t.*\['s', 'x'\]"):
        in_order_of(Function("exp(-s)*sin(x)"), ("x", "t"))
    assert in_order_of(Function("exp(-s)*sin(x)", ["s", "x"]), ("x", "t")).inputs == ("s", "x")  # somebody has said so


def test_where_names_come_from():
    assert names_of(SimpleNamespace(input_names=("x", "t")), by(), X) == ("x", "t")
    assert names_of(SimpleNamespace(input_names=("x", "t", "z")), by("inputs.x", "t"), X) == ("x", "t")
    assert names_of(None, by("0", "1"), X) is None and names_of(None, by("x"), X) is None


def test_another_order_of_inputs_is_named():
    said = contradiction(Function("x**2*exp(-t)"), X, Y)
    assert said is not None and "in the order (x, t) they agree" in said and "['x', 't']" in said
    three = torch.rand(100, 3, dtype=torch.float64)
    said = contradiction(Function("a + 2*b + 4*c"), three, three @ torch.tensor([[4.0], [1], [2]]).double())
    assert said is not None and "in the order (c, a, b) they agree" in said


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (1000 * Y + 3, "1e+03 times it +3"),
        (-Y[:, 0], "-1 times it."),
        (X.sum(1, keepdim=True).sin(), "and not by chance"),
    ],
)
def test_other_units_and_other_functions(targets, expected):
    said = contradiction(RIGHT, X, targets)
    assert said is not None and expected in said


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0, 30.0])
def test_noise_contradicts_nothing(noise):
    random = torch.Generator().manual_seed(1)
    for _ in range(50):
        noisy = Y + noise * torch.randn(Y.shape, generator=random, dtype=torch.float64)
        assert contradiction(RIGHT, X, noisy) is None
    assert contradiction(Function("x + 3", ["x", "t"]), torch.ones(9, 2), torch.zeros(9, 1)) is None  # one point
    assert contradiction(RIGHT, X, torch.full_like(Y, torch.nan)) is None


def test_a_label_of_the_other_sign_or_in_another_unit():
    slope = torch.randn(50, 1, 3, dtype=torch.float64)
    said = other_factor(1, slope, -1.01 * slope, Target("forces"))
    assert said is not None and "targets={1: '-forces'}" in said
    said = other_factor(2, slope, -slope / 27.2, Target("forces", -1.0))
    assert said is not None and "'27.2 * forces'" in said
    assert other_factor(1, slope, slope, Target("forces")) is None
    assert other_factor(1, slope, torch.randn(50, 1, 3, dtype=torch.float64), Target("forces")) is None
    assert other_factor(1, slope, torch.zeros_like(slope), Target("forces")) is None


class Sine(sobolev.Regressor):
    def forward(self, x):
        return x.sin().sum(1, keepdim=True) if isinstance(x, torch.Tensor) else torch.sin(x).sum(1, keepdim=True)


def test_the_monitor_says_it_once(tmp_path):
    x, module = torch.rand(64, 2), Sine(torch.nn.Linear(2, 1))
    loader = DataLoader(TensorDataset(x, x.sin().sum(1, keepdim=True), -x.cos()), batch_size=32)
    with pytest.warns(UserWarning, match=r"derivative 1 fits minus its labels '2'.*-2") as said:
        quiet_trainer(tmp_path, DerivativeMonitor()).validate(module, loader, verbose=False)
    assert sum("fits minus" in str(warning.message) for warning in said) == 1
    with pytest.warns(UserWarning, match="contradict the reference") as said:
        quiet_trainer(tmp_path, DerivativeMonitor(reference="2*x+t")).validate(module, loader, verbose=False)
    assert sum("contradict" in str(warning.message) for warning in said) == 1
