import pytest

from sobolev.readout.exchange import alone, together


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
