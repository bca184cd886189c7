import pytest
import torch

import sobolev

X = torch.linspace(-1, 1, 40)[:, None]


@pytest.mark.parametrize(
    ("f", "kind", "place"),
    [
        (lambda x: torch.exp(x) * (x - 0.123).abs(), "kink", 0.123),
        (lambda x: torch.sin(x) + torch.nn.functional.elu(3 * (x + 0.31)), "kink", -0.31),
        (lambda x: torch.where(x > 0.456, x**2, x**2 + 1), "discontinuity", 0.456),
    ],
)
def test_the_place_is_found(f, kind, place):
    (finding,) = sobolev.audit(f, X).findings
    assert finding.kind == kind
    assert finding.severity == "warning"
    assert float(finding.message.split("x = ")[1].split(",")[0]) == pytest.approx(place, abs=1e-3)
    assert "test_kinks.py" in finding.where


@pytest.mark.parametrize("sharpness", [1, 30, 1000, 30_000])
def test_smooth_is_smooth_however_sharp(sharpness):
    findings = sobolev.audit(lambda x: x**2 + torch.tanh(sharpness * (x - 0.1)), X).findings
    assert not any(finding.kind in ("kink", "discontinuity", "piecewise-linear") for finding in findings)


@pytest.mark.parametrize("levels", [3, 60, 900])
def test_jumps_in_crowds(levels):
    """Of a crowd of small jumps none stands out until the cells are small."""

    def f(x):
        return torch.sin(3 * x) + (torch.round(levels * torch.cos(5 * x)) - levels * torch.cos(5 * x)).detach() / levels

    assert "discontinuity" in {finding.kind for finding in sobolev.audit(f, X).findings}


def test_a_jump_at_the_points_themselves():
    """Zeros that the forward takes for padding."""
    x = torch.cat([X, torch.zeros(60, 1)])
    findings = {each.kind: each for each in sobolev.audit(lambda x: torch.cos(x) * (x != 0), x).findings}
    assert findings["discontinuity"].severity == "warning"
    assert "at x = 0, one of" in findings["discontinuity"].message
    assert not sobolev.audit(lambda x: torch.cos(x), x).findings
