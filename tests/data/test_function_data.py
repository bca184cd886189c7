import pytest
import torch

from sobolev import FunctionData

SMALL = {"samples": 400, "validation_samples": 300, "test_samples": 200}


@pytest.mark.parametrize("sampling", ["uniform", "grid", "chebyshev", "sobol"])
@pytest.mark.parametrize("domain", [{"x": (-1, 2)}, {"x": (-1, 2), "z": (1e5, 2e5)}])
def test_points_lie_in_the_domain_and_no_two_are_equal(sampling, domain):
    data = FunctionData("x**2", domain, sampling=sampling, **SMALL)
    data.setup()
    points = torch.cat([data.training_inputs, data.validation_points, data.test_points])
    low, high = torch.tensor(list(domain.values()), dtype=torch.float64).T
    assert len(points.float().unique(dim=0)) == len(points) == 900
    assert ((points >= low) & (points <= high)).all()
    torch.testing.assert_close(data.training_targets, data.training_inputs[:, :1] ** 2)


def test_grid_and_chebyshev_are_where_they_should_be():
    grid, nodes = (FunctionData("x", (-1, 1), 5, sampling=kind) for kind in ("grid", "chebyshev"))
    grid.setup()
    nodes.setup()
    assert grid.training_inputs[:, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    expected = -torch.cos((2 * torch.arange(5, dtype=torch.float64) + 1) * torch.pi / 10)
    torch.testing.assert_close(nodes.training_inputs[:, 0], expected)


def test_noise_is_a_fraction_of_the_range_and_spares_test_and_labels():
    clean, noisy = (FunctionData(noise=noise, derivative_order=1) for noise in (0.0, 0.01))
    clean.setup()
    noisy.setup()
    size = (noisy.training_targets - clean.training_targets).std().item()
    assert size == pytest.approx(0.01 * 2500, rel=0.05)
    assert torch.equal(clean.test.targets, noisy.test.targets)
    assert torch.equal(noisy.training.labels[0][:, 0], 2 * noisy.training_inputs)


def test_a_label_that_is_not_finite_is_no_label():
    data = FunctionData("sqrt(x)", (0, 1), 11, sampling="grid", derivative_order=2)
    data.setup()
    assert data.training.labels[0].isnan().nonzero().tolist() == [[0, 0, 0]]
    assert [tuple(part.shape) for part in next(iter(data.train_dataloader()))][2:] == [(11, 1, 1), (11, 1, 1, 1)]


def test_the_seed_fixes_everything():
    first, again, other = (FunctionData(seed=seed, noise=0.1) for seed in (1, 1, 2))
    for data in (first, again, other):
        data.setup()
    assert torch.equal(first.training_targets, again.training_targets)
    assert not torch.equal(first.training_inputs, other.training_inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": "log(x)"}, "'log.x.' is not finite at x = .*change the domain"),
        ({"domain": (1.0, 0.0)}, "must be below"),
        ({"domain": (0.0,)}, "give two numbers"),
        ({"domain": {"z": (0, 1)}}, "unknown name 'x'"),
        ({"function": "x*y", "sampling": "grid", "samples": 1001}, "961 .31 on each. or 1024"),
        ({"sampling": "random"}, "choose one of uniform"),
        ({"samples": 0}, "samples is 0"),
        ({"noise": -1.0}, "noise is -1"),
        ({"derivative_order": 3}, "derivative_order is 3"),
        ({"domain": (1e9, 1e9 + 1)}, "too few distinct float32"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        FunctionData(**options).setup()


def test_names_of_outputs_and_derivatives():
    data = FunctionData(
        "s*v", domain=(0, 1), output_names=["price"], derivative_names={"dprice/ds": "delta", "d2price/dvds": "vanna"}
    )
    assert data.output_names == ("price",)
    assert data.derivative_names == {"dprice/ds": "delta", "d2price/dsdv": "vanna"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"output_names": ["a", "b"]}, "needs a list of 1 name"),
        ({"output_names": "price"}, "needs a list of 1 name"),
        ({"output_names": ["x"]}, "none of them an input"),
        ({"derivative_names": {"dprice/dx": "delta"}}, "'dprice/dx' names no derivative.*dy/dx"),
    ],
)
def test_names_that_fit_nothing_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        FunctionData("x**2", **options)
