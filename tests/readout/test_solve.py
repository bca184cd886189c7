"""The readout against numpy on equations that are written down by hand; what it must never do."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import sobolev
from sobolev import MLP, Function, Standardized
from sobolev.readout import solve_readout


def network(seed=0, inputs=1, outputs=1, width=10):
    torch.manual_seed(seed)
    return MLP(inputs, outputs, (width,), "tanh").double()


def points(n, inputs=1, seed=1):
    return torch.rand(n, inputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 4 - 2


def labelled(function, x, order=0):
    return (x, *Function(function).tensors(x, order))


def solve(model, training, held_out, **options):
    return solve_readout(model, lambda: [training], lambda: [held_out], **options)


def weights(model):
    return torch.cat([model[-1].bias[:, None], model[-1].weight], dim=1).detach()


def ridge(A, b, strength):
    """By numpy, with the penalty as further rows: fourth roots of the columns' norms, none on the bias in front."""
    D = np.diag(np.linalg.norm(A, axis=0) ** 0.25)[1:]
    mean = A[:, :1] @ np.linalg.lstsq(A[:, :1], A[:, 1:], rcond=None)[0]
    largest = np.linalg.norm((A[:, 1:] - mean) / np.diag(D[:, 1:]), 2)
    rows = np.vstack([A, strength * largest * D])
    return np.linalg.lstsq(rows, np.concatenate([b, np.zeros((len(D), *b.shape[1:]))]), rcond=None)[0]


def test_values_by_lstsq_of_numpy():
    model, training = network(), labelled("sin(x) + x**2", points(300))
    hidden = model[:-1]
    with torch.no_grad():
        features = torch.cat([torch.ones(300, 1), hidden(training[0])], dim=1)
    result = solve(model, training, labelled("sin(x) + x**2", points(100, seed=2)))
    reference = ridge(features.numpy(), training[1].numpy(), result.strength[0])
    assert result.changed and result.layer == "2" and result.rows == 300 and result.held_out == 100
    np.testing.assert_allclose(weights(model).T.numpy(), reference, rtol=1e-5)  # the condition is 1e9
    assert 8 < result.degrees_of_freedom[0] < 11 and result.dtype == "float64"


def test_gradients_and_hessians_by_lstsq_of_numpy_each_in_units_of_its_size():
    """Two inputs, one output; the features' derivatives by nested reverse mode."""
    f, model = "sin(x)*cos(y) + x*y", network(inputs=2)
    training = labelled(f, points(200, 2), 2)
    blocks = [t.detach() for t in sobolev.hessian(model[:-1], training[0], method="reverse")]
    rows, right = [], []
    for order, (block, label) in enumerate(zip(blocks, training[1:], strict=True)):
        places = [(), (0,), (1,), (0, 0), (0, 1), (1, 1)]
        for place in (p for p in places if len(p) == order):
            b = label[(slice(None), 0, *place)]
            size = b.std(correction=0) if order == 0 else b.square().mean().sqrt()
            bias = torch.full((200, 1), float(order == 0), dtype=torch.float64)
            rows.append(torch.cat([bias, block[(slice(None), slice(None), *place)]], dim=1) / size)
            right.append(b / size)
    A, b = torch.cat(rows).numpy(), torch.cat(right).numpy()
    result = solve(model, training, labelled(f, points(100, 2, seed=2), 2))
    reference = ridge(A, b, result.strength[0])
    assert result.changed and result.rows == 1200 and len(result.before) == 3
    np.testing.assert_allclose(weights(model)[0].numpy(), reference, rtol=1e-7)


