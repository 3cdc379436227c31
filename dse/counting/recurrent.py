"""Recurrent: the products that fused layers of RNN, GRU and LSTM hide.

The inputs of all steps are multiplied at once, as the kernels do, the state once a step. An
initial state of zeros is data that are zero: it counts as dense, and is never effective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dse.errors import ExpansionRefused

Projection = Callable[[Tensor], Tensor]
# (gates of the input, gates of the state, state, cell) -> (state, cell)
Step = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Direction:
    """What is multiplied in one direction of one layer.

    inputs : (N, I) -> (N, gates x H)      state : (B, H_out) -> (B, gates x H)
    output : (B, H) -> (B, H_out), of an LSTM with projections
    """

    inputs: Projection
    state: Projection
    output: Projection | None = None


def rnn_tanh(inputs: Tensor, hidden: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Elman's network."""
    return torch.tanh(inputs + hidden), cell


def rnn_relu(inputs: Tensor, hidden: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Elman's network with rectified units."""
    return torch.relu(inputs + hidden), cell


def lstm(inputs: Tensor, hidden: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Gates in PyTorch's order: input, forget, cell, output."""
    enter, forget, candidate, leave = (inputs + hidden).chunk(4, dim=-1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def gru(inputs: Tensor, hidden: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Gates in PyTorch's order: reset, update, new; the reset comes after the product."""
    reset, update, new = inputs.chunk(3, dim=-1)
    hidden_reset, hidden_update, hidden_new = hidden.chunk(3, dim=-1)
    update = (update + hidden_update).sigmoid()
    new = (new + (reset + hidden_reset).sigmoid() * hidden_new).tanh()
    return (1 - update) * new + update * state, cell


# as cuDNN and oneDNN number them
STEPS: tuple[Step, ...] = (rnn_relu, rnn_tanh, lstm, gru)
_LSTM = 2


def run_direction(
    x: Tensor,
    batch_sizes: Sequence[int],
    direction: Direction,
    step: Step,
    state: Tensor,
    cell: Tensor,
    *,
    is_reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of one layer; returns outputs (N, H_out), the last state and cell.

    x : (N, I), the steps one after another, longest samples first
    batch_sizes : samples at each step, N together
    state : (B, H_out)      cell : (B, H); without features where there is no cell
    """
    gates = direction.inputs(x).split(list(batch_sizes))
    outputs = list(gates)
    steps = range(len(batch_sizes))
    for index in reversed(steps) if is_reverse else steps:
        size = batch_sizes[index]  # samples beyond have ended, or have not begun
        active, active_cell = state[:size], cell[:size]
        new, new_cell = step(gates[index], direction.state(active), active, active_cell)
        if direction.output is not None:
            new = direction.output(new)
        outputs[index] = new
        state = torch.cat([new, state[size:]])
        cell = torch.cat([new_cell, cell[size:]])
    return torch.cat(outputs), state, cell


def run_layers(
    x: Tensor,
    batch_sizes: Sequence[int],
    directions: Sequence[Direction],
    step: Step,
    state: Tensor,
    cell: Tensor | None,
    *,
    is_bidirectional: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Layers on top of one another, both directions of a layer side by side.

    x : (N, I) as for one direction      state, cell : (layers x directions, B, features)
    """
    if cell is None:
        cell = state[..., :0]
    per_layer = 2 if is_bidirectional else 1
    states, cells, outputs = [], [], []
    for index, direction in enumerate(directions):
        is_reverse = index % per_layer == 1
        one, last, last_cell = run_direction(
            x, batch_sizes, direction, step, state[index], cell[index], is_reverse=is_reverse
        )
        outputs.append(one)
        states.append(last)
        cells.append(last_cell)
        if len(outputs) == per_layer:
            x, outputs = torch.cat(outputs, dim=-1), []
    return x, torch.stack(states), torch.stack(cells)


def run_sequences(
    x: Tensor,
    directions: Sequence[Direction],
    step: Step,
    state: Tensor,
    cell: Tensor | None,
    *,
    is_bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Layers over sequences of one length; outputs as the input, (T, B, H) or (B, T, H)."""
    if batch_first:
        x = x.transpose(0, 1)
    steps, samples = x.shape[:2]
    output, last, last_cell = run_layers(
        x.flatten(0, 1),
        [samples] * steps,
        directions,
        step,
        state,
        cell,
        is_bidirectional=is_bidirectional,
    )
    output = output.unflatten(0, (steps, samples))
    return output.transpose(0, 1) if batch_first else output, last, last_cell


def projection(weight: Tensor, bias: Tensor | None = None) -> Projection:
    """x -> x W^T + b, as one product."""
    if bias is None:
        return lambda x: torch.mm(x, weight.t())
    return lambda x: torch.addmm(bias, x, weight.t())


def mkldnn_rnn_layer(
    input: Tensor,
    weight0: Tensor,
    weight1: Tensor,
    weight2: Tensor,
    weight3: Tensor,
    hx_: Tensor,
    cx_: Tensor,
    reverse: bool,
    batch_sizes: Sequence[int],
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """`mkldnn_rnn_layer`, which nn.LSTM is on a CPU: one direction of one layer.

    input : (T, B, I), whatever the layer's batch_first says      hx_, cx_ : (B, H) or (1, B, H)
    Raises ExpansionRefused for packed sequences.
    """
    if batch_sizes:
        raise ExpansionRefused("a oneDNN layer over a packed sequence is not counted")
    biases = (weight2, weight3) if has_biases else (None, None)
    direction = Direction(projection(weight0, biases[0]), projection(weight1, biases[1]))
    steps, samples = input.shape[:2]
    output, state, cell = run_direction(
        input.flatten(0, 1),
        [samples] * steps,
        direction,
        STEPS[mode],
        hx_.flatten(0, -2),
        cx_.flatten(0, -2),
        is_reverse=reverse,
    )
    return output.unflatten(0, (steps, samples)), state.view(hx_.shape), cell.view(cx_.shape)


def cudnn_rnn(
    input: Tensor,
    weight: Sequence[Tensor],
    weight_stride0: int,
    weight_buf: Tensor | None,
    hx: Tensor,
    cx: Tensor | None,
    mode: int,
    hidden_size: int,
    proj_size: int,
    num_layers: int,
    batch_first: bool,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_sizes: Sequence[int],
    dropout_state: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`_cudnn_rnn`: every layer of nn.RNN, nn.GRU or nn.LSTM on a GPU.

    weight : of each layer and direction: W_ih, W_hh, then b_ih and b_hh, then W_hr, if they are
    batch_sizes : of a packed sequence (N, I); else empty
    """
    directions = [
        _direction(weight[start : start + weight_stride0], has_output=proj_size > 0)
        for start in range(0, len(weight), weight_stride0)
    ]
    step, cell = STEPS[mode], cx if mode == _LSTM else None
    if batch_sizes:
        return run_layers(
            input, batch_sizes, directions, step, hx, cell, is_bidirectional=bidirectional
        )
    return run_sequences(
        input, directions, step, hx, cell, is_bidirectional=bidirectional, batch_first=batch_first
    )


def _direction(weights: Sequence[Tensor], *, has_output: bool) -> Direction:
    """Name the weights of one direction of one layer, as PyTorch lists them."""
    output = projection(weights[-1]) if has_output else None
    biases = weights[2:4] if len(weights) >= 4 else (None, None)
    return Direction(projection(weights[0], biases[0]), projection(weights[1], biases[1]), output)
