"""Rate-norm: thresholds as shares of the largest activation, learned while all weights stay.

Stage 2 of Ding, Yu, Tian and Huang, IJCAI 2021, on a source that is trained already: rates that
saturate later converge faster, and logits must keep their direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dse.conversion.graph import Graph, Node
from dse.conversion.thresholds import refuse_dead
from dse.errors import ConversionFailure

SPEED_WEIGHT = 0.1  # of Omega in the loss, as in the paper
START = 4.0  # of w: shares start at sigmoid(4) = 0.98, as in the authors' code
STEPS = 200
TOLERANCE = 0.03  # the share of images that may change their class, as in the authors' code
BATCH = 64
RATE = 0.05
_EPSILON = 1e-5  # of the authors, against a layer that is silent in a batch


def thresholds(graph: Graph, images: Tensor) -> dict[str, Tensor]:
    """Name of an activation -> its threshold, between 0 and the largest activation on the images.

    loss = 1 - cos(logits of the ANN, logits of rate layers) + SPEED_WEIGHT x mean of Omega over
    the layers, Omega = sum r / (sum r^2 + epsilon) of the rates r of a batch. `STEPS` of Adam on
    batches in the order of the images; after each pass over them, if the rate layers give more
    than `TOLERANCE` of them another class, the thresholds before the pass are taken.
    Raises ConversionFailure for a layer that is never active, or a loss that is not finite.
    """
    largest: dict[str, Tensor] = {}

    def see(node: Node, _before: Tensor, after: Tensor) -> None:
        refuse_dead(node, after)
        largest[node.name] = after.max()

    with torch.no_grad():
        wanted = graph.run(images, see)
    rates = {name: _Rate(value) for name, value in largest.items()}
    nodes = [replace(node, module=rates.get(node.name, node.module)) for node in graph.nodes]
    rated = replace(graph, nodes=tuple(nodes))
    found = _read(rates)
    parts = list(zip(images.split(BATCH), wanted.split(BATCH), strict=True))
    weights = [rate.logit for rate in rates.values()]
    optimizer = torch.optim.Adam(weights, lr=RATE)
    with torch.enable_grad():
        for step in range(STEPS):
            batch, logits = parts[step % len(parts)]
            loss = 1.0 - F.cosine_similarity(rated.run(batch), logits, dim=1).mean()
            speeds = torch.stack([rate.slowness for rate in rates.values()])
            loss = loss + SPEED_WEIGHT * speeds.mean()
            if not bool(loss.isfinite()):
                raise ConversionFailure(
                    f"rate-norm: step {step + 1} of {STEPS}: loss is {loss.item()}: must be finite"
                )
            # of the shares alone: no other weight gets a gradient
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.grad = gradient
            optimizer.step()
            if (step + 1) % len(parts) and step + 1 < STEPS:
                continue
            with torch.no_grad():
                agreed = (rated.run(images).argmax(1) == wanted.argmax(1)).float().mean()
            if float(agreed) < 1.0 - TOLERANCE:
                break
            found = _read(rates)
    return found


def _read(rates: Mapping[str, _Rate]) -> dict[str, Tensor]:
    return {name: rate.threshold.detach().clone() for name, rate in rates.items()}


class _Rate(nn.Module):
    """A rate r = clip(relu(z) / threshold, 0, 1), times the threshold."""

    def __init__(self, largest: Tensor) -> None:
        super().__init__()
        self.largest = largest
        self.logit = nn.Parameter(torch.full_like(largest, START))
        self.slowness = torch.zeros_like(largest)

    @property
    def threshold(self) -> Tensor:
        return self.logit.sigmoid() * self.largest

    def forward(self, inputs: Tensor) -> Tensor:
        rate = (inputs.relu() / self.threshold).clamp(max=1.0)
        self.slowness = rate.sum() / (rate.square().sum() + _EPSILON)
        return rate * self.threshold
