"""Drawn operators: random geometry, data and weights, with the products that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis
import operands
import torch
import torch.nn.functional as F
from contexts import Call
from definitions import (
    Layer,
    Product,
    contraction,
    convolution,
    is_binary,
    linear,
    matrix,
    swapped,
)
from hypothesis import strategies as st
from references import attention
from torch import Tensor, nn

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True, repr=False)
class Drawn:
    """A module, its inputs by step and sample (folded), and the layers that it makes of them.

    steps : T; the leading dimension of the inputs that have time is T x samples, the step slowest
    timed : how many of the inputs have time; the others are shared
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    layers: list[Layer]
    steps: int = 1
    timed: int = 1

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        """What hypothesis shows of a draw that differs."""
        inputs = ", ".join(_in_short(x) for x in (*self.inputs, *self.module.parameters()))
        printer.text(f"{self.module}: T = {self.steps}, {inputs}")


def _in_short(x: Tensor) -> str:
    values = f" = {x.tolist()}" if x.numel() <= 16 else ""
    return f"{str(x.dtype)[6:]} {tuple(x.shape)} strides {x.stride()}{values}"


def _leading(draw: Draw) -> tuple[int, int]:
    """T and T x B."""
    steps = draw(st.sampled_from([1, 1, 2, 3]))
    return steps, steps * draw(st.integers(1, 3))


def draw_convolution(draw: Draw) -> Drawn:
    """1 to 3 dimensions, transposed or not, grouped, of data with a weight or with data."""
    dimensions = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    steps, samples = _leading(draw)

    def across(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dimensions))

    kernel, stride, dilation = across(1, 3), across(1, 3), across(1, 2)
    padding, size = across(0, 2), across(1, 5)
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    for extent, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1)
        hypothesis.assume((extent - 1) * s + span >= 2 * p if transposed else extent + 2 * p > span)
    if transposed:
        options["output_padding"] = tuple(
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        )
    groups = options["groups"] = draw(st.sampled_from([1, 1, 2, 3]))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    first, second = (c_in, c_out // groups) if transposed else (c_out, c_in // groups)
    dtype = draw(operands.dtypes)
    x = draw(operands.data((samples, c_in, *size), dtype))
    heights = (1, second) if transposed else (first, 1)
    shape, height = (first, second, *kernel), (*heights, *(1,) * dimensions)
    has_weight = draw(st.sampled_from([True, True, True, False]))
    weight = draw(
        operands.weights(shape, height, dtype) if has_weight else operands.data(shape, dtype)
    )
    function = getattr(F, f"conv{'_transpose' if transposed else ''}{dimensions}d")
    layer = Layer(convolution(x, weight, transposed=transposed, has_weight=has_weight, **options))

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return function(x, weight, **options)

    if has_weight:
        return Drawn(Call(convolve, weight), (x,), [layer], steps)
    return Drawn(Call(convolve), (x, weight), [layer], steps)


def draw_padded_convolution(draw: Draw) -> Drawn:
    """A convolution module of each padding mode, "same" among its paddings."""
    dimensions = draw(st.integers(1, 3))
    steps, samples = _leading(draw)
    mode = draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"]))
    is_same = draw(st.booleans())
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dimensions))
    options: dict[str, Any] = {
        "padding": "same" if is_same else tuple(draw(st.integers(0, 2)) for _ in kernel),
        "stride": 1 if is_same else draw(st.integers(1, 2)),
        "dilation": draw(st.integers(1, 2)),
        "groups": draw(st.sampled_from([1, 2])),
    }
    # reflected borders need more places than they have; 5 is enough for all of them
    size = tuple(draw(st.integers(5, 6)) for _ in range(dimensions))
    c_in, c_out = 2 * draw(st.integers(1, 2)), 2
    dtype = draw(operands.dtypes)
    x = draw(operands.data((samples, c_in, *size), dtype))
    build = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    layer = build(c_in, c_out, kernel, padding_mode=mode, dtype=dtype, **options)
    shape = tuple(layer.weight.shape)
    layer.weight = nn.Parameter(
        draw(operands.weights(shape, (shape[0], *(1,) * (dimensions + 1)), dtype))
    )
    pad_mode = "constant" if mode == "zeros" else mode
    product = convolution(x, layer.weight, mode=pad_mode, **options)
    return Drawn(layer, (x,), [Layer(product)], steps)


