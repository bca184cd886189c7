"""What an operation adds to a Hessian."""

import pytest
import torch

from sobolev.autodiff.taylor.hessian_contributions import NotCollapsibleError, arrangement, contracted


def test_gradients_of_which_rounding_is_left_are_not_trusted():
    """They would be other numbers with other marks; the rows that are marked are found in any axis."""
    marks, part = torch.tensor([1.0, 2, 3]), torch.ones(3, 4)
    marked = part * marks[:, None]
    assert arrangement(part, marked, marks).rows == 0
    assert arrangement(part.T, marked.T, marks).rows == 1
    assert arrangement(part.reshape(12), marked.reshape(12), marks).sizes == (3, 4)
    with pytest.raises(NotCollapsibleError):
        arrangement(part, marked + 0.1 * torch.eye(3, 4), marks)


@pytest.mark.parametrize("size", [0, 1e-30, 1, 1e30])
def test_products_of_all_pairs_neither_vanish_nor_overflow(size):
    """Where the sum is a number that float32 holds, all the same."""
    a, weight = torch.tensor([[3.0, -1], [2, 5]]) * size, torch.tensor([[2.0, 1], [0, 3]]) / max(size, 1e-30)
    exact = torch.einsum("bk,ik,jk->bij", weight.double(), a.double(), a.double())
    torch.testing.assert_close(contracted(a[:, None], a[:, None], weight / 2), exact.float(), rtol=1e-6, atol=0)
