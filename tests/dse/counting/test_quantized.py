"""Quantised layers: the same result from their integers, as 8-bit kernels multiply them."""

import pytest
import torch
from fused import Products, compare, watch
from torch import nn

from dse.counting import quantized
from dse.counting.expansions import BITS, EXPANSIONS, UNPACKED_WEIGHTS
from dse.errors import ExpansionRefused

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions"),
    pytest.mark.filterwarnings("ignore:.*reduce_range"),
    pytest.mark.skipif(
        "x86" not in torch.backends.quantized.supported_engines, reason="x86 kernels are compared"
    ),
]
ops = torch.ops.quantized
CONTEXTS = [torch.enable_grad, torch.no_grad, torch.inference_mode]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def dynamic(module, dtype=torch.qint8):
    """A model whose layers quantise their inputs as they come."""
    kinds = {nn.Linear, nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell}
    model = nn.Sequential(module).eval()
    return torch.ao.quantization.quantize_dynamic(model, kinds, dtype=dtype)


def quantise(x, dtype=torch.quint8, scale=0.03, zero_point=100):
    return torch.quantize_per_tensor(x, scale, zero_point, dtype)


def weights(shape, *, by_channel, axis=0):
    """A weight of 8 bits: one scale, or one a channel."""
    x = torch.randn(shape)
    if not by_channel:
        return torch.quantize_per_tensor(x, 0.02, 0, torch.qint8)
    scales = torch.rand(shape[axis]) * 0.02 + 0.01
    zeros = torch.zeros(shape[axis], dtype=torch.long)
    return torch.quantize_per_channel(x, scales, zeros, axis, torch.qint8)


def same(operator, *arguments, tolerance=1e-4):
    """Compare the expansion with the operator's own kernel; returns its products."""
    with torch.no_grad():
        with Products() as seen:
            again = EXPANSIONS[operator](*arguments)
        compare(again, operator(*arguments), rtol=1e-4, atol=tolerance)
    return seen


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("leading", [(5,), (2, 3)])
def test_dynamic_linear(context, leading):
    seen = watch(dynamic(nn.Linear(6, 4)), torch.randn(*leading, 6), context=context)
    rows = 5 if leading == (5,) else 6
    assert seen.fused == ["linear_dynamic"]
    assert seen.products == [("addmm", rows * 24)]
    assert BITS[ops.linear_dynamic] == (8, 8)
    left, right = seen.factors[0]
    assert left.unique().equal(left.unique().round())
    assert right.abs().max() <= 128


def test_what_stands_for_zero_is_zero():
    x = torch.tensor([[0.0, -1.0, 2.0, 0.0]])
    seen = watch(dynamic(nn.Linear(4, 3)), x)
    # two values that are not zero
    assert int((seen.factors[0][0] != 0).sum()) == 2


def test_reduced_range():
    packed = ops.linear_prepack(weights((4, 6), by_channel=False), None)
    x = torch.randn(3, 6)
    for reduce_range, largest in ((False, 255), (True, 127)):
        with Products() as seen:
            quantized.dynamic_linear(x, packed, reduce_range)
        left = seen.factors[0][0]
        assert left.max() - left.min() == largest
        same(ops.linear_dynamic, x, packed, reduce_range)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.qint8])
def test_linear(by_channel, has_bias, dtype):
    weight = weights((4, 6), by_channel=by_channel)
    packed = ops.linear_prepack(weight, torch.randn(4) if has_bias else None)
    x = quantise(torch.randn(5, 6))
    # 5 x 6 x 4
    assert same(ops.linear, x, packed, 0.05, 64).dense == 120
    assert same(ops.linear_relu, x, packed, 0.05, 64).dense == 120
    assert same(ops.linear_relu_dynamic, torch.randn(5, 6), packed).dense == 120
    seen = same(ops.linear, x, packed, 0.05, 64)
    assert torch.equal(seen.factors[0][0], x.int_repr().float() - 100)
    assert torch.equal(seen.factors[0][1].t(), weight.int_repr().float())


