"""Labels of one output, with an axis for it and without."""

import pytest
import torch

import sobolev
from sobolev.losses.labels import check_labels, is_label, with_outputs
from sobolev.losses.sobolev_loss import SobolevLoss

X = torch.rand(6, 2, dtype=torch.float64)
Y, D, H = X.sin().sum(1), X.cos(), torch.diag_embed(-X.sin())
FULL = [Y[:, None], D[:, None], H[:, None]]


@pytest.mark.parametrize("labels", [[Y, D, H], [Y[:, None], D, H], [Y, D[:, None], H], FULL])
def test_one_output_needs_no_axis(labels):
    found = with_outputs(X, labels)
    assert all(torch.equal(a, b) for a, b in zip(found, FULL, strict=True))
    check_labels(X, found)
    assert all(is_label(label, X, labels[0], order) for order, label in enumerate(labels))


def test_several_outputs_do():
    several = [torch.rand(6, 3), torch.rand(6, 3, 2)]
    assert all(a is b for a, b in zip(with_outputs(X, several), several, strict=True))
    assert not is_label(torch.rand(6, 2), X, several[0], 1)
    with pytest.raises(ValueError, match="item 3"):
        check_labels(X, [several[0], torch.rand(6, 2)])


def test_weights_of_samples_are_no_label():
    x, y = torch.rand(6, 1), torch.rand(6, 1)
    assert not is_label(torch.rand(6, 1), x, y, 1) and not is_label(torch.rand(6), X, Y, 1)
    assert is_label(torch.rand(6, 1), x, y[:, 0], 1) and is_label(torch.rand(6, 1, 1), x, y, 1)
    assert not is_label([1.0], x, y, 1)


def test_the_loss_is_the_same_in_every_form():
    network = sobolev.MLP(2, 1, [4]).double()
    losses = []
    for labels in ([Y, D, H], FULL):
        loss = SobolevLoss()
        loss.fit(X, labels[0], labels[1:])
        losses.append(loss(network, X, labels).total())
    assert losses[0] == losses[1]


def test_the_readout_takes_both_forms():
    readout = sobolev.LeastSquaresReadout()
    for labels in ([Y, D, H], [Y[:, None], D, H], FULL):
        found = readout.samples([X, *labels])
        assert all(torch.equal(a, b) for a, b in zip(found, [X, *FULL], strict=True))
    assert len(readout.samples([X, Y, torch.rand(6)])) == 2
