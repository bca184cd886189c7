import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

import sobolev

X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
T = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
SHARES = torch.softmax(T, 1)
CLASSES = torch.tensor([0, 2, 1, 2])
SIGNS = torch.sign(T)
WEIGHTS = torch.tensor([0.5, 1, 2], dtype=torch.float64)

ELEMENTS = {
    "mse": lambda x, **o: functional.mse_loss(x, T, **o),
    "weighted mse": lambda x, **o: functional.mse_loss(x, T, weight=T.exp(), **o),
    "weighted huber": lambda x, **o: functional.huber_loss(x, T, weight=T.exp(), **o),
    "smooth l1": lambda x, **o: functional.smooth_l1_loss(x, T, beta=0.7, **o),
    "huber": lambda x, **o: functional.huber_loss(x, T, delta=0.6, **o),
    "bce": lambda x, **o: functional.binary_cross_entropy(x.sigmoid(), SHARES, WEIGHTS, **o),
    "bce of logits": lambda x, **o: functional.binary_cross_entropy_with_logits(x, SHARES, pos_weight=WEIGHTS, **o),
    "soft margin": lambda x, **o: functional.soft_margin_loss(x, SIGNS, **o),
    "kl": lambda x, **o: functional.kl_div(x, SHARES, **o) + functional.kl_div(x, x * 2, log_target=True, **o),
    "hinge": lambda x, **o: functional.hinge_embedding_loss(x, SIGNS, margin=0.4, **o),
    "poisson": lambda x, **o: (
        functional.poisson_nll_loss(x, T.exp(), full=True, **o)
        + functional.poisson_nll_loss(x.exp(), T.abs(), log_input=False, **o)
    ),
    "gaussian": lambda x, **o: functional.gaussian_nll_loss(x, T, x.exp(), full=True, **o),
    "ranking": lambda x, **o: functional.margin_ranking_loss(x, x.sin(), SIGNS, margin=0.1, **o),
    "triplet": lambda x, **o: functional.triplet_margin_loss(x, T, x.exp(), margin=2.0, swap=True, **o),
    "l1": lambda x, **o: functional.l1_loss(x**2, T, **o),
    "distance": lambda x, **o: functional.triplet_margin_with_distance_loss(
        x, T, x.exp(), distance_function=lambda a, b: (a - b).square().sum(-1), swap=True, **o
    ),
    "cosine": lambda x, **o: functional.cosine_embedding_loss(x, x.exp() + T, SIGNS[:, 0], 0.1, **o),
    "multilabel soft margin": lambda x, **o: functional.multilabel_soft_margin_loss(x, SHARES, WEIGHTS, **o),
    "linear cross entropy": lambda x, **o: functional.linear_cross_entropy(
        x, T[:3].exp(), CLASSES, linear_bias=T[3], weight=WEIGHTS, label_smoothing=0.1, **o
    ),
    "nll": lambda x, **o: functional.nll_loss(x**2, CLASSES, WEIGHTS, ignore_index=1, **o),
    "cross entropy": lambda x, **o: functional.cross_entropy(x**2, CLASSES, WEIGHTS, label_smoothing=0.1, **o),
    "cross entropy of shares": lambda x, **o: functional.cross_entropy(x**2, SHARES, label_smoothing=0.1, **o),
}


@pytest.mark.parametrize("loss", [functional.mse_loss, functional.huber_loss, functional.smooth_l1_loss])
def test_curvature_where_input_and_target_are_equal(loss):
    _, _, H = sobolev.hessian(lambda x: loss(x, T, reduction="none"), T.clone(), method="taylor")
    torch.testing.assert_close(H.sum((2, 3)), torch.full_like(T, 2 if loss is functional.mse_loss else 1))


@pytest.mark.parametrize("name", ELEMENTS)
def test_each_element(name):
    assert_rule(lambda x: ELEMENTS[name](x, reduction="none"), X, orders=(1, 3))


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ELEMENTS)
def test_reductions(name, reduction):
    """All rows at once, as a function of one number."""
    assert_rule(
        lambda t: torch.cat([ELEMENTS[name](X + s * T, reduction=reduction).reshape(1) for s in t.unbind(0)]),
        torch.tensor([[0.3]], dtype=torch.float64),
        orders=(2,),
    )


@pytest.mark.filterwarnings("ignore:size_average and reduce args")
def test_legacy_arguments():
    assert_rule(lambda x: torch.stack([functional.mse_loss(r, r.sin(), size_average=False) for r in x]), X, orders=(2,))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_weight_that_torch_does_not_hand_on_is_not_lost(reduction):
    """`l1_loss` forgets it on the way to a rule."""
    x, weight = torch.randn(5, 3, dtype=torch.float64), torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)

    def f(x):
        rows = [functional.l1_loss(row, 0 * row, reduction=reduction, weight=weight) for row in x]
        return torch.stack(rows)

    y, J = sobolev.jacobian(f, x, method="taylor")
    terms, slopes = x.abs() * weight, torch.diag_embed(x.sign() * weight)
    total = weight.sum() if reduction == "mean" else 1
    torch.testing.assert_close(y, terms if reduction == "none" else terms.sum(1) / total)
    torch.testing.assert_close(J, slopes if reduction == "none" else slopes.sum(1) / total)
