"""Fused recurrent layers: the same result from one product of the state a step."""

import pytest
import torch
from fused import Products, compare, watch
from torch import nn

from dse.counting import recurrent
from dse.counting.expansions import EXPANSIONS
from dse.errors import ExpansionRefused

MODES = {"RNN_RELU": 0, "RNN_TANH": 1, "LSTM": 2, "GRU": 3}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"batch_first": True},
        {"bidirectional": True},
        {"num_layers": 2},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_lstm_on_a_cpu(context, options):
    layer = nn.LSTM(6, 4, **options)
    seen = watch(layer, torch.randn(5, 5, 6), context=context)
    directions = 2 if layer.bidirectional else 1
    assert seen.fused == ["mkldnn_rnn_layer"] * (layer.num_layers * directions)
    # 5 steps x 5 samples: the inputs of all steps by 16 gates, the state of each step by 16 gates
    expected = [5 * 5 * 6 * 16, *[5 * 4 * 16] * 5] * directions
    if layer.num_layers == 2:
        expected += [5 * 5 * 4 * directions * 16, *[5 * 4 * 16] * 5] * directions
    assert [pairs for _, pairs in seen.products] == expected


def test_lstm_with_a_state_of_its_own_and_without_a_batch():
    layer = nn.LSTM(6, 4)
    state = (torch.randn(1, 4), torch.randn(1, 4))
    seen = watch(layer, torch.randn(3, 6), state)
    # 3 steps of one sample: 6 x 16 inputs and 4 x 16 states
    assert seen.dense == 3 * (6 + 4) * 16
    assert torch.equal(seen.factors[1][0], state[0])


def test_an_initial_state_of_zeros_is_multiplied():
    seen = watch(nn.LSTM(6, 4), torch.randn(3, 2, 6))
    assert [pairs for _, pairs in seen.products] == [3 * 2 * 6 * 16] + [2 * 4 * 16] * 3
    assert not seen.factors[1][0].any()
    assert seen.factors[2][0].all()


def test_weights_of_an_lstm_arrive_as_views():
    layer = nn.LSTM(6, 4)
    seen = watch(layer, torch.randn(3, 2, 6))
    addresses = [right.data_ptr() for _, right in seen.factors]
    own = layer.weight_ih_l0.data_ptr(), layer.weight_hh_l0.data_ptr()
    assert addresses == [own[0], own[1], own[1], own[1]]


def test_lstm_in_sixteen_bits():
    layer = nn.LSTM(6, 4).bfloat16()
    seen = watch(layer, torch.randn(5, 2, 6).bfloat16(), rtol=3e-2, atol=3e-2)
    assert seen.fused == ["mkldnn_rnn_layer"]
    assert {factor.dtype for pair in seen.factors for factor in pair} == {torch.bfloat16}


def test_lstm_under_autocast():
    def autocast(module, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return module(x)

    seen = watch(autocast, nn.LSTM(6, 4), torch.randn(5, 2, 6), rtol=3e-2, atol=3e-2)
    assert seen.fused == ["mkldnn_rnn_layer"]
    assert {factor.dtype for pair in seen.factors for factor in pair} == {torch.bfloat16}


def test_a_packed_onednn_layer_is_refused():
    with pytest.raises(ExpansionRefused, match="packed sequence"):
        weight = torch.zeros(4, 4)
        recurrent.mkldnn_rnn_layer(weight, *[weight] * 6, False, [2, 1], 2, 4, 1, True)


def gpu_call(layer, x, batch_sizes=()):
    """The arguments with which a layer would call `_cudnn_rnn`; x (T, B, I), or packed (N, I)."""
    samples = batch_sizes[0] if batch_sizes else x.shape[0 if layer.batch_first else 1]
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    state = torch.randn(rows, samples, layer.proj_size or layer.hidden_size)
    cell = torch.randn(rows, samples, layer.hidden_size) if layer.mode == "LSTM" else None
    weights = list(layer._flat_weights)
    return (
        x, weights, len(weights) // rows, None, state, cell, MODES[layer.mode], layer.hidden_size,
        layer.proj_size, layer.num_layers, layer.batch_first, 0.0, False, layer.bidirectional,
        list(batch_sizes), None,
    )  # fmt: skip


def on_a_cpu(layer, call, x):
    """What the layer makes of the same input and state."""
    state, cell = call[4:6]
    output, last = layer(x, state if cell is None else (state, cell))
    return output, *(last if cell is not None else (last,))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.RNN, {}),
        (nn.RNN, {"nonlinearity": "relu", "num_layers": 2}),
        (nn.RNN, {"bidirectional": True, "bias": False}),
        (nn.GRU, {}),
        (nn.GRU, {"bias": False, "batch_first": True}),
        (nn.GRU, {"num_layers": 3, "bidirectional": True}),
        (nn.LSTM, {}),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
        (nn.LSTM, {"bias": False, "bidirectional": True}),
        (nn.LSTM, {"proj_size": 3}),
        (nn.LSTM, {"proj_size": 3, "bias": False, "num_layers": 2, "bidirectional": True}),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_layers_on_a_gpu(kind, options, is_packed):
    layer = kind(6, 4, **options)
    x = torch.randn(5, 4, 6)
    if is_packed:
        x = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 3, 1], batch_first=False)
        call = gpu_call(layer, x.data, x.batch_sizes.tolist())
    else:
        call = gpu_call(layer, x)
    with torch.no_grad(), Products() as seen:
        again = EXPANSIONS[torch.ops.aten._cudnn_rnn](*call)
    with torch.no_grad():
        expected = on_a_cpu(layer, call, x)
    if is_packed:
        expected = (expected[0].data, *expected[1:])
    compare(again[: len(expected)], expected)
    # every active sample and step: inputs and state by the gates, and by the projection
    gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1) * 4
    directions = 2 if layer.bidirectional else 1
    out = layer.proj_size or 4
    per_step = 0
    for index in range(layer.num_layers):
        features = 6 if index == 0 else out * directions
        per_step += directions * (gates * (features + out) + 4 * layer.proj_size)
    # 5 steps x 4 samples, or lengths of 5, 3, 3 and 1
    assert seen.dense == (12 if is_packed else 20) * per_step


def test_products_of_a_gru_by_step():
    layer = nn.GRU(6, 4)
    with torch.no_grad(), Products() as seen:
        recurrent.cudnn_rnn(*gpu_call(layer, torch.randn(9, 6), [3, 3, 2, 1]))
    # 9 inputs x 6 x 12 gates, then 3, 3, 2 and 1 states x 4 x 12 gates
    assert [pairs for _, pairs in seen.products] == [648, 144, 144, 96, 48]


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_cells_hide_nothing(cell, context):
    module = cell(6, 4)
    seen = watch(module, torch.randn(2, 6), context=context)
    assert seen.fused == []
    # 2 samples x gates x (6 inputs + 4 states)
    assert seen.dense == 2 * module.weight_ih.shape[0] * 10
