"""Single operators: layers and functions of every spelling, with the products that they make.

Each case writes its dense products out; the effective ones come from the definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from contexts import Call
from definitions import Layer, contraction, convolution, linear, matrix
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """A model, its inputs, the products that it makes, and their dense number by pencil."""

    model: nn.Module
    inputs: tuple[Tensor, ...]
    layers: list[Layer]
    dense: int


CASES: dict[str, Callable[[], Case]] = {}


def case(build: Callable[[], Case]) -> Callable[[], Case]:
    """Register a case under the name of its function."""
    CASES[build.__name__] = build
    return build


def spikes(*shape: int, rate: float = 0.4) -> Tensor:
    return (torch.rand(shape) < rate).float()


def layer_case(layer: Any, x: Tensor, dense: int, **options: Any) -> Case:
    return Case(layer, (x,), [Layer(convolution(x, layer.weight, **options))], dense)


@case
def conv2d_strided() -> Case:
    layer = nn.Conv2d(3, 5, 3, stride=2, padding=1)
    # 2 samples x 4 x 3 places x 5 channels x 27 weights
    return layer_case(layer, spikes(2, 3, 7, 6), 2 * 4 * 3 * 5 * 27, stride=2, padding=1)


@case
def conv2d_dilated() -> Case:
    layer = nn.Conv2d(2, 4, 3, dilation=2, padding=1)
    # 8 + 2 - 4 = 6 places a dimension
    return layer_case(layer, spikes(2, 2, 8, 8), 2 * 36 * 4 * 18, dilation=2, padding=1)


@case
def conv1d() -> Case:
    return layer_case(nn.Conv1d(3, 4, 5, padding=2), spikes(2, 3, 9), 2 * 9 * 4 * 15, padding=2)


@case
def conv3d() -> Case:
    layer = nn.Conv3d(2, 3, 3, padding=1, stride=2)
    return layer_case(layer, spikes(2, 2, 5, 4, 3), 2 * 3 * 2 * 2 * 3 * 54, padding=1, stride=2)


@case
def conv2d_functional() -> Case:
    weight, x = torch.randn(4, 3, 3, 3), spikes(2, 3, 5, 5)
    call = Call(lambda x, w: F.conv2d(x, w, padding=1), weight)
    return Case(call, (x,), [Layer(convolution(x, weight, padding=1))], 2 * 25 * 4 * 27)


@case
def conv2d_depthwise() -> Case:
    layer = nn.Conv2d(4, 8, 3, padding=1, groups=4)
    return layer_case(layer, spikes(2, 4, 5, 5), 2 * 25 * 8 * 9, padding=1, groups=4)


@case
def conv2d_padding_same() -> Case:
    # an even kernel: one border is wider than the other
    layer = nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2))
    x = spikes(2, 2, 6, 6)
    return layer_case(layer, x, 2 * 36 * 3 * 24, padding="same", dilation=(1, 2))


@case
def conv2d_circular() -> Case:
    layer = nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
    return layer_case(layer, spikes(2, 2, 5, 5), 2 * 25 * 3 * 18, padding=1, mode="circular")


@case
def conv_transpose2d() -> Case:
    layer = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)
    options = {"stride": 2, "padding": 1, "output_padding": 1, "transposed": True}
    # every tap of every one of 4 x 5 inputs
    return layer_case(layer, spikes(2, 3, 4, 5), 2 * 20 * 3 * 2 * 9, **options)


@case
def conv_transpose1d_of_binary_groups() -> Case:
    # one magnitude for each of 2 groups x 2 output channels, whatever the input channel
    layer = nn.ConvTranspose1d(4, 4, 3, groups=2, bias=False)
    heights = torch.tensor([[0.3, 0.7], [0.2, 0.9]]).repeat_interleave(2, dim=0).unsqueeze(2)
    layer.weight.data = torch.randn(4, 2, 3).sign() * heights
    # 2 samples x 5 inputs x 4 channels x 2 outputs x 3 taps
    return layer_case(layer, spikes(2, 4, 5), 2 * 5 * 4 * 2 * 3, groups=2, transposed=True)


@case
def pruned_weights() -> Case:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    layer.weight.data *= torch.rand_like(layer.weight) < 0.5
    return layer_case(layer, spikes(2, 3, 5, 5), 2 * 25 * 4 * 27, padding=1)


@case
def ternary_spikes() -> Case:
    x = torch.randint(-1, 2, (2, 3, 5, 5)).float()
    return layer_case(nn.Conv2d(3, 4, 3, padding=1), x, 2 * 25 * 4 * 27, padding=1)


@case
def pooled_spikes() -> Case:
    # quarters: 1/4 is a unit, 2/4 to 4/4 are graded
    layer, x = nn.Conv2d(3, 4, 3, padding=1), spikes(2, 3, 8, 8)
    pooled = F.avg_pool2d(x, 2)
    products = [Layer(convolution(pooled, layer.weight, padding=1))]
    return Case(nn.Sequential(nn.AvgPool2d(2), layer), (x,), products, 2 * 16 * 4 * 27)


@case
def one_real_element() -> Case:
    x = spikes(2, 3, 5, 5)
    x[0, 1, 2, 3] = 0.37
    return layer_case(nn.Conv2d(3, 4, 3, padding=1), x, 2 * 25 * 4 * 27, padding=1)


@case
def binary_network() -> Case:
    x, weight = torch.randn(2, 3, 5, 5).sign(), torch.randn(4, 3, 3, 3)
    scale = weight.abs().mean(dim=(1, 2, 3), keepdim=True)
    call = Call(lambda x, w, a: F.conv2d(x, w.sign() * a, padding=1), weight, scale)
    products = [Layer(convolution(x, weight.sign() * scale, padding=1))]
    return Case(call, (x,), products, 2 * 25 * 4 * 27)


@case
def linear_over_tokens() -> Case:
    layer, x = nn.Linear(6, 4), spikes(2, 5, 6)
    return Case(layer, (x,), [Layer(linear(x, layer.weight))], 2 * 5 * 6 * 4)


@case
def module_called_twice() -> Case:
    layer, x = nn.Linear(5, 5), spikes(3, 5)
    again = 2 * x.flip(1)
    call = Call(lambda x: layer(x) + layer(2 * x.flip(1)))
    call.layer = layer
    products = [Layer(linear(x, layer.weight), linear(again, layer.weight))]
    return Case(call, (x,), products, 2 * 3 * 25)


@case
def linear_functional() -> Case:
    weight, x = torch.randn(4, 6), spikes(3, 6)
    return Case(Call(F.linear, weight), (x,), [Layer(linear(x, weight))], 3 * 6 * 4)


@case
def matmul_operator() -> Case:
    weight, x = torch.randn(6, 4), spikes(3, 6)
    call = Call(lambda x, w: x @ w, weight)
    return Case(call, (x,), [Layer(matrix(x, weight, has_weight=True))], 3 * 6 * 4)


@case
def einsum() -> Case:
    pattern, weight, x = "bchw,oc->bohw", torch.randn(4, 3), spikes(2, 3, 4, 5)
    call = Call(lambda x, w: torch.einsum(pattern, x, w), weight)
    products = [Layer(contraction(pattern, x, weight, has_weight=True))]
    return Case(call, (x,), products, 2 * 20 * 3 * 4)


@case
def spike_scores() -> Case:
    q, k = spikes(2, 3, 5, 4), spikes(2, 3, 6, 4)
    call = Call(lambda q, k: q @ k.transpose(-2, -1))
    return Case(call, (q, k), [Layer(matrix(q, k.mT))], 2 * 3 * 5 * 6 * 4)


def small_network() -> tuple[nn.Sequential, Tensor, list[Layer], int]:
    """Convolution, ReLU, linear: what traced, compiled and cast models are made of."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))
    x = spikes(2, 2, 4, 4)
    hidden = torch.relu(F.conv2d(x, net[0].weight, net[0].bias, padding=1)).flatten(1)
    layers = [Layer(convolution(x, net[0].weight, padding=1)), Layer(linear(hidden, net[3].weight))]
    return net.eval(), x, layers, 2 * (16 * 3 * 18 + 48 * 5)


