import pytest
import torch

from sobolev.errors import check_counts, check_points


@pytest.mark.parametrize("value", [0, -3, 2.0, "2", True, None])
def test_what_is_no_count(value):
    with pytest.raises(ValueError, match=rf"rows is {value!r}; it is a whole number, 1 or more"):
        check_counts(1, columns=3, rows=value)


def test_counts_from_the_least_on():
    check_counts(0, rows=0)
    check_counts(7, rows=7, columns=8)


@pytest.mark.parametrize(("x", "kind"), [([1.0], "list"), (torch.ones(2).long(), "torch.int64"), (1.0, "float")])
def test_what_are_no_points(x, kind):
    with pytest.raises(TypeError, match=f"x is {kind}; derivatives need a floating-point tensor"):
        check_points(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_points(dtype):
    check_points(torch.ones(2, dtype=dtype))
