"""Operators that multiply no tensors: free ones, and ones that are seen and named without a price.

An operator that is in none of these tables, and in no rule, is `uncounted`.
"""

# views, copies, creation and reading: no arithmetic
FREE = frozenset(
    """
    _assert_async _conj _linalg_check_errors _local_scalar_dense _pack_padded_sequence
    _record_function_enter_new _record_function_exit _reshape_alias _reshape_copy _to_copy
    _to_dense _to_sparse _to_sparse_csr _unique2 _unsafe_index _unsafe_view
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d alias arange
    argmax argmin argsort as_strided as_strided_ bernoulli bernoulli_ bincount block_diag
    broadcast_tensors bucketize cat cauchy_ channel_shuffle chunk clone complex constant_pad_nd
    contiguous copy copy_ copysign copysign_ detach detach_ diag_embed diagonal diagonal_copy
    diagonal_scatter dropout embedding empty empty_like empty_strided equal expand expand_as
    expand_copy exponential_ eye fill fill_ flatten flip full full_like gather geometric_
    hamming_window hann_window im2col index index_copy index_copy_ index_fill index_fill_
    index_put index_put_ index_select int_repr is_nonzero is_same_size item lift lift_fresh
    lift_fresh_copy linspace log_normal_ logspace masked_fill masked_fill_ masked_scatter
    masked_scatter_ masked_select max_unpool2d max_unpool3d movedim multinomial narrow new_empty
    new_empty_strided new_full new_ones new_zeros nonzero normal normal_ one_hot ones ones_like
    permute pixel_shuffle pixel_unshuffle poisson put_ q_per_channel_axis q_per_channel_scales
    q_per_channel_zero_points q_scale q_zero_point qscheme rand rand_like randint randint_like
    randn randn_like random_ randperm reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape resize_
    resize_as_ roll rot90 scalar_tensor scatter scatter_ searchsorted select select_copy
    select_scatter set_ slice slice_copy slice_scatter sort split split_with_sizes squeeze
    squeeze_ squeeze_copy stack sym_numel sym_size sym_storage_offset sym_stride t t_ t_copy
    take tile to topk transpose transpose_ transpose_copy tril tril_ tril_indices triu triu_
    triu_indices unbind unbind_copy unflatten unfold uniform_ unique unique_consecutive
    unique_dim unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_
    unsqueeze_copy upsample_nearest1d upsample_nearest2d upsample_nearest3d view view_as_complex
    view_as_real view_copy where zero_ zeros zeros_like
    """.split()
)

# seen and listed by class, and not counted as products: class -> operators
_BY_CLASS = {
    "pooling": """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d
    fractional_max_pool2d fractional_max_pool3d lp_pool2d max_pool1d max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices mkldnn_max_pool2d
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_trilinear3d
    """,
    "normalisation": """
    _batch_norm_no_update _batch_norm_with_update _fused_rms_norm _native_batch_norm_legit
    _native_batch_norm_legit_no_training _weight_norm_interface batch_norm cudnn_batch_norm
    embedding_renorm_ native_batch_norm native_group_norm native_layer_norm renorm renorm_
    rms_norm
    """,
    "softmax": """
    _log_softmax _safe_softmax _softmax logcumsumexp logsumexp
    """,
    "reduction": """
    all allclose amax amin aminmax any binary_cross_entropy_with_logits count_nonzero cummax
    cummin cumprod cumprod_ cumsum cumsum_ dist histc index_reduce_ isin kthvalue
    linalg_vector_norm max mean median min mode mse_loss nanmedian nansum nll_loss_forward norm
    prod scatter_add scatter_add_ scatter_reduce scatter_reduce_ segment_reduce std std_mean sum
    trace var var_mean
    """,
    "element-wise": """
    __ilshift__ __irshift__ __lshift__ __rshift__ _prelu_kernel _thnn_fused_gru_cell
    _thnn_fused_lstm_cell abs abs_ acos acos_ acosh add add_ addcdiv addcdiv_ addcmul addcmul_
    angle asin asin_ asinh atan atan2 atan2_ atan_ atanh bitwise_and bitwise_and_
    bitwise_left_shift bitwise_not bitwise_not_ bitwise_or bitwise_or_ bitwise_right_shift
    bitwise_xor bitwise_xor_ ceil ceil_ celu celu_ clamp clamp_ clamp_max clamp_max_ clamp_min
    clamp_min_ col2im cos cos_ cosh cosh_ deg2rad dequantize digamma digamma_ div div_ elu elu_
    eq eq_ erf erf_ erfc erfc_ erfinv erfinv_ exp exp2 exp2_ exp_ expm1 expm1_
    fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask floor
    floor_ floor_divide floor_divide_ fmax fmin fmod fmod_ frac frac_ frexp gcd gcd_ ge ge_ gelu
    glu grid_sampler_2d grid_sampler_3d gt gt_ hardshrink hardsigmoid hardsigmoid_ hardswish
    hardswish_ hardtanh hardtanh_ heaviside heaviside_ hypot hypot_ i0 igamma igammac index_add
    index_add_ isfinite isinf isnan isneginf isposinf lcm ldexp le le_ leaky_relu leaky_relu_
    lerp lerp_ lgamma lgamma_ linalg_cross log log10 log10_ log1p log1p_ log2 log2_ log_
    log_sigmoid_forward logaddexp logaddexp2 logical_and logical_and_ logical_not logical_not_
    logical_or logical_or_ logical_xor logical_xor_ logit logit_ lt lt_ maximum minimum mish
    mish_ mul mul_ mvlgamma nan_to_num nan_to_num_ native_dropout ne ne_ neg neg_ nextafter
    polar pow pow_ prelu quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic
    rad2deg reciprocal reciprocal_ relu relu6 relu_ remainder remainder_ round round_
    rrelu_with_noise rrelu_with_noise_ rsqrt rsqrt_ rsub selu selu_ sgn sgn_ sigmoid sigmoid_
    sign sign_ signbit silu silu_ sin sin_ sinc sinh sinh_ softplus softshrink special_bessel_j0
    special_entr special_erfcx special_i1 special_log_ndtr sqrt sqrt_ square sub sub_ tan tan_
    tanh tanh_ threshold threshold_ trunc trunc_ xlogy xlogy_
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