def test_behind_the_output_scale_a_teacher_is_found_exactly():
    """Labels from the same network with another last layer, in units of thousands."""
    x = points(400) * 50
    student = Standardized(network(outputs=2)).fit(x, 1e3 * torch.randn(400, 2)).double()
    teacher = copy.deepcopy(student)
    nn.init.normal_(teacher.network[-1].weight)
    nn.init.normal_(teacher.network[-1].bias)
    y, J, H = (t.detach() for t in sobolev.hessian(teacher, x))
    result = solve(student, (x[:300], y[:300]), (x[300:], y[300:]))
    assert max(result.after) < 1e-12 < min(result.before)
    for found, exact in zip(sobolev.hessian(student, x), (y, J, H), strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-7 * float(exact.abs().max()))


def test_labels_that_are_missing_count_nowhere():
    """Rows without any label, outputs of which one is missing here and there, derivatives at a few points only."""
    x = points(400)
    teacher, student = network(outputs=2), network(outputs=2)
    nn.init.normal_(teacher[-1].weight)
    labels = [t.detach().clone() for t in sobolev.hessian(teacher, x)]
    for k, label in enumerate(labels):
        label[torch.rand(400, 2, generator=torch.Generator().manual_seed(k)) < 0.5] = torch.nan
    labels[1][50:] = torch.nan
    labels = [x, *labels]
    result = solve(student, [t[:300] for t in labels], [t[300:] for t in labels])
    assert result.changed and max(e for e in result.after if e == e) < 1e-10
    torch.testing.assert_close(student(x), teacher(x), rtol=1e-9, atol=1e-9)


def test_derivatives_alone_leave_the_bias():
    x = points(300)
    teacher, student = network(), network()
    nn.init.normal_(teacher[-1].weight)
    y, J, _ = (t.detach() for t in sobolev.hessian(teacher, x))
    bias = student[-1].bias.detach().clone()
    labels = (x, torch.full_like(y, torch.nan), J)
    assert solve(student, labels, labels).changed
    assert torch.equal(student[-1].bias, bias)
    torch.testing.assert_close(sobolev.jacobian(student, x)[1], J, rtol=1e-8, atol=1e-8)


