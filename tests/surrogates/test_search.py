"""What the search learns, on functions with derivatives by sympy."""

import math

import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import sobolev
from sobolev.networks.surrogate import Surrogate
from sobolev.surrogates import search as module
from sobolev.surrogates.family import Fit
from sobolev.surrogates.kernels import Kernels
from sobolev.surrogates.labels import Labels, standardized
from sobolev.surrogates.polynomials import Polynomials
from sobolev.surrogates.search import network, search, shares


def learnt(formula, rows, noise=0.0, low=-1.0, high=1.0):
    """The network of the last stage, the function, and points to compare them at."""
    function = sobolev.Function(formula)
    generator = torch.Generator().manual_seed(3)
    inputs = len(function.inputs)
    x = low + (high - low) * torch.rand(rows, inputs, generator=generator, dtype=torch.float64)
    y = function(x)
    y = y + noise * y.std() * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    found = sobolev.Standardized(Surrogate()).double().fit(x, y)
    scales = found.input_mean, found.input_scale, found.output_mean, found.output_scale
    stages = list(search(standardized(x, (y,), *scales)))
    found.network = network(stages[-1].fits)
    points = low + (high - low) * torch.rand(200, inputs, generator=generator, dtype=torch.float64)
    return found, function, points, stages


def standard(y):
    return (y - y.mean()) / y.std()


def relative(found, truth):
    return float((found - truth).norm() / truth.norm())


@pytest.mark.parametrize(
    ("formula", "rows", "bound"),
    [
        ("exp(-x*y)*sin(3*x+z)", 200, 2e-2),
        ("tanh(4*x-3*y)", 200, 1e-2),
        ("x**2+y*z", 60, 1e-9),
        ("1/(1+25*x**2)", 100, 1e-2),  # of high degrees, at points beyond the outermost rows
    ],
)
def test_hessians_of_clean_functions(formula, rows, bound):
    found, function, points, _ = learnt(formula, rows)
    with torch.no_grad():
        assert relative(sobolev.hessian(found, points)[2], function.hessian(points)[2]) < bound


@pytest.mark.parametrize(("levels", "bound"), [(4, 0.3), (6, 5e-3)])
def test_a_grid_of_few_levels_tells_no_degrees_above_their_number(levels, bound):
    axis = torch.linspace(0, 1, levels, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis, axis)
    function = sobolev.Function("exp(x)*sin(2*y)+1/(1.2+z)")
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = sobolev.Standardized(Surrogate()).double().fit(x, function(x))
    scales = found.input_mean, found.input_scale, found.output_mean, found.output_scale
    *_, last = search(standardized(x, (function(x),), *scales))
    found.network = network(last.fits)
    with torch.no_grad():
        assert relative(sobolev.hessian(found, points)[2], function.hessian(points)[2]) < bound


@pytest.mark.parametrize(("rows", "end"), [(150, 15.0), pytest.param(500, 50.0, marks=pytest.mark.slow)])
def test_many_periods_from_few_points(rows, end):
    found, function, points, _ = learnt("sin(x)", rows, low=-end, high=end)
    inside = points[points.abs()[:, 0] < 0.98 * end]
    with torch.no_grad():
        for got, wanted in zip(sobolev.derivatives(found, inside), function.derivatives(inside, 2), strict=True):
            assert relative(got, wanted) < 1e-6


@pytest.mark.parametrize("rows", [120, pytest.param(300, marks=pytest.mark.slow)])
def test_noise_is_estimated_and_not_learnt(rows):
    found, function, points, stages = learnt("sin(2*x)+x*y", rows, noise=0.1)
    with torch.no_grad():
        assert relative(found(points), function(points)) < 0.06
    assert 0.07 < stages[-1].noise < 0.14


