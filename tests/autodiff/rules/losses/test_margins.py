"""Losses of which PyTorch has no second derivative, against their definitions, entry by entry."""

import pytest
import torch
from rule_check import assert_rule
from torch.nn import functional

X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.tensor([0.5, 1, 2], dtype=torch.float64)
CLASSES = [0, 2, 1, 2]
LABELS = [[0, 2, -1], [-1, 1, 0], [1, -1, -1], [2, 1, 0]]


def multi_margin(x, margin=1.5, p=2):
    rows = []
    for row, c in zip(x, CLASSES, strict=True):
        terms = [WEIGHTS[c] * torch.relu(margin - row[c] + row[j]) ** p for j in range(3) if j != c]
        rows.append(sum(terms) / 3)
    return torch.stack(rows)


def multilabel_margin(x):
    rows = []
    for row, labels in zip(x, LABELS, strict=True):
        right = [*labels, -1][: [*labels, -1].index(-1)]
        terms = [torch.relu(1 - row[i] + row[j]) for i in right for j in range(3) if j not in right]
        rows.append(sum(terms, 0 * row.sum()) / 3)
    return torch.stack(rows)


def of_classes(x, **options):
    return functional.multi_margin_loss(x, torch.tensor(CLASSES), 2, 1.5, WEIGHTS, **options)


def of_labels(x, **options):
    return functional.multilabel_margin_loss(x, torch.tensor(LABELS), **options)


@pytest.mark.parametrize(("loss", "definition"), [(of_classes, multi_margin), (of_labels, multilabel_margin)])
def test_margins(loss, definition):
    torch.testing.assert_close(loss(X, reduction="none"), definition(X))
    assert_rule(lambda x: loss(x.sin(), reduction="none"), X, (1, 3), reference=lambda x: definition(x.sin()))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions(reduction):
    t = torch.tensor([[0.3]], dtype=torch.float64)
    for loss, definition in ((of_classes, multi_margin), (of_labels, multilabel_margin)):
        assert_rule(
            lambda t, f=loss: f(X * t.exp(), reduction=reduction).reshape(1),
            t,
            (2,),
            reference=lambda t, f=definition: getattr(f(X * t.exp()), reduction)().reshape(1),
        )
