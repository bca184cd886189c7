import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from sobolev import derivatives
from sobolev.autodiff.operators import derivative_tensors
from sobolev.estimates import DerivativeEstimate, verdict
from sobolev.networks import MLP


class Known(nn.Module):
    """A function of two inputs, wrong by a wave of known size."""

    def __init__(self, wrong=0.1, outputs=1):
        super().__init__()
        self.wrong, self.outputs = wrong, outputs

    def forward(self, x):
        y = torch.sin(2 * x[:, :1]) * x[:, 1:] + self.wrong * torch.sin(3 * x[:, 1:])
        return torch.cat([y * 10**k for k in range(self.outputs)], 1)


def sample(count, noise=0.0, outputs=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1
    y = Known(0.0, outputs)(x)
    return x, y + noise * torch.randn(y.shape, generator=generator, dtype=torch.float64)


def entries(wrong, x):
    """Root mean squares over one value, two slopes, four bends, of which the wave has one each."""
    waves = wrong * torch.sin(3 * x[:, 1]), 3 * wrong * torch.cos(3 * x[:, 1]), 9 * wrong * torch.sin(3 * x[:, 1])
    return [float((wave.square().mean() / 2**order).sqrt()) for order, wave in enumerate(waves)]


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("count", [100, 700])
def test_errors_of_a_network_are_found_from_values_alone(count, noise):
    estimate = DerivativeEstimate.fit(Known(), sample(count, noise), sample(20, noise, seed=1))
    x = sample(200, seed=2)[0]
    for expected, true in zip(estimate.errors(Known(), x), entries(0.1, x), strict=True):
        assert expected.rmse == pytest.approx(true, rel=0.4)


def test_it_reads_in_one_line():
    shown = repr(DerivativeEstimate.fit(Known(), sample(100, 0.02), sample(20, 0.02, seed=1)))
    assert shown.startswith("DerivativeEstimate(100 rows of 2 inputs and 1 outputs, 20 held out, noise ")
    assert len(shown) < 120


def test_bars_hold_the_truth_in_about_nine_of_ten_cases():
    x = sample(400, seed=2)[0]
    found = DerivativeEstimate.fit(Known(), sample(300), sample(30, seed=1)).at(Known(), x)
    errors = 0.1 * torch.sin(3 * x[:, 1]), 0.3 * torch.cos(3 * x[:, 1])
    bars = found.deviations[0][:, 0], found.deviations[1][:, 0, 1]
    for error, bar in zip(errors, bars, strict=True):
        assert 0.8 < float((error.abs() < 1.645 * bar).double().mean()) <= 1


def test_outside_of_the_rows_bars_grow_and_points_are_marked():
    estimate = DerivativeEstimate.fit(Known(0.01), sample(200), sample(20, seed=1))
    x = torch.tensor([[0.0, 0.0], [0.5, -0.5], [3.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    found = estimate.at(Known(0.01), x)
    assert found.outside.tolist() == [False, False, True, True]
    for bars in found.deviations:
        assert bars[2:].amin(0).sum() > 5 * bars[:2].amax(0).sum()


def test_a_checkpoint_holds_it(tmp_path):
    estimate = DerivativeEstimate.fit(Known(), sample(100), sample(20, seed=1))
    torch.save(estimate.state_dict(), tmp_path / "estimate.pt")
    loaded = DerivativeEstimate.from_state_dict(torch.load(tmp_path / "estimate.pt", weights_only=True))
    x = sample(10, seed=2)[0]
    for one, other in zip(estimate.at(Known(), x).deviations, loaded.at(Known(), x).deviations, strict=True):
        assert torch.equal(one, other)


def test_each_output_has_its_own_scale_and_missing_labels_are_left_out():
    x, y = sample(200, outputs=2)
    y[:50, 0] = torch.nan
    estimate = DerivativeEstimate.fit(Known(outputs=2), (x, y), sample(20, outputs=2, seed=1))
    bars = estimate.at(Known(outputs=2), x).deviations
    for order, bar in enumerate(bars):
        assert bar.shape == (200, 2, *(2,) * order)
        assert float((bar[:, 1] / bar[:, 0]).median()) == pytest.approx(10, rel=0.4)  # one has fewer labels


def test_the_order_of_the_rows_does_not_matter():
    training, held_out, x = sample(150, 0.1), sample(20, seed=1), sample(10, seed=2)[0]
    turned = tuple(part.flip(0) for part in training)
    one, other = (DerivativeEstimate.fit(Known(), rows, held_out).errors(Known(), x) for rows in (training, turned))
    assert one == other


def test_labels_of_derivatives_take_part():
    """Ten rows say little of the function, but labels show that the network is right."""
    x, y = sample(10)
    held_out = sample(30, seed=1)
    J = torch.func.vmap(torch.func.jacrev(lambda x: Known(0.0)(x[None])[0]))(held_out[0])
    alone = DerivativeEstimate.fit(Known(1e-3), (x, y), held_out).errors(Known(1e-3), held_out[0])
    labelled = DerivativeEstimate.fit(Known(1e-3), (x, y), (*held_out, J)).errors(Known(1e-3), held_out[0])
    assert labelled[1].rmse == pytest.approx(1e-3 * entries(1, held_out[0])[1], rel=0.1)
    assert labelled[2].rmse < alone[2].rmse


def test_a_network_far_better_than_its_witness_is_judged_by_its_last_layer():
    class Exact(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(40, 1).double()
            self.register_buffer("at", torch.linspace(-1.2, 1.2, 40, dtype=torch.float64))

        def forward(self, x):
            return self.last(torch.exp(-((x - self.at).square()) * 2))

    model = Exact()
    x = 2 * torch.rand(300, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    y, features = torch.exp(x), torch.exp(-((x - model.at).square()) * 2)
    with torch.no_grad():
        solution = torch.linalg.lstsq(torch.cat([features, torch.ones_like(x)], 1)[:270], y[:270], driver="gelsd")[0]
        model.last.weight.copy_(solution[:-1].T)
        model.last.bias.copy_(solution[-1])
    estimate = DerivativeEstimate.fit(model, (x[:270], y[:270]), (x[270:], y[270:]))
    assert estimate.own[0] > 0.9
    assert estimate.last_layer is not None
    points = torch.linspace(-0.95, 0.95, 100, dtype=torch.float64)[:, None]
    for order, (found, derivative) in enumerate(
        zip(estimate.errors(model, points), derivatives(model, points, 2), strict=True)
    ):
        true = float((derivative.detach() - torch.exp(points)).square().mean().sqrt())
        assert true / 5 < found.rmse < 5 * true, order


def test_without_a_linear_last_layer_nothing_is_made_up():
    class Right(nn.Module):
        def forward(self, x):
            return torch.sin(20 * x)

    x = torch.rand(80, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = (x[:20], Right()(x[:20])), (x[20:], Right()(x[20:]))
    estimate = DerivativeEstimate.fit(Right(), *rows)
    assert "without a linear last layer, so the estimate is too large" in estimate.remark


def test_without_held_out_rows_it_says_so():
    assert "no rows were held out" in DerivativeEstimate.fit(Known(), sample(50)).remark
    assert "only 3 of the rows were held out" in DerivativeEstimate.fit(Known(), sample(50), sample(3, seed=1)).remark


def test_values_that_are_all_the_same_teach_nothing():
    x, _ = sample(50)
    with pytest.raises(ValueError, match="the values are all the same"):
        DerivativeEstimate.fit(Known(), (x, torch.ones_like(x[:, :1])))
    with pytest.raises(ValueError, match="the values of output 2 are all the same"):
        DerivativeEstimate.fit(Known(outputs=2), (x, torch.cat([x[:, :1], torch.ones_like(x[:, :1])], 1)))


def test_points_that_are_no_numbers_are_named():
    x, y = sample(50)
    x[3] = torch.nan
    with pytest.raises(ValueError, match="an input of training row 3"):
        DerivativeEstimate.fit(Known(), (x, y))
    with pytest.raises(ValueError, match="an input of held-out row 3"):
        DerivativeEstimate.fit(Known(), sample(50), (x, y))


def test_arrays_and_vectors_of_values_are_taken():
    x, y = sample(50)
    wanted, found = DerivativeEstimate.fit(Known(), (x, y)), DerivativeEstimate.fit(Known(), (x.numpy(), y[:, 0]))
    assert [e.rmse for e in found.errors(Known(), x)] == [e.rmse for e in wanted.errors(Known(), x)]


def test_a_row_unlike_all_others_is_named():
    x, y = sample(100, noise=0.02, outputs=2)
    assert DerivativeEstimate.of_rows((x, y)).odd_row() is None
    y[17, 1] += 3.0
    odd = DerivativeEstimate.of_rows((x, y)).odd_row()
    assert odd.output == 1 and odd.deviations > 6
    torch.testing.assert_close(odd.point, x[17])


def test_a_function_is_no_module():
    with pytest.raises(TypeError, match="give a torch"):
        DerivativeEstimate.fit(torch.sin, sample(50))


def test_a_derivative_is_not_said_to_be_larger_than_with_its_error_it_can_be():
    """What a witness does not know would else make a wrong derivative a small part of a large one."""
    x, y = sample(12, noise=0.3)
    estimate = DerivativeEstimate.fit(Known(), (x, y))
    half = replace(estimate, own=torch.full_like(estimate.own, 0.5))
    tower = [0.01 * t for t in derivative_tensors(Known(), x, 2)]
    found = half.expected(tower, estimate.reference(x), [torch.full_like(t, 1e-6) for t in tower])
    for error, derivative in zip(found, tower, strict=True):
        assert error.size <= math.hypot(float(derivative.square().mean().sqrt()), error.rmse) * (1 + 1e-9)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="four rows"):
        DerivativeEstimate.fit(Known(), sample(3))


def test_noise_is_found_and_the_verdict_says_what_it_costs():
    training, held_out = sample(200, 0.1), sample(20, 0.1, seed=1)
    estimate = DerivativeEstimate.fit(Known(2.0), training, held_out)
    assert float(estimate.noise) == pytest.approx(0.1, rel=0.2)
    assert "do not use it" in verdict(estimate.errors(Known(2.0), training[0]))


def test_the_network_is_left_as_it_was():
    model = MLP(2, 1, [8])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    DerivativeEstimate.fit(model.train(), sample(40), sample(10, seed=1)).at(model, sample(5)[0].float())
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype


def test_more_rows_help_less_where_labels_have_noise():
    clean, noisy = (DerivativeEstimate.of_rows(sample(100, noise)).rates for noise in (0.0, 0.3))
    assert all(0.1 < rate < 0.6 for rate in noisy)
    assert all(one > 1.3 * other for one, other in zip(clean, noisy, strict=True))
    assert DerivativeEstimate.of_rows(sample(700, 0.3)).rates[0] == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(("noise", "known"), [(0.3, True), (0.0, False)])
def test_what_more_rows_bring_is_said_where_noise_is_what_limits(noise, known):
    expected = DerivativeEstimate.fit(Known(), sample(100, noise), sample(20, noise, seed=1)).errors(
        Known(), sample(50, seed=2)[0]
    )
    assert all((each.rate is not None) == known for each in expected if each.relative > 0.1)


def test_witnesses_hear_more_rows_than_are_kept():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8000, 1, generator=generator, dtype=torch.float64)
    y = torch.sin(5 * x) + 0.1 * torch.randn(8000, 1, generator=generator, dtype=torch.float64)
    heard = DerivativeEstimate.of_rows((x, y))
    kept = replace(heard, witnesses=[w.given(heard.training[0], heard.training[1][:, 0]) for w in heard.witnesses])
    assert [len(part) for part in heard.training] == [5000, 5000]
    for more, fewer in zip(heard.reference(x[:20]).variances, kept.reference(x[:20]).variances, strict=True):
        assert 0.6 < more.mean() / fewer.mean() < 0.85  # as one over their number, or a little slower
