"""Attention: the products that fused attention kernels and encoder layers hide.

Each function takes the arguments of its ATen operator and makes the same result with elementary
products. Every position of the scores is a product, masked or not; where the softmax leaves an
exact zero, the product with the value is not effective.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dse.errors import ExpansionRefused

aten = torch.ops.aten
_SOURCE, _PADDING = 0, 1  # what a mask is, as the encoder's kernels number it; else both in one


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    causal_offset: int = 0,
    scale: float | None = None,
    softmax: Callable[[Tensor, int], Tensor] = aten._safe_softmax,
) -> Tensor:
    """softmax(Q K^T scale + mask) V, as two products; returns (B, H, L, E_v).

    query : (B, H, L, E)      key : (B, H or a divisor, S, E)      value : (B, as key, S, E_v)
    mask : broadcasts to (B, H, L, S); True where a position takes part, or added to the scores
    causal_offset : the first query sees so many keys beside its own
    scale : default 1 / sqrt(E)
    softmax : what the kernel makes of a row that is masked everywhere (zeros, unless given)
    Raises ExpansionRefused for nested tensors.
    """
    refuse_nested(query, key, value)
    batch, heads, _, features = query.shape
    key, value = (_repeat_heads(tensor, heads) for tensor in (key, value))
    left, right = query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)
    scale = 1 / math.sqrt(features) if scale is None else scale
    # the scale goes into the product, whose 16-bit result might overflow without it
    scores = torch.baddbmm(left.new_zeros(()), left, right, beta=0, alpha=scale)
    scores = scores.unflatten(0, (batch, heads))
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()  # as the kernels do
    if is_causal:
        places = scores.new_ones(scores.shape[2:], dtype=torch.bool)
        scores = scores.masked_fill(~places.tril(causal_offset), -math.inf)
    if mask is not None:
        is_boolean = mask.dtype is torch.bool
        scores = scores.masked_fill(~mask, -math.inf) if is_boolean else scores + mask
    probabilities = softmax(scores, -1).to(value.dtype)
    return torch.bmm(probabilities.flatten(0, 1), value.flatten(0, 1)).unflatten(0, (batch, heads))


def refuse_nested(*tensors: Tensor | None) -> None:
    """Refuse nested tensors: their samples differ in length.

    Raises ExpansionRefused.
    """
    if any(tensor is not None and tensor.is_nested for tensor in tensors):
        raise ExpansionRefused(
            "attention over nested tensors is not counted; give padded tensors and a mask "
            "(nn.TransformerEncoder: enable_nested_tensor=False)"
        )


def attention_for_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """`_scaled_dot_product_flash_attention_for_cpu`."""
    return attend(query, key, value, attn_mask, is_causal=is_causal, scale=scale)


def flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: Any = 0.0,
    is_causal: bool = False,
    *rest: Any,
    scale: float | None = None,
) -> Tensor:
    """`_scaled_dot_product_flash_attention`; its causal mask ends at the last key.

    Raises ExpansionRefused for the 8-bit form, whose fourth argument is a scale of the query.
    """
    if dropout_p is None or isinstance(dropout_p, Tensor):
        raise ExpansionRefused("attention over 8-bit tensors is not counted")
    offset = key.shape[2] - query.shape[2]
    return attend(query, key, value, is_causal=is_causal, causal_offset=offset, scale=scale)


def biased_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *rest: Any,
    scale: float | None = None,
) -> Tensor:
    """`_scaled_dot_product_efficient_attention` and `_scaled_dot_product_cudnn_attention`."""
    return attend(query, key, value, attn_bias, is_causal=is_causal, scale=scale)


def overrideable_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *rest: Any,
    scale: float | None = None,
) -> Tensor:
    """`_scaled_dot_product_fused_attention_overrideable`."""
    return attend(query, key, value, attn_bias, is_causal=is_causal, scale=scale)


def attention_for_mps(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    dropout_mask: Tensor | None = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`_scaled_dot_product_attention_math_for_mps`."""
    return attend(query, key, value, attn_mask, is_causal=is_causal, scale=scale)


