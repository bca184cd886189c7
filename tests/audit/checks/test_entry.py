import pytest
import torch
from torch import nn

import sobolev

X = torch.randn(8, 2)


@pytest.mark.parametrize(
    ("f", "kind", "words"),
    [
        (lambda x: {"price": x, "delta": x}, "output-type", "lambda x: f(x)['price']"),
        (lambda x: (x, x), "output-type", "a tuple of 2"),
        (lambda x: x.long(), "output-type", "torch.int64"),
        (lambda x: x.sum(), "output-shape", "the first axis must be the samples"),
        (nn.Linear(3, 1), "fails", "shape (8, 2)"),
        (nn.Linear(2, 1).half(), "fails", "the weights torch.float16"),
        (nn.Sequential(nn.LazyLinear(1)), "uninitialised", "call the model once"),
        (lambda x: torch.log(x - 100), "non-finite", "8 of 8 points"),
    ],
)
def test_what_cannot_be_audited_is_said(f, kind, words):
    verdict = sobolev.audit(f, X)
    (finding,) = verdict.findings
    assert (finding.kind, finding.severity, verdict.method) == (kind, "error", "none")
    assert words in finding.message


def test_weights_that_are_not_finite_are_the_cause():
    model = nn.Linear(2, 1)
    torch.nn.init.constant_(model.bias, torch.nan)
    (finding,) = sobolev.audit(model, X).findings
    assert finding.message.startswith("weights are NaN or infinite, since a training diverged")


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(2, 4), nn.Tanh())
    verdict = sobolev.audit(model, X)
    assert [(each.kind, each.severity, each.where) for each in verdict.findings] == [
        ("inference-tensors", "note", "0 (Linear)")
    ]


class Renamed(nn.Linear):
    """Its author has another idea of `parameters`."""

    def parameters(self):
        return [{"params": [self.weight], "lr": 0.1}]


def test_parameters_of_the_authors_own():
    assert sobolev.audit(nn.Sequential(Renamed(2, 4), nn.Tanh()), X).trustworthy
