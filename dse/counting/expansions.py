"""Expansions: which fused operator hides products, and the function that makes them one by one.

An expansion takes its operator's arguments and makes its first outputs again with elementary
operators. The tracer runs the real operator, then the expansion, listening, and drops its result:
so the hidden products are counted from the values that they really multiply. An expansion may use
operators that have expansions of their own.
An expansion raises ExpansionRefused before its first product if it does not know the form that it
is given; the operator is then uncounted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from dse.counting import attention, backends, contractions, quantized, recurrent

aten, mkldnn, mkl = torch.ops.aten, torch.ops.mkldnn, torch.ops.mkl
packed = torch.ops.quantized

Expansion = Callable[..., Any]
Table = dict[Any, Expansion]


def _existing(namespace: Any, table: dict[str, Expansion]) -> Table:
    """Operators by name, as far as this build of PyTorch has them."""
    return {
        getattr(namespace, name): expansion
        for name, expansion in table.items()
        if hasattr(namespace, name)
    }


_ATTENTION: dict[str, Expansion] = {
    "_scaled_dot_product_flash_attention_for_cpu": attention.attention_for_cpu,
    "_scaled_dot_product_flash_attention": attention.flash_attention,
    "_scaled_dot_product_efficient_attention": attention.biased_attention,
    "_scaled_dot_product_cudnn_attention": attention.biased_attention,
    "_scaled_dot_product_fused_attention_overrideable": attention.overrideable_attention,
    "_scaled_dot_product_attention_math_for_mps": attention.attention_for_mps,
    "_efficient_attention_forward": attention.efficient_attention_forward,
    "_native_multi_head_attention": attention.multi_head_attention,
    "_transformer_encoder_layer_fwd": attention.encoder_layer,
}

_RECURRENT: dict[str, Expansion] = {
    "mkldnn_rnn_layer": recurrent.mkldnn_rnn_layer,
    "_cudnn_rnn": recurrent.cudnn_rnn,
    "quantized_lstm": quantized.quantized_lstm,
    "quantized_gru": quantized.quantized_gru,
}

_CONVOLUTIONS: dict[str, Expansion] = {
    "mkldnn_convolution": backends.convolution,
    "miopen_convolution": backends.convolution,
    "miopen_depthwise_convolution": backends.convolution,
    "_mps_convolution": backends.convolution,
    "cudnn_convolution": backends.convolution_without_bias,
    "cudnn_convolution_transpose": backends.transposed_convolution_without_bias,
    "miopen_convolution_transpose": backends.transposed_convolution,
    "cudnn_convolution_relu": backends.convolution_relu,
    "miopen_convolution_relu": backends.convolution_relu,
    "cudnn_convolution_add_relu": backends.convolution_add_relu,
    "miopen_convolution_add_relu": backends.convolution_add_relu,
    "convolution_overrideable": aten.convolution,
    "_nnpack_spatial_convolution": backends.nnpack_convolution,
    "_slow_conv2d_forward": backends.plain_convolution,
    "slow_conv_dilated2d": backends.plain_convolution,
    "slow_conv_dilated3d": backends.plain_convolution,
    "slow_conv3d_forward": backends.plain_convolution,
    "_conv_depthwise2d": backends.plain_convolution,
    "conv_depthwise3d": backends.plain_convolution,
    "slow_conv_transpose2d": backends.plain_transposed_convolution,
    "slow_conv_transpose3d": backends.plain_transposed_convolution,
    "conv_tbc": backends.convolution_over_time,
    "mkldnn_linear": backends.linear,
}

_POINTWISE: dict[str, Expansion] = {
    "_linear_pointwise": backends.linear_pointwise,
    "_convolution_pointwise": backends.convolution_pointwise,
    "_convolution_transpose_pointwise": backends.transposed_convolution_pointwise,
}

_CONTRACTIONS: dict[str, Expansion] = {
    "_trilinear": contractions.trilinear,
    "_cdist_forward": contractions.distances,
    "_pdist_forward": contractions.pair_distances,
    "_euclidean_dist": contractions.euclidean_distances,
    "_embedding_bag": contractions.embedding_bag,
    "_embedding_bag_forward_only": contractions.embedding_bag,
    "_int_mm": contractions.integer_product,
    "addbmm": contractions.sum_of_products,
    "addr": contractions.added_outer_product,
    "vdot": torch.dot,
    "linalg_vecdot": contractions.vector_products,
    "_addmm_activation": contractions.activated_product,
    "_grouped_mm": contractions.grouped_product,
    "_scaled_mm": contractions.scaled_product,
    "_weight_int8pack_mm": contractions.product_with_bytes,
    "_sparse_addmm": contractions.dense_call(torch.addmm),
    "_sparse_sparse_matmul": contractions.dense_call(torch.mm),
    "hspmm": contractions.dense_call(torch.mm),
}


def _unchanged(x: torch.Tensor) -> torch.Tensor:
    return x


_QUANTIZED: dict[str, Expansion] = {
    "linear": quantized.static_linear(_unchanged),
    "linear_relu": quantized.static_linear(F.relu),
    "linear_tanh": quantized.static_linear(torch.tanh),
    "linear_leaky_relu": quantized.leaky_linear,
    "linear_dynamic": quantized.dynamic_linear,
    "linear_relu_dynamic": quantized.relu_of_dynamic_linear,
    "conv2d_add": quantized.adding_convolution(_unchanged),
    "conv2d_add_relu": quantized.adding_convolution(F.relu),
    "matmul": quantized.matmul,
    "quantized_lstm_cell_dynamic": quantized.dynamic_cell(recurrent.lstm),
    "quantized_gru_cell_dynamic": quantized.dynamic_cell(recurrent.gru),
    "quantized_rnn_tanh_cell_dynamic": quantized.dynamic_cell(recurrent.rnn_tanh),
    "quantized_rnn_relu_cell_dynamic": quantized.dynamic_cell(recurrent.rnn_relu),
}
for _d in (1, 2, 3):
    _QUANTIZED |= {
        f"conv{_d}d": quantized.static_convolution(_d, _unchanged),
        f"conv{_d}d_relu": quantized.static_convolution(_d, F.relu),
        f"conv{_d}d_dynamic": quantized.dynamic_convolution(_d),
        f"conv_transpose{_d}d": quantized.static_convolution(_d, _unchanged, is_transposed=True),
        f"conv_transpose{_d}d_dynamic": quantized.dynamic_convolution(_d, is_transposed=True),
    }
_HALF: dict[str, Expansion] = {
    "linear_dynamic_fp16": quantized.half_linear,
    "linear_relu_dynamic_fp16": quantized.relu_of_half_linear,
}

EXPANSIONS: Table = {
    **_existing(aten, _ATTENTION | _RECURRENT | _CONVOLUTIONS | _CONTRACTIONS),
    **_existing(mkldnn, _POINTWISE),
    **_existing(mkl, {"_mkl_linear": backends.linear_of_mkl}),
    **_existing(packed, _QUANTIZED | _HALF),
}

# Bits of the first and second factor of an expansion's products, where the tensors that meet in
# it are wider than what the operator multiplies. None: as the tensor says.
BITS: dict[Any, tuple[int | None, int | None]] = {
    **dict.fromkeys(_existing(packed, _QUANTIZED), (8, 8)),  # a cell's linear layers say it again
    **dict.fromkeys(_existing(packed, _HALF), (None, 16)),
    **dict.fromkeys(
        _existing(aten, {name: _CONTRACTIONS[name] for name in ("_int_mm", "_scaled_mm")}), (8, 8)
    ),
    aten._weight_int8pack_mm: (None, 8),
}

# What these return is made of parameters alone, which they read from an opaque object.
_UNPACKING = [f"conv{kind}{d}d_unpack" for kind in ("", "_transpose") for d in (1, 2, 3)]
_UNPACKING += ["linear_unpack", "linear_unpack_fp16"]
UNPACKED_WEIGHTS = frozenset(getattr(packed, name) for name in _UNPACKING)