def test_linear_with_other_activations():
    """Their kernels want another engine: compared with the real layer."""
    packed = ops.linear_prepack(weights((4, 6), by_channel=True), torch.randn(4))
    x = quantise(torch.randn(5, 6))
    real = quantized.linear(x, packed)
    again = EXPANSIONS[ops.linear_leaky_relu](x, packed, 0.05, 64, 0.1)
    expected = nn.functional.leaky_relu(real, 0.1)
    compare(again, torch.quantize_per_tensor(expected, 0.05, 64, torch.quint8))
    again = EXPANSIONS[ops.linear_tanh](x, packed, 1 / 128, 128)
    compare(again, torch.quantize_per_tensor(real.tanh(), 1 / 128, 128, torch.quint8))


GEOMETRY = ([2, 1], [1, 0], [1, 2], 2)  # stride, padding, dilation, groups


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_convolution(by_channel, has_bias):
    bias = torch.randn(6) if has_bias else None
    weight = weights((6, 2, 3, 3), by_channel=by_channel)
    x = quantise(torch.randn(2, 4, 7, 7))
    for operator in (ops.conv2d, ops.conv2d_relu):
        # what is packed remembers the first operator that it was given to
        packed = ops.conv2d_prepack(weight, bias, *GEOMETRY)
        # 2 x 4 x 3 places x 6 x 2 x 3 x 3 weights
        assert same(operator, x, packed, 0.05, 64).products == [("convolution", 24 * 108)]
    packed = ops.conv2d_prepack(weight, bias, *GEOMETRY)
    real = torch.randn(2, 4, 7, 7)
    step = torch.quantize_per_tensor_dynamic(real, torch.quint8, False).q_scale()
    assert same(ops.conv2d_dynamic, real, packed, tolerance=1.01 * step).dense == 24 * 108
    old_form = (*GEOMETRY, 0.05, 64)
    assert torch.equal(
        EXPANSIONS[ops.conv2d](x, packed, *old_form).int_repr(),
        EXPANSIONS[ops.conv2d](x, packed, 0.05, 64).int_repr(),
    )


@pytest.mark.parametrize("dimensions", [1, 3])
def test_convolution_of_other_dimensions(dimensions):
    weight = weights((6, 4) + (3,) * dimensions, by_channel=True)
    geometry = ([2] * dimensions, [1] * dimensions, [1] * dimensions, 1)
    x, bias = quantise(torch.randn(2, 4, *[7] * dimensions)), torch.randn(6)
    for suffix in ("", "_relu"):
        packed = getattr(ops, f"conv{dimensions}d_prepack")(weight, bias, *geometry)
        seen = same(getattr(ops, f"conv{dimensions}d{suffix}"), x, packed, 0.05, 64)
        # 2 x 4 places a dimension x 6 x 4 x 3 weights a dimension
        assert seen.dense == 2 * 4**dimensions * 24 * 3**dimensions


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_transposed_convolution(dimensions):
    one = [1] * dimensions
    weight = weights((4, 6) + (3,) * dimensions, by_channel=False)
    packed = getattr(ops, f"conv_transpose{dimensions}d_prepack")(
        weight, torch.randn(6), [2] * dimensions, one, one, one, 1
    )
    x = quantise(torch.randn(2, 4, *[5] * dimensions))
    seen = same(getattr(ops, f"conv_transpose{dimensions}d"), x, packed, 0.1, 64)
    # every input place: 2 x 5 a dimension x 4 x 6 x 3 a dimension
    assert seen.dense == 2 * 5**dimensions * 24 * 3**dimensions


def test_convolution_with_a_shortcut():
    """Its kernel wants another engine: compared with the convolution and the sum."""
    weight = weights((4, 4, 3, 3), by_channel=True)
    packed = ops.conv2d_prepack(weight, None, [1, 1], [1, 1], [1, 1], 1)
    x = quantise(torch.randn(2, 4, 5, 5))
    expected = quantized.convolution(x, packed, 2, is_transposed=False) + x.dequantize()
    again = EXPANSIONS[ops.conv2d_add_relu](x, x, packed, 0.05, 64)
    compare(again, torch.quantize_per_tensor(expected.relu(), 0.05, 64, torch.quint8))
    again = EXPANSIONS[ops.conv2d_add](x, x, packed, 0.05, 64)
    compare(again, torch.quantize_per_tensor(expected, 0.05, 64, torch.quint8))


