import pytest
import torch
from rule_check import assert_rule
from torch import nn
from torch.nn import functional

X = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

LAYERS = {
    "rnn": nn.RNN(2, 3, batch_first=True),
    "rnn relu": nn.RNN(2, 3, nonlinearity="relu", batch_first=True, bias=False),
    "gru": nn.GRU(2, 3, 2, batch_first=True),
    "lstm": nn.LSTM(2, 3, batch_first=True, bidirectional=True),
    "lstm, projected": nn.LSTM(2, 4, 2, batch_first=True, proj_size=2),
}
CELLS = [nn.RNNCell(2, 3), nn.RNNCell(2, 3, nonlinearity="relu"), nn.GRUCell(2, 3), nn.LSTMCell(2, 3, bias=False)]


class Last(nn.Module):
    """The last output and the final states, mixed down to one number a row."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        output, state = self.layer(x)
        states = state if isinstance(state, tuple) else (state,)
        return output[:, -1].sum(1) * output[:, 0].sum(1) + sum(part.transpose(0, 1).sum((1, 2)) for part in states)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    torch.manual_seed(0)
    assert_rule(Last(LAYERS[name]).double(), X, orders=(1, 3))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cells(cell):
    cell = cell.double()

    def f(x):
        state = None
        for step in x.unbind(1):
            state = cell(step, state)
        return state[0] * state[1] if isinstance(state, tuple) else state

    assert_rule(f, X, orders=(1, 3))


def test_initial_state_that_depends_on_x():
    gru = nn.GRU(2, 3).double()
    assert_rule(lambda x: gru(x.transpose(0, 1), functional.pad(x[:, 0], (0, 1)).unsqueeze(0))[1][0], X, orders=(2,))
