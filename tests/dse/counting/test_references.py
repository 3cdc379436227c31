"""Fused layers written out give what the fused layers give, so their products are the real ones."""

import pytest
import torch
import torch.nn.functional as F
from references import attention, encoder_layer, multihead, recurrent
from torch import nn


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found.float(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention(is_causal):
    q, k, v = torch.randn(3, 2, 3, 5, 4)
    layers, output = attention(q, k, v, is_causal=is_causal)
    assert close(output, F.scaled_dot_product_attention(q, k, v, is_causal=is_causal))
    # 2 samples x 3 heads x (5 x 5 scores from 4; 5 x 5 shares by 4, of which 15 are not zero)
    assert layers[0].totals()["mac"] == 6 * 100
    assert layers[1].totals()["mac"] == 6 * (60 if is_causal else 100)
    assert layers[1].totals()["dense_mac"] == 6 * 100


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention_with_keys_that_are_ignored(need_weights):
    module = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x, ignored = torch.randn(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    wanted, _ = module(x, x, x, key_padding_mask=ignored, need_weights=need_weights)
    layers, output = multihead(module, x, ignored=ignored)
    assert close(output, wanted)
    # 2 heads x 5 queries x (5 and 3 keys) x 4
    assert layers[2].totals()["mac"] == 2 * 5 * 8 * 4


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer(norm_first):
    module = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=norm_first).eval()
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        assert close(encoder_layer(module, x)[1], module(x))


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_recurrent_layers(kind, batch_first, bias):
    options = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first, "bias": bias}
    module = kind(3, 4, **options)
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        layers, output = recurrent(module, x)
        assert close(output, module(x)[0])
    # 2 levels x 2 directions x (inputs, states)
    assert len(layers) == 8
    steps, samples = (2, 5) if batch_first else (5, 2)
    gates = len(module.weight_ih_l0)
    # a state of zeros at the first step: one step less of 4 states to every gate
    assert layers[1].totals()["mac"] == (steps - 1) * samples * 4 * gates
    assert layers[1].totals()["dense_mac"] == steps * samples * 4 * gates


def test_a_unit_that_stays_silent_is_exactly_zero():
    module = nn.LSTM(6, 4, batch_first=True)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        getattr(module, name).data[2 * 4] = 0
    with torch.no_grad():
        output, _ = module(torch.randn(3, 5, 6))
    assert bool((output[..., 0] == 0).all())
    assert bool((output[..., 1:] != 0).all())


def test_a_bilinear_layer_is_two_products():
    layer = nn.Bilinear(4, 3, 5)
    left, right = torch.randn(2, 4), torch.randn(2, 3)
    inner = torch.einsum("bi,oij->boj", left, layer.weight)
    assert close(torch.einsum("boj,bj->bo", inner, right) + layer.bias, layer(left, right))
