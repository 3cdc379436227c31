"""Convolutions and linear layers of single backends: the same result as their own kernels."""

import pytest
import torch
import torch.nn.functional as F
from fused import Products, compare
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.counting.expansions import EXPANSIONS
from dse.errors import ExpansionRefused

aten, mkldnn = torch.ops.aten, torch.ops.mkldnn


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def again(operator, *arguments, **options):
    """What the expansion makes, and the products it took."""
    packet = getattr(operator, "overloadpacket", operator)
    with torch.no_grad(), Products() as seen:
        result = EXPANSIONS[packet](*arguments, **options)
    return result, seen


def same(operator, *arguments, **options):
    """Compare the expansion with the operator's own kernel; returns its products."""
    result, seen = again(operator, *arguments, **options)
    with torch.no_grad():
        compare(result, operator(*arguments, **options), rtol=1e-4, atol=1e-4)
    return seen


X = torch.randn(2, 4, 7, 7, generator=torch.Generator().manual_seed(0))
W = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
GROUPED = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(2))
B = torch.randn(6, generator=torch.Generator().manual_seed(3))


def test_kernels_of_a_cpu():
    # 2 x 3 x 3 places (stride 2) x 6 x 4 x 3 x 3 weights
    assert same(aten._slow_conv2d_forward, X, W, [3, 3], B, [2, 2], [0, 0]).dense == 18 * 216
    # 2 x 5 x 5 places
    assert same(aten.mkldnn_convolution, X, W, B, [0, 0], [1, 1], [1, 1], 1).dense == 50 * 216
    assert same(aten.mkldnn_convolution, X, GROUPED, B, [1, 1], [2, 2], [1, 1], 2).dense == 32 * 108
    # dilation 2: 2 x 3 x 3
    assert same(aten.slow_conv_dilated2d, X, W, [3, 3], B, [1, 1], [0, 0], [2, 2]).dense == 18 * 216
    assert same(aten.slow_conv_dilated2d, X, W, [3, 3]).dense == 50 * 216
    deep, kernel = X.unsqueeze(2), W.unsqueeze(2)
    size = [1, 3, 3]
    assert same(aten.slow_conv_dilated3d, deep, kernel, size, B).dense == 50 * 216
    seen = same(aten.slow_conv3d_forward, deep, kernel, size, None, [1, 2, 2], [0, 1, 1])
    assert seen.dense == 32 * 216


def test_transposed_kernels_of_a_cpu():
    weight = W.transpose(0, 1).contiguous()
    # every input place: 2 x 7 x 7 x 216
    assert same(aten.slow_conv_transpose2d, X, weight, [3, 3]).dense == 98 * 216
    extra = ([2, 2], [1, 1], [1, 1], [1, 1])
    assert same(aten.slow_conv_transpose2d, X, weight, [3, 3], B, *extra).dense == 98 * 216
    deep, kernel = X.unsqueeze(2), weight.unsqueeze(2)
    assert same(aten.slow_conv_transpose3d, deep, kernel, [1, 3, 3]).dense == 98 * 216


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    groups=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_geometries(groups, stride, padding, dilation, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 2 * groups, 8, 7, generator=generator)
    weight = torch.randn(3 * groups, 2, 3, 2, generator=generator)
    geometry = ([padding] * 2, [stride] * 2, [dilation] * 2, groups)
    seen = same(aten.mkldnn_convolution, x, weight, None, *geometry)
    [(left, right)] = seen.factors
    assert left is x
    assert right is weight


def test_kernels_of_other_devices():
    flags = (False, False, False)
    settings_ = ([1, 0], [2, 1], [1, 2], 2)  # padding, stride, dilation, groups
    reordered = ([2, 1], [1, 0], [1, 2], 2)  # stride, padding, dilation, groups
    plain = F.conv2d(X, GROUPED, None, *reordered)
    biased = F.conv2d(X, GROUPED, B, *reordered)
    z = torch.randn_like(plain)
    calls = [
        (aten.cudnn_convolution, (X, GROUPED, *settings_, *flags), plain),
        (aten.miopen_convolution, (X, GROUPED, B, *settings_, *flags[1:]), biased),
        (aten.miopen_depthwise_convolution, (X, GROUPED, B, *settings_, *flags[1:]), biased),
        (aten._mps_convolution, (X, GROUPED, B, *settings_), biased),
        (aten.cudnn_convolution_relu, (X, GROUPED, B, *reordered), biased.relu()),
        (aten.miopen_convolution_relu, (X, GROUPED, B, *reordered), biased.relu()),
        (
            aten.cudnn_convolution_add_relu,
            (X, GROUPED, z, 0.5, B, *reordered),
            (biased + 0.5 * z).relu(),
        ),
        (
            aten.miopen_convolution_add_relu,
            (X, GROUPED, z, None, B, *reordered),
            (biased + z).relu(),
        ),
        (
            aten.convolution_overrideable,
            (X, GROUPED, B, *reordered[:3], False, [0, 0], 2),
            biased,
        ),
    ]
    for operator, arguments, expected in calls:
        result, seen = again(operator, *arguments)
        compare(result, expected)
        # 2 x 4 x 3 places x 6 x 2 x 3 x 3 weights
        assert seen.products == [("convolution", 24 * 108)], operator
    result, seen = again(aten._nnpack_spatial_convolution, X, W, B, [1, 1])
    compare(result, F.conv2d(X, W, B, padding=1))
    assert seen.dense == 98 * 216


