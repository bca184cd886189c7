"""The check before the timing: right numbers pass, wrong ones do not."""

import pytest
import torch
from benchmarks.cases import CASES, Case
from benchmarks.check import ROWS, TOLERANCE, reference, relative_error
from benchmarks.jobs import prepared
from benchmarks.peers import PEERS

SMALL = {
    "derivatives": Case("d", "", "derivatives", 32, order=3),
    "training": Case("t", "", "training", 32),
    "laplacian": Case("l", "", "laplacian", 32, inputs=3, hidden=8),
    "hessian": Case("h", "", "hessian", 32, inputs=3, hidden=8),
}


@pytest.mark.filterwarnings("ignore:.*jit.script.*:DeprecationWarning")  # torch.func's own
@pytest.mark.parametrize("peer", ["sobolev", "nested autograd.grad", "torch.func"])
@pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
def test_what_needs_no_installation_is_right(peer, case):
    network, x = case.network(), case.batch()
    results = prepared(PEERS[peer], case, network, x)()
    assert relative_error(results, reference(case, network, x), case.job == "training") < 1e-5


def test_the_reference_is_float64_and_agrees_with_the_hessian_of_torch():
    case = SMALL["hessian"]
    network, x = case.network().double(), case.batch().double()
    (H,) = reference(case, case.network(), case.batch())
    assert H.dtype == torch.float64
    for row, point in zip(H, x[:ROWS], strict=True):
        truth = torch.autograd.functional.hessian(lambda p: network(p[None]).sum(), point)
        torch.testing.assert_close(row, truth)


def test_a_wrong_result_is_seen():
    case = SMALL["derivatives"]
    network, x = case.network(), case.batch()
    expected = reference(case, network, x)
    y, d1, d2, d3 = prepared(PEERS["nested autograd.grad"], case, network, x)()
    assert relative_error((y, d1, 1.2 * d2, d3), expected, False) == pytest.approx(0.2, rel=1e-3)
    assert relative_error((y, d1, d2 * float("nan"), d3), expected, False) > TOLERANCE
    with pytest.raises(ValueError, match="3 results where 4"):
        relative_error((y, d1, d2), expected, False)
    with pytest.raises(ValueError, match="shape"):
        relative_error((y, d1, d2[:, 0], d3), expected, False)


def test_every_case_has_a_title_of_its_own():
    assert len({case.title for case in CASES.values()}) == len(CASES)