def test_two_activations():
    left, right = quantise(torch.randn(2, 3, 4)), quantise(torch.randn(2, 4, 5), zero_point=3)
    # 2 x 3 x 4 x 5
    assert same(ops.matmul, left, right, 0.05, 64).dense == 120


@pytest.mark.parametrize("context", CONTEXTS)
def test_half_precision_weights(context):
    seen = watch(dynamic(nn.Linear(6, 4), torch.float16), torch.randn(5, 6), context=context)
    assert seen.fused == ["linear_dynamic_fp16"]
    assert seen.products == [("addmm", 120)]
    weight = seen.factors[0][1]
    assert torch.equal(weight.half().float(), weight)
    assert BITS[ops.linear_dynamic_fp16] == (None, 16)


def test_half_precision_weights_without_a_bias():
    packed = ops.linear_prepack_fp16(torch.randn(4, 6), None)
    x = torch.randn(2, 5, 6)
    assert same(ops.linear_dynamic_fp16, x, packed).products == [("mm", 240)]
    assert same(ops.linear_relu_dynamic_fp16, x, packed).products == [("mm", 240)]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    "options",
    [{}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}],
    ids=lambda options: "+".join(options),
)
def test_recurrent_layers(context, kind, options):
    module = dynamic(kind(6, 4, **options))
    seen = watch(module, torch.randn(5, 5, 6), context=context, rtol=1e-3, atol=1e-3)
    gates = 16 if kind is nn.LSTM else 12
    # 25 tokens x gates x (6 inputs + 4 states), or two directions, then of (8 inputs + 4 states)
    per_token = gates * 10 if "num_layers" not in options else 2 * gates * (10 + 12)
    assert seen.dense == 25 * per_token
    assert seen.fused[0] == f"quantized_{kind.__name__.lower()}"
    # the linear layers in it are seen as such, once for all inputs and once a step
    directions = 1 if "num_layers" not in options else 4
    assert seen.fused[1:] == ["linear_dynamic"] * (6 * directions)


def test_recurrent_layers_over_packed_sequences():
    x = nn.utils.rnn.pack_padded_sequence(torch.randn(5, 4, 6), [5, 3, 3, 1])
    for kind, gates in ((nn.LSTM, 16), (nn.GRU, 12)):
        for is_bidirectional in (False, True):
            module = dynamic(kind(6, 4, bidirectional=is_bidirectional))
            seen = watch(module, x, rtol=1e-2, atol=1e-2)
            # 12 tokens
            assert seen.dense == 12 * gates * 10 * (1 + is_bidirectional)


def test_recurrent_layers_in_half_precision():
    seen = watch(dynamic(nn.LSTM(6, 4), torch.float16), torch.randn(5, 2, 6))
    assert seen.fused == ["quantized_lstm"] + ["linear_dynamic_fp16"] * 6
    assert seen.dense == 10 * 16 * 10


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(kind):
    module = dynamic(kind(6, 4))
    seen = watch(module, torch.randn(2, 6), rtol=1e-3, atol=1e-3)
    gates = {nn.LSTMCell: 16, nn.GRUCell: 12, nn.RNNCell: 4}[kind]
    assert seen.dense == 2 * gates * 10
    assert seen.fused[1:] == ["linear_dynamic"] * 2


def test_old_forms_are_refused_by_name():
    x = torch.randn(5, 2, 6)
    with pytest.raises(ExpansionRefused, match="old form"):
        quantized.quantized_gru(x, torch.zeros(1, 2, 4), [x], True, 1, 0.0, False, False, False)


def test_a_weight_is_read_from_what_is_packed_alone():
    """Every tensor of a factor comes from an unpacking operator and numbers, not new tensors."""
    created = []

    class Creations(Products):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func._overloadpacket.__name__
            if name.startswith(("empty", "full", "zeros", "ones", "scalar_tensor", "lift")):
                created.append(name)
            return super().__torch_dispatch__(func, types, args, kwargs)

    packed = ops.linear_prepack(weights((4, 6), by_channel=True), torch.randn(4))
    with Creations():
        quantized.linear(quantise(torch.randn(5, 6)), packed)
    assert created == []
    assert ops.linear_unpack in UNPACKED_WEIGHTS
