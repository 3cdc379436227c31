"""Attention kernels and encoder layers: the same result from their expansions, by products."""

import math

import pytest
import torch
import torch.nn.functional as F
from fused import Products, compare, watch
from torch import nn

from dse.counting import attention
from dse.counting.expansions import EXPANSIONS
from dse.errors import ExpansionRefused

aten = torch.ops.aten
CAUSAL = torch.ones(3, 3, dtype=torch.bool).triu(1)  # True: takes no part
PADDING = torch.tensor([[False, False, True], [False, False, False]])


def tensors(*shapes, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}])
@pytest.mark.parametrize("keys", [5, 7])
def test_scaled_dot_product(dtype, options, keys):
    query, key, value = tensors((2, 3, 5, 8), (2, 3, keys, 8), (2, 3, keys, 8), dtype=dtype)
    tolerance = 2e-2 if dtype.itemsize == 2 else 1e-5
    seen = watch(
        F.scaled_dot_product_attention,
        query, key, value, **options, rtol=tolerance, atol=tolerance,
    )  # fmt: skip
    assert seen.fused == ["_scaled_dot_product_flash_attention_for_cpu"]
    # 2 samples x 3 heads x 5 queries x keys x 8 features, masked or not; twice
    assert seen.products == [("baddbmm", 2 * 3 * 5 * keys * 8), ("bmm", 2 * 3 * 5 * keys * 8)]
    assert all(factor.dtype is dtype for pair in seen.factors for factor in pair)


@pytest.mark.parametrize("kind", ["boolean", "real", "a row without any"])
def test_masks_of_scaled_dot_product(kind):
    query, mask = tensors((2, 3, 5, 8), (5, 5))
    if kind != "real":
        mask = mask > 0
        mask[2] = kind == "boolean"
    seen = watch(F.scaled_dot_product_attention, query, query, query, attn_mask=mask)
    probabilities = seen.factors[1][0]
    # what the mask leaves out is an exact zero of the softmax: 2 samples x 3 heads
    left = mask.sum() if kind != "real" else 25
    assert int((probabilities != 0).sum()) == 6 * left


def test_causal_attention_leaves_the_lower_triangle():
    [query] = tensors((1, 2, 4, 8))
    seen = watch(F.scaled_dot_product_attention, query, query, query, is_causal=True)
    # 2 heads x (1 + 2 + 3 + 4)
    assert int((seen.factors[1][0] != 0).sum()) == 20


def test_heads_of_keys_that_queries_share():
    query, key = tensors((2, 4, 5, 8), (2, 2, 5, 8))
    seen = watch(F.scaled_dot_product_attention, query, key, key, enable_gqa=True)
    # 4 heads of queries multiply: 2 x 4 x 5 x 5 x 8
    assert [pairs for _, pairs in seen.products] == [1600, 1600]


def test_half_precision_does_not_overflow():
    query = torch.full((1, 1, 2, 64), 40.0, dtype=torch.float16)
    result = attention.attend(query, query, query)  # 64 x 1600 is beyond 65504, an eighth is not
    assert torch.equal(result, query)


KERNELS = {
    "_scaled_dot_product_flash_attention": (),
    "_scaled_dot_product_efficient_attention": (None, False),
    "_scaled_dot_product_cudnn_attention": (None, False),
    "_scaled_dot_product_fused_attention_overrideable": (),
    "_scaled_dot_product_attention_math_for_mps": (),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_of_other_devices(name):
    query, key = tensors((2, 3, 5, 8), (2, 3, 5, 8))
    for is_causal in (False, True):
        arguments = (query, key, key, *KERNELS[name], 0.0, is_causal)
        if name.endswith(("overrideable", "mps")):
            arguments = (query, key, key, None, 0.0, is_causal)
        again = EXPANSIONS[getattr(aten, name)](*arguments, scale=0.3)
        math_result = F.scaled_dot_product_attention(
            query, key, key, None, 0.0, is_causal, scale=0.3
        )
        compare(again, math_result)


@pytest.mark.parametrize("name", [name for name, extra in KERNELS.items() if extra])
def test_biases_of_other_devices(name):
    query, key, bias = tensors((2, 3, 5, 8), (2, 3, 7, 8), (2, 1, 5, 7))
    again = EXPANSIONS[getattr(aten, name)](query, key, key, bias, False)
    compare(again, F.scaled_dot_product_attention(query, key, key, bias))


def test_where_causal_masks_end():
    query, key = tensors((2, 3, 4, 8), (2, 3, 6, 8))
    to_the_end = torch.ones(4, 6, dtype=torch.bool).tril(2)
    expected = F.scaled_dot_product_attention(query, key, key, to_the_end)
    compare(attention.flash_attention(query, key, key, 0.0, True), expected)
    by_place = [tensor.transpose(1, 2) for tensor in (query, key, key)]
    nothing = (None,) * 5
    for kind, mask in [(0, None), (1, torch.ones(4, 6, dtype=torch.bool).tril()), (2, to_the_end)]:
        again = attention.efficient_attention_forward(*by_place, *nothing, 0.0, kind)
        compare(again.transpose(1, 2), F.scaled_dot_product_attention(query, key, key, mask))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attn_mask": CAUSAL},
        {"key_padding_mask": PADDING},
        {"attn_mask": CAUSAL, "key_padding_mask": PADDING},
        {"average_attn_weights": False},
    ],
    ids=lambda options: "+".join(options),
)
def test_multi_head_attention(context, need_weights, options):
    module = nn.MultiheadAttention(6, 2, batch_first=True).eval()
    x = torch.randn(2, 3, 6)
    seen = watch(module, x, x, x, need_weights=need_weights, context=context, **options)
    assert seen.fused == ["_native_multi_head_attention"]
    # 2 x 3 tokens x 6 x 18; 2 samples x 2 heads x 3 x 3 x 3 features, twice; 6 tokens x 6 x 6
    assert [pairs for _, pairs in seen.products] == [648, 108, 108, 216]
    # the weights reach their products as views
    assert seen.factors[0][1].data_ptr() == module.in_proj_weight.data_ptr()
    assert seen.factors[3][1].data_ptr() == module.out_proj.weight.data_ptr()