@case
def convolution_then_linear() -> Case:
    net, x, layers, dense = small_network()
    return Case(net, (x,), layers, dense)


@case
def autocast_to_16_bits() -> Case:
    net, x, layers, dense = small_network()

    def cast(x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net(x)

    call = Call(cast)
    call.net = net
    with torch.no_grad():
        hidden = torch.relu(
            F.conv2d(x.bfloat16(), *(p.bfloat16() for p in net[0].parameters()), 1, 1)
        )
    layers[1] = Layer(linear(hidden.flatten(1), net[3].weight.bfloat16()))
    return Case(call, (x,), layers, dense)


@case
def compiled() -> Case:
    net, x, layers, dense = small_network()
    return Case(torch.compile(net, backend="eager"), (x,), layers, dense)


@case
def compiled_and_run_before() -> Case:
    net, x, layers, dense = small_network()
    model = torch.compile(net, backend="eager")
    with torch.no_grad():
        model(x)
    return Case(model, (x,), layers, dense)


@case
def traced() -> Case:
    net, x, layers, dense = small_network()
    return Case(torch.jit.trace(net, x), (x,), layers, dense)


@case
def embedding_then_linear() -> Case:
    net = nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 4))
    tokens = torch.randint(0, 7, (3, 5))
    return Case(net, (tokens,), [Layer(linear(net[0](tokens), net[1].weight))], 3 * 5 * 6 * 4)
