"""Fused operators: attention, recurrent layers and others that hide their products inside.

The cases are registered beside the single operators; their products are those of the references.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from contexts import Call
from definitions import Layer, contraction
from references import attention, encoder_layer, multihead, recurrent
from single_operators import Case, case, spikes
from torch import Tensor, nn


def attention_case(width: int, *, is_causal: bool) -> Case:
    q, k, v = spikes(2, 3, 5, 4), torch.randn(2, 3, 5, 4), torch.relu(torch.randn(2, 3, 5, width))
    call = Call(lambda *qkv: F.scaled_dot_product_attention(*qkv, is_causal=is_causal))
    layers, _ = attention(q, k, v, is_causal=is_causal)
    return Case(call, (q, k, v), layers, 2 * 3 * 5 * 5 * (4 + width))


@case
def scaled_dot_product_attention() -> Case:
    return attention_case(4, is_causal=False)


@case
def scaled_dot_product_attention_causal() -> Case:
    return attention_case(4, is_causal=True)


@case
def scaled_dot_product_attention_of_wide_values() -> Case:
    # torch has no fused kernel for this one
    return attention_case(6, is_causal=True)


def multihead_module(width: int) -> nn.MultiheadAttention:
    """Some queries, keys and values are exactly zero: their weights are pruned by rows."""
    module = nn.MultiheadAttention(width, 2, batch_first=True)
    module.in_proj_weight.data[:: width // 2] = 0
    return module


@case
def multihead_attention() -> Case:
    module, x = multihead_module(8), spikes(2, 5, 8)
    call = Call(lambda x: module(x, x, x)[0])
    call.module = module
    # 4 projections of 8 x 8; scores and sums: 2 heads x 5 x 5 x 4 each
    dense = 2 * (5 * 4 * 64 + 2 * 2 * 25 * 4)
    return Case(call, (x,), multihead(module, x)[0], dense)


@case
def multihead_attention_without_weights() -> Case:
    module, x = multihead_module(8), spikes(2, 5, 8)
    call = Call(lambda x: module(x, x, x, need_weights=False)[0])
    call.module = module
    return Case(call, (x,), multihead(module, x)[0], 2 * (5 * 4 * 64 + 2 * 2 * 25 * 4))


@case
def multihead_attention_with_ignored_keys() -> Case:
    module, x = multihead_module(8), spikes(2, 5, 8)
    ignored = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    call = Call(lambda x: module(x, x, x, key_padding_mask=ignored, need_weights=False)[0])
    call.module = module
    layers, _ = multihead(module, x, ignored=ignored)
    return Case(call, (x,), layers, 2 * (5 * 4 * 64 + 2 * 2 * 25 * 4))


@case
def transformer_encoder_layer() -> Case:
    module = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()
    module.self_attn.in_proj_weight.data[::4] = 0
    x = spikes(2, 5, 8)
    # as above, and 8 x 12 there and back
    dense = 2 * (5 * (4 * 64 + 2 * 8 * 12) + 2 * 2 * 25 * 4)
    return Case(module, (x,), encoder_layer(module, x)[0], dense)


def recurrent_case(module: nn.RNNBase, x: Tensor, dense: int) -> Case:
    call = Call(lambda x: module(x)[0])
    call.module = module
    return Case(call, (x,), recurrent(module, x)[0], dense)


@case
def lstm() -> Case:
    module = nn.LSTM(6, 4, batch_first=True)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        # the cell input of one unit is zero for ever, and so is its state
        getattr(module, name).data[2 * 4] = 0
    # 3 samples x 5 steps x 4 gates of 4 units, from 6 inputs and 4 states
    return recurrent_case(module, spikes(3, 5, 6), 3 * 5 * 16 * (6 + 4))


@case
def lstm_of_two_levels_and_directions() -> Case:
    module = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True, bias=False)
    # the second level reads both directions of the first
    return recurrent_case(module, torch.randn(2, 5, 3), 2 * 5 * 2 * 16 * (3 + 4 + 8 + 4))


@case
def gru() -> Case:
    return recurrent_case(nn.GRU(6, 4, batch_first=True), spikes(3, 5, 6), 3 * 5 * 12 * (6 + 4))


@case
def rnn() -> Case:
    return recurrent_case(nn.RNN(6, 4, batch_first=True), spikes(3, 5, 6), 3 * 5 * 4 * (6 + 4))


class CellLoop(nn.Module):
    """A cell that is called step by step over (B, T, N)."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return state[0] if isinstance(state, tuple) else state


def cell_case(cell: nn.RNNCellBase, whole: nn.RNNBase, dense: int) -> Case:
    x = spikes(3, 5, 6)
    for name, value in cell.named_parameters():
        getattr(whole, f"{name}_l0").data = value.data
    return Case(CellLoop(cell), (x,), recurrent(whole, x)[0], dense)


@case
def rnn_cell_loop() -> Case:
    whole = nn.RNN(6, 4, batch_first=True)
    return cell_case(nn.RNNCell(6, 4), whole, 3 * 5 * 4 * (6 + 4))


@case
def lstm_cell_loop() -> Case:
    whole = nn.LSTM(6, 4, batch_first=True)
    return cell_case(nn.LSTMCell(6, 4), whole, 3 * 5 * 16 * (6 + 4))


@case
def gru_cell_loop() -> Case:
    whole = nn.GRU(6, 4, batch_first=True)
    return cell_case(nn.GRUCell(6, 4), whole, 3 * 5 * 12 * (6 + 4))


@case
def bilinear() -> Case:
    """A weight on the left factor first, then the sums of every output on the right factor."""
    layer = nn.Bilinear(4, 3, 5)
    left, right = spikes(2, 4), torch.randn(2, 3)
    right[0, 1] = 0
    inner = torch.einsum("bi,oij->boj", left, layer.weight)
    first = contraction("bi,oij->boj", left, layer.weight, has_weight=True)
    layers = [Layer(first), Layer(contraction("boj,bj->bo", inner, right))]
    return Case(layer, (left, right), layers, 2 * 5 * (4 * 3 + 3))