def efficient_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    cu_seqlens_q: Tensor | None,
    cu_seqlens_k: Tensor | None,
    max_seqlen_q: int | None,
    max_seqlen_k: int | None,
    dropout_p: float,
    custom_mask_type: int,
    compute_log_sumexp: bool = False,
    *,
    scale: float | None = None,
    seqlen_k: Tensor | None = None,
    window_size: int | None = None,
) -> Tensor:
    """`_efficient_attention_forward`: heads after positions, (B, L, H, E).

    custom_mask_type : 0 none, 1 causal from the first key, 2 causal up to the last key
    Raises ExpansionRefused for sequences of several lengths and for sliding windows.
    """
    if any(option is not None for option in (cu_seqlens_q, cu_seqlens_k, seqlen_k, window_size)):
        raise ExpansionRefused(
            "attention over sequences of several lengths, or in a sliding window, is not counted"
        )
    offset = key.shape[1] - query.shape[1] if custom_mask_type == 2 else 0
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    is_causal = custom_mask_type != 0
    context = attend(
        query, key, value, bias, is_causal=is_causal, causal_offset=offset, scale=scale
    )
    return context.transpose(1, 2)


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> Tensor:
    """`_native_multi_head_attention`, without the weights it may also return.

    query : (B, L, D)      qkv_weight : (3 D, D)
    mask : True where a position takes no part; its kind is (L, L), (B, S) or (B, H, L, S)
    """
    refuse_nested(query, key, value)
    weights, biases = qkv_weight.chunk(3), qkv_bias.chunk(3)
    if query is key and key is value:
        parts = linear(query, qkv_weight, qkv_bias).chunk(3, dim=-1)
    elif key is value:
        of_query = linear(query, weights[0], biases[0])
        parts = (
            of_query,
            *linear(key, qkv_weight[embed_dim:], qkv_bias[embed_dim:]).chunk(2, dim=-1),
        )
    else:
        inputs = (query, key, value)
        parts = tuple(linear(*one) for one in zip(inputs, weights, biases, strict=True))
    left, right, values = (part.unflatten(-1, (num_head, -1)).transpose(1, 2) for part in parts)
    context = attend(left, right, values, _takes_part(mask, mask_type), softmax=torch.softmax)
    return linear(context.transpose(1, 2).flatten(2), proj_weight, proj_bias)


def encoder_layer(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """`_transformer_encoder_layer_fwd`: attention and two linear layers, each with a shortcut."""
    refuse_nested(src)
    shape = (embed_dim,)

    def attention(x: Tensor) -> Tensor:
        projections = (qkv_weight, qkv_bias, proj_weight, proj_bias)
        return multi_head_attention(
            x, x, x, embed_dim, num_heads, *projections, mask, mask_type=mask_type
        )

    def feed_forward(x: Tensor) -> Tensor:
        hidden = linear(x, ffn_weight_1, ffn_bias_1)
        return linear(F.gelu(hidden) if use_gelu else F.relu(hidden), ffn_weight_2, ffn_bias_2)

    def first_norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, shape, norm_weight_1, norm_bias_1, eps)

    def second_norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, shape, norm_weight_2, norm_bias_2, eps)

    if norm_first:
        x = src + attention(first_norm(src))
        return x + feed_forward(second_norm(x))
    x = first_norm(src + attention(src))
    return second_norm(x + feed_forward(x))


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b as one product, whatever the leading dimensions of x."""
    return torch.addmm(bias, x.flatten(0, -2), weight.t()).unflatten(0, x.shape[:-1])


def _repeat_heads(tensor: Tensor, heads: int) -> Tensor:
    """Keys or values that several heads of the query share (grouped-query attention)."""
    own = tensor.shape[1]
    return tensor if own == heads else tensor.repeat_interleave(heads // own, dim=1)


def _takes_part(mask: Tensor | None, mask_type: int | None) -> Tensor | None:
    """The kernel's mask the other way round, and broadcast to (B, H, L, S)."""
    if mask is None:
        return None
    if mask_type == _SOURCE:
        mask = mask[None, None]
    elif mask_type == _PADDING:
        mask = mask[:, None, None]
    return mask.logical_not()