def test_many_periods_under_noise_as_large_as_they():
    """Fourteen years of months: a season, and a slow wave of half its size; curvature is the season's."""
    months, errors = torch.arange(168, dtype=torch.float64)[:, None], []
    truth = 3 * torch.cos(2 * torch.pi * months / 12) + 1.5 * torch.sin(2 * torch.pi * months / 44)
    season = -3 * (torch.pi / 6) ** 2 * torch.cos(2 * torch.pi * months / 12)
    for seed in range(5):
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        y = truth + 2.2 * noise
        found = sobolev.Standardized(Surrogate()).double().fit(months, y)
        scales = found.input_mean, found.input_scale, found.output_mean, found.output_scale
        *_, last = search(standardized(months, (y,), *scales), seed=seed)
        found.network = network(last.fits)
        with torch.no_grad():
            assert relative(found(months), truth) < 0.6
            errors.append(relative(sobolev.derivatives(found, months)[2], season))
    assert sorted(errors)[2] < 0.5 and max(errors) < 1


@pytest.mark.parametrize("units", [0, 2])
def test_what_the_evidence_chooses_counts_as_much_as_differences_of_evidences_say(units):
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    y = standard(torch.tanh(8 * x - 2) + 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64))
    groups, family = Labels(x, (y,)).entries(), Kernels(1, units=units)
    family.learn(Labels(x, (y,)))
    cost, parameters = family.cost(Labels(x, (y,))), [parameter for parameter, _ in family._with_precisions()]
    start = parameters_to_vector(parameters)
    steps = 1e-3 * torch.cat([torch.full_like(p, k**-0.5).flatten() for p, k in family._with_precisions()]).diag()

    def loss(*off):
        vector_to_parameters(start + sum(off), parameters)
        return float(family._loss(groups))

    second = [[(loss(a, b) - loss(a, -b) - loss(-a, b) + loss(-a, -b)) / 4e-6 for a in steps] for b in steps]
    logarithms = torch.linalg.eigvalsh(torch.tensor(second, dtype=torch.float64)).clamp_min(1).log()
    on = int((family.features.strengths.abs() > 0.03).sum())
    assert cost == pytest.approx(0.5 * float(logarithms.sum()) - math.log(math.factorial(on) * 2**on), abs=0.1)
    assert cost > 3


