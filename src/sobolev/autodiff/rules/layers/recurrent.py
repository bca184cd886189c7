"""Rules of recurrent layers, step by step; PyTorch's fused kernels have no derivatives of higher order."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sobolev.autodiff.taylor.jet import Jet
from sobolev.autodiff.taylor.registry import NoRuleError, rule

State = tuple[Any, ...]
Cell = Callable[[Any, State, Sequence[Tensor | None]], State]
"""One step: gates from the input, the state, (weight_hh, bias_hh) -> the next state, h first."""


@rule(torch.rnn_tanh_cell)
def rnn_tanh_cell(x: Any, h: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Jet:
    """tanh(W x + U h + b)."""
    return _tanh_step(functional.linear(x, w_ih, b_ih), (h,), (w_hh, b_hh))[0]


@rule(torch.rnn_relu_cell)
def rnn_relu_cell(x: Any, h: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Jet:
    """relu(W x + U h + b)."""
    return _relu_step(functional.linear(x, w_ih, b_ih), (h,), (w_hh, b_hh))[0]


@rule(torch.gru_cell)
def gru_cell(x: Any, h: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Jet:
    """The gated recurrent unit (Cho et al. 2014)."""
    return _gru_step(functional.linear(x, w_ih, b_ih), (h,), (w_hh, b_hh))[0]


@rule(torch.lstm_cell)
def lstm_cell(x: Any, state: State, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> State:
    """Long short-term memory (Hochreiter & Schmidhuber 1997)."""
    return _lstm_step(functional.linear(x, w_ih, b_ih), tuple(state), (w_hh, b_hh))


@rule(torch.rnn_tanh)
def rnn_tanh(x: Any, h: Any, *args: Any) -> tuple[Jet, Jet]:
    """Layers of `nn.RNN`."""
    output, (h,) = _layers(_tanh_step, x, (h,), *args)
    return output, h


@rule(torch.rnn_relu)
def rnn_relu(x: Any, h: Any, *args: Any) -> tuple[Jet, Jet]:
    """Layers of `nn.RNN` with ReLU."""
    output, (h,) = _layers(_relu_step, x, (h,), *args)
    return output, h


@rule(torch.gru)
def gru(x: Any, h: Any, *args: Any) -> tuple[Jet, Jet]:
    """Layers of `nn.GRU`."""
    output, (h,) = _layers(_gru_step, x, (h,), *args)
    return output, h


@rule(torch.lstm)
def lstm(x: Any, state: Any, *args: Any) -> tuple[Jet, Jet, Jet]:
    """Layers of `nn.LSTM`."""
    output, (h, c) = _layers(_lstm_step, x, tuple(state), *args)
    return output, h, c


def _tanh_step(gates: Any, state: State, recurrent: Sequence[Any]) -> State:
    return (torch.tanh(gates + functional.linear(state[0], *recurrent[:2])),)


def _relu_step(gates: Any, state: State, recurrent: Sequence[Any]) -> State:
    return (torch.relu(gates + functional.linear(state[0], *recurrent[:2])),)


def _gru_step(gates: Any, state: State, recurrent: Sequence[Any]) -> State:
    (h,) = state
    reset, update, new = gates.chunk(3, -1)
    h_reset, h_update, h_new = functional.linear(h, *recurrent[:2]).chunk(3, -1)
    update = torch.sigmoid(update + h_update)
    new = torch.tanh(new + torch.sigmoid(reset + h_reset) * h_new)
    return (new + update * (h - new),)


def _lstm_step(gates: Any, state: State, recurrent: Sequence[Any]) -> State:
    h, c = state
    enter, forget, new, leave = (gates + functional.linear(h, *recurrent[:2])).chunk(4, -1)
    c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(new)
    h = torch.sigmoid(leave) * torch.tanh(c)
    return (functional.linear(h, recurrent[2]) if len(recurrent) > 2 else h), c


def _layers(
    cell: Cell,
    x: Any,
    state: State,
    weights: Sequence[Any],
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: Any = None,
) -> tuple[Any, State]:
    """All layers and directions over the whole sequence."""
    if not isinstance(has_biases, bool):
        raise NoRuleError("Taylor mode has no rule for packed sequences: pad them")
    time = 1 if batch_first and x.dim() == 3 else 0
    ways = 2 if bidirectional else 1
    per_layer = len(weights) // (layers * ways)
    final: list[State] = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            place = layer * ways + way
            own = weights[place * per_layer : (place + 1) * per_layer]
            start = tuple(part[place] for part in state)
            output, end = _sequence(cell, x, start, own, has_biases, time, backwards=way == 1)
            outputs.append(output)
            final.append(end)
        x = outputs[0] if ways == 1 else torch.cat(outputs, -1)
        if layer < layers - 1:
            x = functional.dropout(x, dropout, train and dropout > 0)
    return x, tuple(torch.stack(list(parts)) for parts in zip(*final, strict=True))  # dynamo wants a list


def _sequence(
    cell: Cell, x: Any, state: State, weights: Sequence[Any], has_biases: bool, time: int, backwards: bool
) -> tuple[Any, State]:
    """One layer in one direction: the outputs of all steps, and the last state."""
    biases, rest = (weights[2:4], weights[4:]) if has_biases else ((None, None), weights[2:])
    gates = functional.linear(x, weights[0], biases[0]).unbind(time)
    outputs = []
    for step in reversed(gates) if backwards else gates:
        state = cell(step, state, (weights[1], biases[1], *rest))
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs, time), state
