"""Which operators work element by element, as far as the search for neurons is concerned."""

# one potential against one threshold: true or false
COMPARISONS = frozenset({"ge", "gt", "heaviside", "le", "lt"})
SIGNS = frozenset({"sgn", "sign"})

# what only moves or renames values
COPIES = frozenset(
    """
    _reshape_alias _reshape_copy _to_copy _unsafe_view alias alias_copy clone contiguous copy
    detach detach_copy expand_copy lift lift_fresh_copy permute_copy slice squeeze_copy t_copy
    transpose_copy unsqueeze_copy view_copy
    """.split()
)

# affine in every argument, as `dse.counting.affine` writes it
AFFINE = frozenset(
    "add addcdiv addcmul div lerp masked_fill mul neg positive rsub sub true_divide where".split()
)

# keep a potential inside bounds, and else leave it alone
CLIPS = frozenset(
    "clamp clamp_max clamp_min clip hardtanh maximum minimum relu relu6 threshold".split()
)

# a number of levels in one operator: what quantised and multi-spike neurons are made of
LEVELS = frozenset({"ceil", "floor", "floor_divide", "round", "trunc"})

_LOGIC = frozenset(
    """
    bitwise_and bitwise_not bitwise_or bitwise_xor eq logical_and logical_not logical_or
    logical_xor ne
    """.split()
)

_CURVES = frozenset(
    """
    abs acos asin atan atan2 celu cos elu erf exp expm1 fmod frac gelu hardsigmoid hardswish
    leaky_relu log log10 log1p log2 mish pow reciprocal remainder rsqrt selu sigmoid silu sin
    softplus sqrt square tan tanh xlogy
    """.split()
)

ELEMENTWISE = COMPARISONS | SIGNS | COPIES | AFFINE | CLIPS | LEVELS | _LOGIC | _CURVES

# linear, or at least keeping spikes spikes: what may lie between a spike and the next product
CARRIERS = frozenset(
    """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _batch_norm_no_update _batch_norm_with_update
    _native_batch_norm_legit _native_batch_norm_legit_no_training adaptive_avg_pool1d
    adaptive_max_pool2d adaptive_max_pool3d amax avg_pool1d avg_pool2d avg_pool3d batch_norm cat
    constant_pad_nd cudnn_batch_norm cumsum flip gather im2col index index_select
    masked_select max_pool1d max_pool2d max_pool2d_with_indices max_pool3d
    max_pool3d_with_indices mkldnn_max_pool2d native_batch_norm native_dropout
    native_group_norm native_layer_norm pixel_shuffle pixel_unshuffle reflection_pad1d
    reflection_pad2d repeat replication_pad1d replication_pad2d roll scatter select_copy
    select_scatter slice_copy slice_scatter stack tril triu unbind_copy upsample_bilinear2d
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    """.split()
)
REDUCTIONS = frozenset({"all", "any", "count_nonzero", "max", "mean", "prod", "sum"})
