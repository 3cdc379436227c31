"""Operators that multiply no tensors: free ones, and ones that are seen and named without a price.

An operator that is in none of these tables, and in no rule, is `uncounted`.
"""

# views, copies, creation and reading: no arithmetic
FREE = frozenset(
    """
    alias arange as_strided as_strided_ broadcast_tensors cat chunk clone contiguous copy copy_
    copysign detach detach_ diagonal dropout empty empty_like empty_strided equal expand
    expand_as expand_copy eye fill fill_ flatten flip full full_like gather index index_put
    index_put_ index_select is_nonzero is_same_size item lift lift_fresh lift_fresh_copy
    linspace _local_scalar_dense masked_fill masked_fill_ masked_select movedim narrow new_empty
    new_empty_strided new_full new_ones new_zeros nonzero ones ones_like permute pixel_shuffle
    pixel_unshuffle rand rand_like randint randint_like randn randn_like randperm repeat
    repeat_interleave reshape _reshape_alias _reshape_copy resize_ roll scalar_tensor scatter
    scatter_ select select_copy select_scatter set_ slice slice_copy slice_scatter split
    split_with_sizes squeeze squeeze_ squeeze_copy stack sym_numel sym_size sym_stride
    sym_storage_offset t t_copy take tile to _to_copy transpose transpose_ transpose_copy tril
    triu unbind unbind_copy unflatten unfold unsqueeze unsqueeze_ unsqueeze_copy unsafe_chunk
    unsafe_split unsafe_split_with_sizes view view_copy _unsafe_view where zero_ zeros
    zeros_like bernoulli bernoulli_ normal_ uniform_ random_ exponential_ constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d embedding one_hot argmax argmin sort topk argsort unique _unique2 bincount
    searchsorted bucketize upsample_nearest1d upsample_nearest2d upsample_nearest3d im2col
    """.split()
)

# arithmetic on single elements, pooling, normalisation, reductions: counted by element, not priced
NOT_PRICED = frozenset(
    """
    abs acos add add_ addcdiv addcdiv_ addcmul addcmul_ all amax amin aminmax any asin atan
    atan2 bitwise_and bitwise_not bitwise_or bitwise_xor ceil celu clamp clamp_ clamp_max
    clamp_max_ clamp_min clamp_min_ cos cumprod cumsum div div_ elu elu_ eq erf exp exp_ expm1
    floor floor_divide fmod frac ge gelu glu gt hardsigmoid hardsigmoid_ hardswish hardswish_
    hardtanh hardtanh_ heaviside isfinite isinf isnan le leaky_relu leaky_relu_ lerp lerp_ log
    log10 log1p log2 logical_and logical_not logical_or logical_xor logsumexp
    log_sigmoid_forward lt max maximum mean min minimum mish mul mul_ native_dropout ne neg neg_
    norm pow pow_ prelu _prelu_kernel prod reciprocal relu relu_ relu6 remainder round rsqrt
    rsub selu selu_ sgn sigmoid sigmoid_ sign silu silu_ sin softplus softshrink sqrt sqrt_
    square std std_mean sub sub_ sum tan tanh tanh_ threshold threshold_ trunc var var_mean
    xlogy _softmax _log_softmax _safe_softmax linalg_vector_norm native_batch_norm
    _native_batch_norm_legit _native_batch_norm_legit_no_training batch_norm cudnn_batch_norm
    _batch_norm_with_update _batch_norm_no_update native_layer_norm native_group_norm
    _fused_rms_norm rms_norm avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d
    _adaptive_avg_pool3d adaptive_avg_pool1d max_pool1d max_pool2d max_pool3d
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d
    mkldnn_max_pool2d lp_pool2d upsample_bilinear2d upsample_bicubic2d upsample_linear1d
    upsample_trilinear3d nll_loss_forward mse_loss binary_cross_entropy_with_logits
    """.split()
)

# folds into the weights and bias of the layer before it, where it reads that layer's very output
BATCH_NORM = frozenset(
    """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training batch_norm
    cudnn_batch_norm _batch_norm_no_update
    """.split()
)

# what only moves or renames values leaves a layer's output what it was
KEEPS_DIRECT = frozenset(
    """
    alias clone contiguous copy_ detach expand flatten permute reshape _reshape_alias squeeze t
    to _to_copy transpose unflatten unsqueeze view _unsafe_view
    """.split()
)