def test_transposed_kernels_of_other_devices():
    weight = W.transpose(0, 1).contiguous()
    settings_ = ([1, 0], [1, 0], [2, 1], [1, 2], 1)  # padding, output padding, stride, dilation
    expected = F.conv_transpose2d(X, weight, None, [2, 1], [1, 0], [1, 0], 1, [1, 2])
    calls = [
        (aten.cudnn_convolution_transpose, (X, weight, *settings_, False, False, False)),
        (aten.miopen_convolution_transpose, (X, weight, None, *settings_, False, False)),
    ]
    for operator, arguments in calls:
        result, seen = again(operator, *arguments)
        compare(result, expected)
        assert seen.products == [("convolution", 98 * 216)]


def test_depthwise_kernels():
    weight = torch.randn(8, 1, 3, 3)  # two outputs for each of 4 channels
    result, seen = again(aten._conv_depthwise2d, X, weight, [3, 3], None, [2, 1], [1, 1], [1, 1])
    compare(result, F.conv2d(X, weight, None, [2, 1], 1, groups=4))
    # 2 x 4 x 7 places x 8 x 9 weights
    assert seen.dense == 56 * 72
    deep = (X.unsqueeze(2), weight.unsqueeze(2), [1, 3, 3], B[:1].expand(8), [1] * 3, [0] * 3)
    result, seen = again(aten.conv_depthwise3d, *deep, [1] * 3)
    compare(result.squeeze(2), F.conv2d(X, weight, B[:1].expand(8), groups=4))
    assert seen.dense == 50 * 72


def test_convolution_over_time():
    # 7 - 3 + 1 + 2 steps x 2 samples x 3 taps x 4 x 5
    x, weight, bias = torch.randn(7, 2, 4), torch.randn(3, 4, 5), torch.randn(5)
    assert same(aten.conv_tbc, x, weight, bias, 1).products == [("convolution", 7 * 2 * 60)]


def test_linear_of_onednn():
    x, weight, bias = torch.randn(2, 3, 4), torch.randn(5, 4), torch.randn(5)
    for one in (None, bias):
        seen = same(
            aten.mkldnn_linear, *(t if t is None else t.to_mkldnn() for t in (x, weight, one))
        )
        # 6 tokens x 4 x 5
        assert seen.dense == 120


@pytest.mark.parametrize(
    ("name", "scalars", "algorithm"),
    [
        ("none", [], None), ("relu", [], None), ("sigmoid", [], None), ("tanh", [], None),
        ("swish", [], None), ("hardswish", [], None), ("hardsigmoid", [], None),
        ("gelu", [], "none"), ("gelu", [], "tanh"), ("leaky_relu", [0.1], None),
        ("hardtanh", [-0.5, 0.5], None),
    ],
)  # fmt: skip
def test_what_follows_a_product(name, scalars, algorithm):
    x, weight = torch.randn(3, 4), torch.randn(6, 4)
    after = (name, scalars, algorithm)
    assert same(mkldnn._linear_pointwise, x, weight, B, *after).dense == 3 * 24
    geometry = ([0, 0], [1, 1], [1, 1], 1)
    assert same(mkldnn._convolution_pointwise, X, W, B, *geometry, *after).dense == 50 * 216
    transposed = ([1, 1], [0, 0], [1, 1], [1, 1], 1)
    weight = W.transpose(0, 1).contiguous()
    result, seen = again(mkldnn._convolution_transpose_pointwise, X, weight, B, *transposed, *after)
    plain = F.conv_transpose2d(X, weight, B, padding=1)
    compare(result, EXPANSIONS[mkldnn._linear_pointwise](plain, torch.eye(7), None, *after))
    assert seen.products == [("convolution", 98 * 216)]


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_what_comes_into_a_linear_layer(name):
    x, weight, other = torch.randn(3, 4), torch.randn(6, 4), torch.randn(3, 6)
    for bias in (None, B):
        assert same(mkldnn._linear_pointwise.binary, x, other, weight, bias, name).dense == 72


@pytest.mark.parametrize("then", [None, "relu"])
def test_what_comes_into_a_convolution(then):
    other = torch.randn(2, 6, 5, 5)
    for bias in (None, B):
        arguments = (X, other, W, bias, [0, 0], [1, 1], [1, 1], 1, "add", None, then, [], None)
        assert same(mkldnn._convolution_pointwise.binary, *arguments).dense == 50 * 216


def test_unknown_fusions_are_refused_by_name():
    x, weight = torch.randn(3, 4), torch.randn(6, 4)
    with pytest.raises(ExpansionRefused, match="'softplus'"):
        again(mkldnn._linear_pointwise, x, weight, None, "softplus", [], None)
    with pytest.raises(ExpansionRefused, match="'pow'"):
        again(mkldnn._linear_pointwise, x, x, weight, None, "pow")
    arguments = (X, X, W, None, [0, 0], [1, 1], [1, 1], 1, "add", 2.0, None, [], None)
    with pytest.raises(ExpansionRefused, match="scales what it adds"):
        again(mkldnn._convolution_pointwise, *arguments)


def test_weight_given_packed_and_as_it_was():
    x, weight = torch.randn(3, 4), torch.randn(6, 4)
    result, seen = again(torch.ops.mkl._mkl_linear, x, torch.zeros(1), weight, B, 3)
    compare(result, F.linear(x, weight, B))
    assert seen.dense == 72
