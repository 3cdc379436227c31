"""Layer errors: what converted neurons miss of the activations of their ANN, and for which reason.

After T steps a layer gives phi, the mean of its outputs, in the place of the activation a. With the
currents z of the ANN and the mean currents z' that the neurons really got,

    a - phi = (a - min(a, h theta))       clipping: more than a spike a step cannot be said
            + (min(a, h theta) - est(z))  quantisation: one of T + 1 values is all that can be said
            + (est(z) - est(z'))          propagated: the layers before have errors of their own
            + (est(z') - phi)             unevenness: spikes came earlier or later than evenly

est(z) = h theta clip(floor((z T + d T + v0) / theta) / T, 0, 1) is what constant currents z give
with a soft reset (Bu et al., ICLR 2022, eq. 7, and their three errors): v0 the potential at the
start, d what is added at each step, h the height of a spike. What a hard reset throws away counts
as unevenness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from dse.conversion.convert import Converted, ConvertedLayer
from dse.conversion.graph import Node
from dse.conversion.network import Neurons, Step, by_channel_of
from dse.training.evaluation import undisturbed
from reports.conversion import PARTS, LayerError

_ROWS = 256  # images times steps that flow at once


@torch.no_grad()
def layer_errors(converted: Converted, images: Tensor) -> tuple[LayerError, ...]:
    """The errors of every layer of neurons on images, at the T of the network, in their order.

    images : (N, C, H, W), at least one, on the device of the network
    """
    sums: dict[str, _Sums] = {}
    with undisturbed(images.device):
        for batch in torch.split(images, max(1, _ROWS // converted.network.time_steps)):
            _add(converted, batch, sums)
    return tuple(_of_layer(layer, sums[layer.name]) for layer in converted.layers)


def split(
    before: Tensor, after: Tensor, currents: Tensor, spikes: Tensor, neurons: Neurons, height: float
) -> dict[str, Tensor]:
    """The error of each neuron, `total`, its `PARTS`, `activation` and `output`; float64 (N, ...).

    before, after : (N, ...) into and out of the activation of the ANN
    currents, spikes : (T, N, ...) into and out of the neurons
    height : what a spike is worth, in thresholds
    """
    time_steps = len(currents)
    activation = after.double()
    dimensions = activation.dim() - 1
    threshold = by_channel_of(neurons.threshold_values, dimensions).double()
    offset = neurons.drive.double() * time_steps + neurons.initial.double()

    def estimate(mean: Tensor) -> Tensor:
        count = ((mean.double() * time_steps + offset) / threshold).floor()
        return height * threshold * count.clamp(0, time_steps) / time_steps

    clipped = torch.minimum(activation, height * threshold)
    wanted, got = estimate(before), estimate(currents.mean(0, dtype=torch.float64))
    output = height * threshold * spikes.mean(0, dtype=torch.float64)
    parts = (activation - clipped, clipped - wanted, wanted - got, got - output)
    return {
        **dict(zip(PARTS, parts, strict=True)),
        "total": activation - output,
        "activation": activation,
        "output": output.expand_as(activation),
    }


def _add(converted: Converted, images: Tensor, sums: dict[str, _Sums]) -> None:
    heights = {layer.name: layer.height for layer in converted.layers}
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def of_ann(node: Node, before: Tensor, after: Tensor) -> None:
        seen[node.name] = (before, after)

    def of_neurons(step: Step, currents: Tensor, spikes: Tensor) -> None:
        neurons = converted.network.nodes[step.module] if step.module else None
        if isinstance(neurons, Neurons):
            found = split(*seen.pop(step.name), currents, spikes, neurons, heights[step.name])
            sums.setdefault(step.name, _Sums()).add(found)

    converted.graph.run(images, of_ann)
    converted.network.run(images, of_neurons)


def _of_layer(layer: ConvertedLayer, sums: _Sums) -> LayerError:
    return LayerError(
        layer=layer.name,
        neurons=layer.neurons,
        threshold_low=layer.threshold_low,
        threshold_high=layer.threshold_high,
        activation_rms=sums.rms("activation"),
        output_rms=sums.rms("output"),
        mean={name: sums.mean(name) for name in ("total", *PARTS)},
        rms={name: sums.rms(name) for name in ("total", *PARTS)},
        kept_share=layer.kept_share,
    )


class _Sums:
    """Of values and squares, over batches."""

    def __init__(self) -> None:
        self.count = 0
        self.values: dict[str, float] = {}
        self.squares: dict[str, float] = {}

    def add(self, found: Mapping[str, Tensor]) -> None:
        self.count += found["total"].numel()
        for name, values in found.items():
            self.values[name] = self.values.get(name, 0.0) + float(values.sum())
            self.squares[name] = self.squares.get(name, 0.0) + float(values.square().sum())

    def mean(self, name: str) -> float:
        return self.values[name] / self.count

    def rms(self, name: str) -> float:
        return math.sqrt(self.squares[name] / self.count)
