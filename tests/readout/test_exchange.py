import pytest
import torch

from sobolev.readout.exchange import alone, drawn, together


def test_the_results_of_all_by_rank():
    assert together(alone, lambda: 3) == [3]
    assert together(lambda value: [value, (4, None)], lambda: 3) == [3, 4]


def test_an_error_of_another_process_is_raised_here():
    with pytest.raises(ValueError, match="no labels there"):
        together(lambda value: [value, (None, "no labels there")], lambda: 3)


def test_an_error_here_is_raised_as_it_is_once_the_others_know():
    told = []

    def gather(value):
        told.append(value)
        return [value]

    with pytest.raises(ZeroDivisionError):
        together(gather, lambda: 1 / 0)
    assert told == [(None, "division by zero")]


def test_the_rows_that_are_drawn_do_not_depend_on_who_has_them():
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(100, *shape, generator=generator, dtype=torch.float64) for shape in ((2,), (1,), (1, 2))]
    rows[1][3] = torch.nan
    own, every = drawn(rows, 30, alone)
    order = own[0][:, 0].argsort(), every[0][:, 0].argsort()
    assert all(torch.equal(a[order[0]].nan_to_num(), b[order[1]].nan_to_num()) for a, b in zip(own, every, strict=True))
    assert len(every[0]) == 30 and not torch.equal(every[0], rows[0][:30])

    def shared(parts):
        told = []
        for part in parts:
            drawn(part, 30, lambda value: told.append(value) or [value])
        return [drawn(part, 30, lambda _: told) for part in parts]

    parts = shared([[tensor[k::2] for tensor in rows] for k in (0, 1)])
    for _, others in parts:
        assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(others, every, strict=True))
    assert sum(len(mine[0]) for mine, _ in parts) == 30
    assert len(drawn(rows, 1000, alone)[0][0]) == 100
