"""Operators that multiply no tensors: free ones, and ones that are seen and named without a price.

An operator that is in none of these tables, and in no rule, is `uncounted`.
"""

# views, copies, creation and reading: no arithmetic
FREE = frozenset(
    """
    _linalg_check_errors _local_scalar_dense _record_function_enter_new _record_function_exit
    _reshape_alias _reshape_copy _to_copy _to_dense _unique2 _unsafe_view alias arange argmax
    argmin argsort as_strided as_strided_ bernoulli bernoulli_ bincount broadcast_tensors
    bucketize cat chunk clone constant_pad_nd contiguous copy copy_ copysign detach detach_
    diagonal dropout embedding empty empty_like empty_strided equal expand expand_as expand_copy
    exponential_ eye fill fill_ flatten flip full full_like gather im2col index index_put
    index_put_ index_select is_nonzero is_same_size item lift lift_fresh lift_fresh_copy
    linspace masked_fill masked_fill_ masked_select movedim narrow new_empty new_empty_strided
    new_full new_ones new_zeros nonzero normal_ one_hot ones ones_like permute pixel_shuffle
    pixel_unshuffle rand rand_like randint randint_like randn randn_like random_ randperm
    reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave
    replication_pad1d replication_pad2d replication_pad3d reshape resize_ roll scalar_tensor
    scatter scatter_ searchsorted select select_copy select_scatter set_ slice slice_copy
    slice_scatter sort split split_with_sizes squeeze squeeze_ squeeze_copy stack sym_numel
    sym_size sym_storage_offset sym_stride t t_copy take tile to to_mkldnn topk transpose
    transpose_ transpose_copy tril triu unbind unbind_copy unflatten unfold uniform_ unique
    unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_ unsqueeze_copy
    upsample_nearest1d upsample_nearest2d upsample_nearest3d view view_as_complex view_as_real
    view_copy where zero_ zeros zeros_like
    """.split()
)

# seen and listed by class, and not counted as products: class -> operators
_BY_CLASS = {
    "pooling": """
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d lp_pool2d max_pool1d max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices mkldnn_max_pool2d
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_trilinear3d
    """,
    "normalisation": """
    _batch_norm_no_update _batch_norm_with_update _fused_rms_norm _native_batch_norm_legit
    _native_batch_norm_legit_no_training batch_norm cudnn_batch_norm native_batch_norm
    native_group_norm native_layer_norm rms_norm
    """,
    "softmax": """
    _log_softmax _safe_softmax _softmax logsumexp
    """,
    "reduction": """
    all amax amin aminmax any binary_cross_entropy_with_logits cumprod cumsum linalg_vector_norm
    max mean min mse_loss nll_loss_forward norm prod std std_mean sum var var_mean
    """,
    "element-wise": """
    _prelu_kernel abs acos add add_ addcdiv addcdiv_ addcmul addcmul_ asin atan atan2
    bitwise_and bitwise_not bitwise_or bitwise_xor ceil celu clamp clamp_ clamp_max clamp_max_
    clamp_min clamp_min_ col2im cos dequantize div div_ elu elu_ eq erf exp exp_ expm1 floor
    floor_divide fmod frac ge gelu glu gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh
    hardtanh_ heaviside index_add index_add_ isfinite isinf isnan le leaky_relu leaky_relu_ lerp
    lerp_ log log10 log1p log2 log_sigmoid_forward logical_and logical_not logical_or
    logical_xor lt maximum minimum mish mul mul_ native_dropout ne neg neg_ pow pow_ prelu
    quantize_per_tensor reciprocal relu relu6 relu_ remainder round rsqrt rsub selu selu_ sgn
    sigmoid sigmoid_ sign silu silu_ sin softplus softshrink sqrt sqrt_ square sub sub_ tan tanh
    tanh_ threshold threshold_ trunc xlogy
    """,
}

# operator -> class of its work
ELEMENT_WORK = {name: kind for kind, names in _BY_CLASS.items() for name in names.split()}

# folds into the weights and bias of the layer before it, where it reads that layer's very output
BATCH_NORM = frozenset(
    """
    _batch_norm_no_update _native_batch_norm_legit _native_batch_norm_legit_no_training
    batch_norm cudnn_batch_norm native_batch_norm
    """.split()
)

# new memory whose shape, and not whose values, come from a tensor
CREATION = frozenset(
    """
    empty_like full_like new_empty new_empty_strided new_full new_ones new_zeros ones_like
    rand_like randint_like randn_like zeros_like
    """.split()
)

# what only moves or renames values leaves a layer's output what it was
KEEPS_DIRECT = frozenset(
    """
    _reshape_alias _to_copy _unsafe_view alias clone contiguous copy_ detach expand flatten
    permute reshape squeeze t to transpose unflatten unsqueeze view
    """.split()
)