def test_each_output_is_judged_for_itself():
    """One output is learnt to the last digit, the other is noise and stays."""
    x = points(400)
    model = network(outputs=2)
    noise = torch.randn(400, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        clean = model[:-1](x) @ torch.linspace(-1, 1, 10, dtype=torch.float64)[:, None]
        model[-1].weight[1] = 0
        model[-1].bias[1] = noise[:300].mean()
    y, before = torch.cat([clean, noise], dim=1), weights(model)
    result = solve(model, (x[:300], y[:300]), (x[300:], y[300:]))
    assert result.strength[0] is not None and result.strength[1] is None
    assert torch.equal(weights(model)[1], before[1])
    torch.testing.assert_close(model(x)[:, :1], clean, rtol=1e-9, atol=1e-9)


def test_three_held_out_samples_are_enough_where_the_labels_are_exact():
    model = network()
    assert solve(model, labelled("sin(x)", points(300)), labelled("sin(x)", points(3, seed=2))).changed


def test_noise_is_smoothed():
    """Plain least squares on 64 features would make f'' useless."""
    torch.manual_seed(0)
    x, noise = points(500), torch.randn(500, 1, dtype=torch.float64)
    model = MLP(1, 1, (64, 64), "silu").double()
    result = solve(model, (x, x**2 + 0.04 * noise), (points(500, seed=3), points(500, seed=3) ** 2))
    assert result.changed and 3 < result.degrees_of_freedom[0] < 15
    dense = torch.linspace(-2, 2, 400, dtype=torch.float64)[:, None]
    second = sobolev.derivatives(model, dense)[2].detach()
    assert float((second - 2).square().mean().sqrt()) / 2 < 0.15


def test_labels_without_any_signal_leave_the_network_alone_or_nearly_so():
    """What simulated payoffs are to a network that has learnt their mean, here 0: one standard error is passed by
    chance once in six times, and then what comes is the little that the evidence lets through."""
    kept, dense = 0, torch.linspace(-2, 2, 101, dtype=torch.float64)[:, None]
    for seed in range(20):
        torch.manual_seed(seed)
        model, x, noise = network(seed), points(1000, seed=seed), torch.randn(1000, 1, dtype=torch.float64)
        nn.init.zeros_(model[-1].weight)
        nn.init.zeros_(model[-1].bias)
        kept += not solve(model, (x[:500], noise[:500]), (x[500:], noise[500:])).changed
        y, first, _ = (t.detach().square().mean().sqrt() for t in sobolev.derivatives(model, dense))
        assert y < 0.15 and first < 0.2
    assert kept >= 13


@given(
    seed=st.integers(0, 2**31), noise=st.sampled_from([0.0, 1e-8, 1e-4, 1e-2, 0.3, 10.0]), rows=st.integers(5, 120),
    order=st.integers(0, 2), function=st.sampled_from(["sin(3*x)", "exp(x)", "abs(x)", "1.5 + 0*x"]),
    single=st.booleans(), steps=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=60)
def test_never_a_larger_held_out_error(seed, noise, rows, order, function, single, steps):
    """Any noise, few rows and many, labels of any order, float32 and float64; measured here, order by order."""
    generator = torch.Generator().manual_seed(seed)
    model = network(seed % 1000, width=24)
    model = model.float() if single else model

    def labels(n):
        x, *tower = labelled(function, torch.rand(n, 1, generator=generator, dtype=torch.float64) * 2 + 0.1, order)
        return x, *(t + noise * torch.randn(t.shape, generator=generator, dtype=torch.float64) for t in tower)

    training, held_out = labels(rows), labels(rows)
    dtype = torch.float32 if single else torch.float64
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=20)

    def closure():
        optimizer.zero_grad()
        loss = (model(training[0].to(dtype)) - training[1].to(dtype)).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)

    def errors():
        with torch.no_grad():
            found = sobolev.hessian(model, held_out[0].to(dtype))
        return [float((a.double() - b).square().mean()) for a, b in zip(found, held_out[1:], strict=False)]

    before = errors()
    result = solve(model, training, held_out)
    after = errors()
    assert all(b <= a * (1 + 1e-9) for a, b in zip(before, after, strict=True))
    assert all(b <= a for a, b in zip(result.before, result.after, strict=True))
    assert result.changed or before == after


def test_batches_and_processes_change_nothing():
    """Rows in batches of any size; and shared between two processes, one of which has only a few."""
    training, held_out = labelled("sin(x)", points(300), 1), labelled("sin(x)", points(90, seed=2), 1)
    whole, cut = network(), network()
    solve(whole, training, held_out)
    pieces = list(zip(*(t.split(7) for t in training), strict=True))
    solve_readout(cut, lambda: pieces, lambda: [held_out])
    x = held_out[0]
    torch.testing.assert_close(cut(x), whole(x), rtol=1e-9, atol=1e-9)


def test_float32_keeps_its_precision_and_says_so():
    model = network().float()
    result = solve(model, labelled("sin(x)", points(300)), labelled("sin(x)", points(90, seed=2)))
    assert result.changed and result.dtype == "float32" and model[-1].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "training", "held_out", "reason"),
    [
        (network(), (points(0), points(0)), (points(5), points(5)), "no training sample"),
        (network(), (points(5), points(5)), (points(0), points(0)), "no held-out sample"),
        (network(outputs=2), (points(5), points(5)), (points(5), points(5)), "2 outputs"),
        (network(), (points(5), points(5) * torch.nan), (points(5), points(5)), "no label"),
        (network().bfloat16(), (points(5), points(5)), (points(5), points(5)), "half precision"),
        (nn.Sequential(nn.Linear(1, 4), nn.ReLU()), (points(5), points(5)), (points(5), points(5)), "not linear"),
    ],
)
def test_refused_with_a_reason_and_left_alone(model, training, held_out, reason):
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=reason):
        solve(model, training, held_out)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_features_that_are_not_finite_are_named():
    model = network()
    with torch.no_grad():
        model[0].weight[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        solve(model, (points(5), points(5)), (points(5), points(5)))