@pytest.mark.parametrize("same", ["all", "keys and values", "none"])
def test_multi_head_attention_over_several_inputs(same):
    query, key, value = tensors((2, 3, 6), (2, 3, 6), (2, 3, 6))
    inputs = {
        "all": (query, query, query),
        "keys and values": (query, key, key),
        "none": (query, key, value),
    }[same]
    weights = tensors((18, 6), (18,), (6, 6), (6,), seed=1)
    arguments = (*inputs, 6, 2, *weights, PADDING, False, True, 1)
    with torch.no_grad():
        real = aten._native_multi_head_attention(*arguments)[0]
        with Products() as seen:
            again = attention.multi_head_attention(*arguments)
    compare(again, real)
    assert seen.dense == 648 + 108 + 108 + 216


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"src_mask": CAUSAL},
        {"src_key_padding_mask": PADDING},
        {"src_mask": CAUSAL, "src_key_padding_mask": PADDING},
    ],
    ids=lambda options: "+".join(options),
)
def test_encoder_layer(context, norm_first, activation, options):
    layer = nn.TransformerEncoderLayer(
        6, 2, 8, batch_first=True, norm_first=norm_first, activation=activation
    ).eval()
    seen = watch(layer, torch.randn(2, 3, 6), context=context, **options)
    assert seen.fused == ["_transformer_encoder_layer_fwd"]
    # attention as above, then 6 tokens x 6 x 8 and 6 x 8 x 6
    assert [pairs for _, pairs in seen.products] == [648, 108, 108, 216, 288, 288]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_layer_has_the_products_of_its_parts(dtype):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval().to(dtype)
    x = torch.randn(2, 5, 8).to(dtype)
    fused = watch(layer, x, rtol=5e-2, atol=5e-2)
    parts = watch(layer, x, rtol=5e-2, atol=5e-2, context=torch.enable_grad)
    assert fused.fused == ["_transformer_encoder_layer_fwd"]
    assert parts.fused == ["_scaled_dot_product_flash_attention_for_cpu"]
    assert [pairs for _, pairs in fused.products] == [pairs for _, pairs in parts.products]
    assert {left.dtype for left, _ in fused.factors} == {dtype}


def test_whole_transformer():
    model = nn.Transformer(8, 2, 2, 2, 16, batch_first=True).eval()
    for context in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        source, target = torch.randn(2, 5, 8), torch.randn(2, 4, 8)
        seen = watch(model, source, target, context=context)
        # encoder layer: 4 projections of 8 x 8 and 2 of 8 x 16 a token, 2 x 5 x 8 for each token
        encoder = 10 * (4 * 64 + 2 * 128 + 2 * 5 * 8)
        # decoder layer: the same over 4 tokens, and 2 projections, of 4 and of 5 tokens each, and
        # 4 x 5 scores
        decoder = 8 * (4 * 64 + 2 * 128 + 2 * 4 * 8) + 2 * 64 * (8 + 10) + 8 * 2 * 5 * 8
        assert seen.dense == 2 * encoder + 2 * decoder


def test_nested_tensors_are_refused_by_name():
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    x, padding = torch.randn(2, 3, 6), PADDING
    with pytest.warns(UserWarning, match="nested tensors"):
        model = nn.TransformerEncoder(layer, 1).eval()
        with pytest.raises(ExpansionRefused, match="enable_nested_tensor=False"):
            watch(model, x, src_key_padding_mask=padding)
    model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    assert watch(model, x, src_key_padding_mask=padding).fused == ["_transformer_encoder_layer_fwd"]


def test_what_else_is_refused():
    query = torch.randn(1, 2, 3, 8)
    with pytest.raises(ExpansionRefused, match="8-bit"):
        attention.flash_attention(query, query, query, None, None, None, 0.0)
    with pytest.raises(ExpansionRefused, match="several lengths"):
        lengths = torch.tensor([0, 3])
        attention.efficient_attention_forward(
            query, query, query, None, lengths, lengths, 3, 3, 0.0, 0
        )


def test_default_scale_is_of_the_features_of_a_head():
    [query] = tensors((1, 1, 2, 16))
    compare(
        attention.attend(query, query, query),
        attention.attend(query, query, query, scale=1 / math.sqrt(16)),
    )