def draw_linear(draw: Draw) -> Drawn:
    """`torch.nn.functional.linear` with one to three leading dimensions."""
    steps, samples = _leading(draw)
    n_in, n_out = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    tokens = tuple(draw(st.integers(1, 4)) for _ in range(draw(st.integers(0, 2))))
    dtype = draw(operands.dtypes)
    x = draw(operands.data((samples, *tokens, n_in), dtype))
    weight = draw(operands.weights((n_out, n_in), (n_out, 1), dtype))
    bias = [torch.randn(n_out, dtype=dtype)] if draw(st.booleans()) else []
    return Drawn(Call(F.linear, weight, *bias), (x,), [Layer(linear(x, weight))], steps)


def draw_matrix(draw: Draw) -> Drawn:
    """mm and addmm of data with a weight, on either side, or of two data."""
    steps, n = _leading(draw)
    k, m = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    role = draw(st.sampled_from(["weight", "data", "weight first"]))
    dtype = draw(operands.dtypes)
    bias = torch.randn(m, dtype=dtype)
    is_added = draw(st.booleans())

    def multiply(left: Tensor, right: Tensor) -> Tensor:
        return torch.addmm(bias, left, right) if is_added else torch.mm(left, right)

    if role == "weight first":
        x, weight = (
            draw(operands.data((k, m), dtype)),
            draw(operands.weights((n, k), (n, 1), dtype)),
        )
        call = Call(lambda x, w: multiply(w, x), weight)
        return Drawn(call, (x,), [Layer(swapped(matrix(weight, x), weight))])
    x = draw(operands.data((n, k), dtype))
    if role == "data":
        other = draw(operands.data((k, m), dtype))
        return Drawn(Call(multiply), (x, other), [Layer(matrix(x, other))], steps)
    weight = draw(operands.weights((k, m), (1, m), dtype))
    layer = Layer(matrix(x, weight, has_weight=True))
    return Drawn(Call(multiply, weight), (x,), [layer], steps)


def draw_batch_of_matrices(draw: Draw) -> Drawn:
    """bmm and baddbmm of two data."""
    steps, b = _leading(draw)
    n, k, m = (draw(st.integers(1, 4)) for _ in range(3))
    dtype = draw(operands.dtypes)
    left, right = draw(operands.data((b, n, k), dtype)), draw(operands.data((b, k, m), dtype))
    call = Call(torch.bmm)
    if draw(st.booleans()):
        call = Call(lambda x, y: torch.baddbmm(x[:, :, :1] * 0, x, y))
    return Drawn(call, (left, right), [Layer(matrix(left, right))], steps, timed=2)


def draw_matmul(draw: Draw) -> Drawn:
    """`torch.matmul`, broadcasting, with vectors, of data with a weight or of two data."""
    steps, b = _leading(draw)
    n, k, m, h = (draw(st.integers(1, 3)) for _ in range(4))
    left, right, one_each = draw(
        st.sampled_from(
            [
                ((b, n, k), (k, m), False),
                ((b, k), (k,), False),
                ((b, 1, n, k), (h, k, m), False),
                ((b, h, n, k), (h, k, m), False),
                ((b, h, n, k), (b, h, k, m), True),
                ((b, h, n, k), (b, 1, k, m), True),
                ((b, n, k), (b, k, m), True),
            ]
        )
    )
    dtype = draw(operands.dtypes)
    x = draw(operands.data(left, dtype))
    if not one_each and draw(st.booleans()):
        height = (1,) if len(right) == 1 else (*right[:-2], 1, m)
        weight = draw(operands.weights(right, height, dtype))
        layer = Layer(matrix(x, weight, has_weight=True))
        return Drawn(Call(torch.matmul, weight), (x,), [layer], steps)
    other = draw(operands.data(right, dtype))
    timed = 2 if one_each else 1
    return Drawn(Call(torch.matmul), (x, other), [Layer(matrix(x, other))], steps, timed)


