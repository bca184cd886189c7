import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional

from sobolev.autodiff.rules import NoRuleError
from sobolev.autodiff.taylor import operators as taylor

X = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TABLE = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
WORDS = torch.tensor([4, 0, 2, 2, 1, 0])
OFFSETS = torch.tensor([0, 2, 2, 5])


def rows(f):
    """A function of each sample by itself."""
    return lambda x: torch.stack([f(row) for row in x])


def table(row):
    return row.reshape(6, 1) * TABLE.sum(1) + row.exp().reshape(6, 1)


def bags(mode, **options):
    return rows(lambda r: functional.embedding_bag(WORDS, table(r), OFFSETS, mode=mode, **options))


EXPRESSIONS = {
    "embedding": rows(lambda r: functional.embedding(WORDS, table(r))),
    "shares": lambda x: functional.embedding_bag(
        WORDS.expand(2, 6).clamp(max=4), TABLE, mode="sum", per_sample_weights=x.softmax(1)
    ),
    "shares with offsets": rows(
        lambda r: functional.embedding_bag(WORDS, TABLE, OFFSETS, mode="sum", per_sample_weights=r.exp(), padding_idx=2)
    ),
    "sum": bags("sum"),
    "mean": bags("mean", padding_idx=2),
    "max": bags("max"),
    "last offset": rows(
        lambda r: functional.embedding_bag(
            WORDS, table(r), torch.tensor([0, 3, 6]), mode="mean", include_last_offset=True
        )
    ),
}


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    assert_rule(EXPRESSIONS[name], X, orders=(1, 3))


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(5, 3, mode="sum", dtype=torch.float64)

    def forward(self, x):
        return self.bag(WORDS.expand(len(x), 6), per_sample_weights=x.softmax(1))


def test_a_layer_is_trained():
    layer = Bag()
    assert_rule(layer, X, (1, 3), reference=lambda x: (layer.bag.weight[WORDS] * x.softmax(1).unsqueeze(2)).sum(1))


def test_a_rewritten_table_is_refused():
    with pytest.raises(NoRuleError, match="max_norm"):
        taylor.jacobian(rows(lambda r: functional.embedding_bag(WORDS, table(r), OFFSETS, max_norm=1.0)), X)
    with pytest.raises(NoRuleError, match="max_norm"):
        taylor.jacobian(rows(lambda r: functional.embedding(WORDS, table(r), max_norm=1.0)), X)