def test_the_evidence_tells_apart_what_held_out_rows_do_not():
    """Of a noisy polynomial law."""
    generator = torch.Generator().manual_seed(3)
    x = 2 * torch.rand(500, 2, generator=generator, dtype=torch.float64) - 1
    truth = standard(x[:, :1] ** 2 + x[:, 1:] ** 3)
    labels = Labels(x, (truth + 0.02 * torch.randn(truth.shape, generator=generator, dtype=torch.float64),))
    families = [Polynomials(2), Kernels(2, units=0)]
    for family in families:
        family.learn(labels[100:])
    assert float(module._prior(families, labels[100:], labels[:100])[0]) > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_two_values_beside_many_curvatures_are_enough(seed):
    """Both are learnt from; were one held out, a straight line would stay open."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(60, 1, generator=generator, dtype=torch.float64) - 1
    values, slopes = torch.full((60, 1), torch.nan, dtype=torch.float64), torch.full((60, 1, 1), torch.nan).double()
    values[[5, 40]] = torch.sin(2 * x[[5, 40]])
    labels = Labels(x, (values, slopes, -4 * torch.sin(2 * x)[..., None, None]))
    stages = list(search(labels, seed=seed))
    assert stages[0].error < 1e-9
    points = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(network(stages[-1].fits)(points), torch.sin(2 * points), rtol=0, atol=1e-10)


def test_a_fresh_network_loads_any_features():
    found, _, points, _ = learnt("tanh(4*x-3*y)", 60)
    fresh = sobolev.Standardized(Surrogate()).double()
    fresh.load_state_dict(found.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(points), found(points))


def test_shares_are_those_of_the_prior_where_rows_do_not_tell_and_none_where_they_do():
    alike, equal = torch.full((3, 3), 1.0, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64)
    assert shares(alike, equal, 50).tolist() == pytest.approx([1 / 3] * 3)
    prior = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert shares(alike, prior, 50).tolist() == pytest.approx(prior.tolist())
    apart = torch.diag(torch.tensor([1e-2, 1e-8, 1.0], dtype=torch.float64))
    assert shares(apart, equal, 50).tolist() == pytest.approx([0.0, 1.0, 0.0])
    # two of errors that are independent, of variances 1 and 3: three quarters and one
    two = torch.diag(torch.tensor([1.0, 3.0], dtype=torch.float64))
    assert shares(two, equal[:2], 10**6)[0] == pytest.approx(0.75, abs=1e-4)


def test_the_evidence_is_asked_of_rivals_alone(monkeypatch):
    """Of many rows it takes longer than to learn what held-out rows have told apart."""

    def evidence(*_):
        raise AssertionError

    monkeypatch.setattr(Polynomials, "evidence", evidence)
    *_, stages = learnt("tanh(4*x-3*y)", 100)
    assert "polynomials" not in stages[-1].says


def test_a_share_below_nothing_is_none():
    first, second = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([2.0, 2.0, 2.1])
    errors = torch.stack([first, second]).double()
    assert shares(errors @ errors.T / 3, torch.full((2,), 0.5).double(), 1000).tolist() == [1.0, 0.0]


def test_more_rows_are_never_learnt_worse_than_with_the_numbers_of_fewer():
    """Other terms are another loss: a second search for them may go astray."""
    x = torch.rand(100, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = 10 * torch.sin(3 * x[:, :1] * x[:, 1:2]) + 20 * (x[:, 2:3] - 0.5) ** 2 + 10 * x[:, 3:4] + 5 * x[:, 4:5]
    labels = Labels(x, (standard(y),))
    family = Polynomials(6, terms=150)
    family.learn(labels[30:])
    before = float(family._loss(labels.entries())(family.numbers)[0])
    family.learn(labels)
    assert family.loss <= before


def test_as_many_terms_of_one_input_as_the_evidence_wants():
    x = torch.linspace(-1, 1, 240, dtype=torch.float64)[:, None]
    few, many = Polynomials(1, 80), Polynomials(1, 80)
    few.learn(Labels(x, (standard(torch.exp(x)),)))
    many.learn(Labels(x, (standard(torch.sin(60 * x)),)))
    assert few.terms < many.terms == 80


def test_a_kernel_finds_many_periods_under_much_noise():
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-1.7, 1.7, 160, dtype=torch.float64)[:, None]
    truth = torch.sin(15 * x)
    labels = Labels(x, (standard(truth + 0.6 * torch.randn(x.shape, generator=generator, dtype=torch.float64)),))
    family = Kernels(1, units=0)
    family.learn(labels)
    assert relative(standard(family.fit(labels)(x)), standard(truth)) < 0.5


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_noise_is_not_taken_for_a_function_that_jumps_from_row_to_row(inputs):
    """Of 40 rows of a slope and noise; some draws have a maximum of the evidence at lengths below their distances."""
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        x = 2 * torch.rand(40, inputs, generator=generator, dtype=torch.float64) - 1
        y = x[:, :1] + 0.3 * torch.randn(40, 1, generator=generator, dtype=torch.float64)
        family = Kernels(inputs, units=0)
        family.learn(Labels((x - x.mean(0)) / x.std(0), (standard(y),)))
        distances = (x.amax(0) - x.amin(0)) / x.std(0) / 39
        assert float((distances * family.log_scales.exp()).max()) < 0.25


@pytest.mark.parametrize("units", [0, 8])
def test_kernels_of_five_inputs_do_not_learn_the_noise(units):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=generator, dtype=torch.float64)
    y = (
        x[:, :1] * x[:, 1:2]
        + torch.tanh(x[:, 2:3])
        + 0.1 * torch.randn(200, 1, generator=generator, dtype=torch.float64)
    )
    labels = Labels(x, (standard(y),))
    family = Kernels(5, units)
    family.learn(labels)
    assert 0.05 < float(family.fit(labels).noise[0]) * y.std() < 0.15


@pytest.mark.parametrize(("steep", "rows"), [(lambda x: torch.tanh(20 * x), 100), (lambda x: 1 / (1 + 25 * x**2), 300)])
def test_what_is_steep_is_not_taken_for_noise(steep, rows):
    x = 2 * torch.rand(rows, 1, dtype=torch.float64) - 1
    *_, last = search(Labels(x, (steep(x),)))
    between = torch.linspace(-0.95, 0.95, 500, dtype=torch.float64)[:, None]
    predicted = network(last.fits)(between).detach()
    assert (predicted - steep(between)).square().mean().sqrt() < 1e-5


class Sum:
    """x + y, wrong by `error`, and by 100 more where x and y are of different signs."""

    kind = "sum"

    def __init__(self, name, wild, error):
        self.name, self.wild, self.error = name, wild, error

    def learn(self, labels):
        pass

    def evidence(self, labels):
        return 0.0

    def cost(self, labels):
        return 0.0

    def fit(self, labels):
        one = torch.ones(1, 1, dtype=torch.float64)
        features = lambda x: ((x[:, :1] > 0.5) & (x[:, 1:] < -0.5)).double()  # noqa: E731
        features.derivatives = lambda x, by: features(x)
        height = 100.0 if self.wild else 0.0
        return Fit(self.name, features, self.error * one[0], one.repeat(2, 1), height * one, one, 0.0)


@pytest.mark.parametrize(("error", "kept"), [(0.1, "tame"), (1e-7, "wild")])
def test_who_is_wild_between_the_rows_has_no_part_unless_right_to_many_digits(monkeypatch, error, kept):
    """Rows lie along a diagonal, so that none of them sees it."""
    x = torch.linspace(-1, 1, 100, dtype=torch.float64)[:, None].repeat(1, 2)
    families = [(Sum("wild", True, error), torch.inf), (Sum("tame", False, 0.1), torch.inf)]
    monkeypatch.setattr(module, "_families", lambda *_: families)
    *_, last = search(Labels(x, (x.sum(1, keepdim=True),)), kinds=("sum",))
    assert [(part, fit.name) for part, fit in last.fits] == [(1.0, kept)]


def test_one_value_beside_noisy_gradients_is_no_range():
    """An energy is known at one row and forces at all: any fit lies beyond the range of one value."""
    function = sobolev.Function("tanh(3*x-2*y)+z")
    generator = torch.Generator().manual_seed(40)
    x, points = 2 * torch.rand(2, 40, 3, generator=generator, dtype=torch.float64) - 1
    values, slopes = sobolev.jacobian(function, x)
    slopes = slopes + 0.1 * slopes.std(0) * torch.randn(slopes.shape, generator=generator, dtype=torch.float64)
    *_, last = search(Labels(x, (values.where(torch.arange(40)[:, None] < 1, torch.nan), slopes)))
    found = sobolev.jacobian(network(last.fits), points)[1].detach()
    assert relative(found, sobolev.jacobian(function, points)[1]) < 0.1


class Set:
    """What it learns first, it keeps; the evidence is larger, the more rows that was."""

    kind = name = "set"
    rows = 0

    def learn(self, labels):
        self.rows = self.rows or len(labels)

    def evidence(self, labels):
        return float(self.rows)

    def cost(self, labels):
        return 0.0

    def fit(self, labels):
        one = torch.ones(1, 1, dtype=torch.float64)
        features = lambda x: x  # noqa: E731
        features.derivatives = lambda x, by: x
        return Fit(self.name, features, one[0], one, one, one, float(self.rows))


@pytest.mark.parametrize(("rows", "learnt_from"), [(20, 20), (60, 48)])
def test_of_few_rows_what_was_learnt_on_four_fifths_is_learnt_anew(monkeypatch, rows, learnt_from):
    monkeypatch.setattr(module, "_families", lambda *_: [(Set(), torch.inf)])
    x = torch.linspace(-1, 1, rows, dtype=torch.float64)[:, None]
    *_, last = search(Labels(x, (x,)), kinds=("set",))
    assert last.fits[0][1].evidence == learnt_from