PER_HEAD = "bthd,hde->bthe"

# factors with a sample b, shapes by letter; whether the second is data with samples of its own
PATTERNS = (
    ("bik,kj->bij", False),
    ("bik,jk->bij", False),
    ("bchw,oc->bohw", False),
    (PER_HEAD, False),
    ("bi,ij->bj", False),
    ("bik,bjk->bij", True),
    ("bik,bkj->bij", True),
    ("bhid,bhjd->bhij", True),
    ("bhij,bhjd->bihd", True),
    ("bi,bi->b", True),
    ("bi,bj->bij", True),
)


def draw_einsum(draw: Draw) -> Drawn:
    """An einsum over two factors, the second a weight or data."""
    steps, b = _leading(draw)
    pattern, one_each = draw(st.sampled_from(PATTERNS))
    if pattern == PER_HEAD:
        steps = 1  # torch makes a batch of heads of it, and time is not the slowest in that
    factors, output = pattern.split("->")
    free = sorted(set(output) - {"b"})
    sizes = {"b": b}
    for letter in sorted(set(factors) - set(output) - {","}):
        sizes[letter] = draw(st.integers(1 if free else 2, 3))
    # a sum over one element multiplies element by element; were the factors of one shape as well,
    # nothing would tell them from two vectors that are summed to one number
    smallest = 1 if any(size > 1 for letter, size in sizes.items() if letter != "b") else 2
    sizes.update({letter: draw(st.integers(smallest, 3)) for letter in free})
    left, right = (tuple(sizes[one] for one in letters) for letters in factors.split(","))
    dtype = draw(operands.dtypes)
    x = draw(operands.data(left, dtype))

    def contract(x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum(pattern, x, y)

    if not one_each and draw(st.booleans()):
        letters = factors.split(",")[1]
        height = tuple(sizes[letter] if letter in output else 1 for letter in letters)
        weight = draw(operands.weights(right, height, dtype))
        layer = Layer(contraction(pattern, x, weight, has_weight=True))
        return Drawn(Call(contract, weight), (x,), [layer], steps)
    other = draw(operands.data(right, dtype))
    layer = Layer(contraction(pattern, x, other))
    return Drawn(Call(contract), (x, other), [layer], steps, timed=2 if one_each else 1)


def draw_bilinear(draw: Draw) -> Drawn:
    """`torch.nn.functional.bilinear`: first by the weight, then by the right factor."""
    steps, b = _leading(draw)
    i, j, o = draw(st.integers(2, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    left, right = (draw(operands.exact((b, size))) for size in (i, j))
    weight = draw(operands.exact((o, i, j)))
    inner = torch.einsum("bi,oij->boj", left, weight)
    first = contraction("bi,oij->boj", left, weight, has_weight=True)
    # the output channel is o; a weight that is binary only by columns of one o says nothing
    by_output = Product(left, weight, first.pairs, first.positions, weight.flatten(1))
    assert first.channels is not None
    hypothesis.assume(is_binary(weight.flatten(1)) == is_binary(first.channels))
    layers = [Layer(by_output), Layer(contraction("boj,bj->bo", inner, right))]
    return Drawn(Call(F.bilinear, weight), (left, right), layers, steps, timed=2)


def draw_attention(draw: Draw) -> Drawn:
    """`torch.nn.functional.scaled_dot_product_attention`, masked causally or not."""
    steps, b = _leading(draw)
    h, q_size, k_size, width = (draw(st.integers(1, 4)) for _ in range(4))
    is_causal = draw(st.booleans())
    v_width = draw(st.sampled_from([width, width + 1]))
    shapes = ((b, h, q_size, width), (b, h, k_size, width), (b, h, k_size, v_width))
    q, k, v = (draw(operands.data(shape, torch.float32)) for shape in shapes)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)

    layers, _ = attention(q, k, v, is_causal=is_causal)
    return Drawn(Call(attend), (q, k, v), layers, steps, timed=3)


OPERATORS = (
    draw_convolution,
    draw_padded_convolution,
    draw_linear,
    draw_matrix,
    draw_batch_of_matrices,
    draw_matmul,
    draw_einsum,
    draw_bilinear,
    draw_attention,
)
