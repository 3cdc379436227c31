"""Noisy: an ANN trained on with activations that are quantised at random, as few steps will do.

Phase I of Wang, Lian, Zhang, Cui, Yan and Tang, arXiv:2205.07473, 2022.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from dse.conversion.folding import with_values
from dse.conversion.graph import Graph, Node
from dse.conversion.lessons import Lessons, taught
from dse.conversion.thresholds import Seen, level
from dse.errors import ConversionFailure
from dse.neurons.clipped import Qcfs, straight_floor

NOISE = 0.1  # the share of activations that stay as they are, the default of the authors' code


class Noisy(Qcfs):
    """QCFS of as many levels as steps; in training a random share of the values is only clipped.

    a = bound clip(round(z T / bound) / T, 0, 1), as the authors' code has it: neurons that start
    from half of their threshold round.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape -> the same."""
        if not self.training:
            return super().forward(inputs)
        scaled = inputs / self.bound * self.levels
        is_left = torch.rand_like(scaled) < NOISE
        scaled = torch.where(is_left, scaled, straight_floor(scaled + 0.5))
        return self.bound * (scaled / self.levels).clamp(0.0, 1.0)


def trained_on(
    graph: Graph,
    images: Tensor,
    time_steps: int,
    epochs: int,
    percentile: float,
    lessons: Lessons,
) -> Graph:
    """Another graph, whose activations are quantised to T levels, with the weights for them.

    Batch-norm is folded already and no longer trained. Bounds start as those of the activations;
    where there are none, at the percentile on the images, and are trained.
    Raises DivergedFailure or ConversionFailure if that comes to nothing.
    """
    bounds: dict[str, float] = {}

    def see(node: Node, before: Tensor, after: Tensor) -> None:
        seen = Seen(node, before, after, time_steps, percentile)
        bounds[node.name] = float(level("bound-or-percentile", seen, 1.0).threshold)

    graph.run(images, see)
    network = _GraphNetwork(
        [replace(node, module=_made(node, time_steps, bounds)) for node in graph.nodes]
    )
    told = taught(network, lessons, epochs)
    network.to(images.device).eval()
    for node in network.graph.activations():
        assert isinstance(node.module, Noisy)
        bound = node.module.bound.item()
        if not (math.isfinite(bound) and bound > 0):
            raise ConversionFailure(
                f"{node.where}: training with noisy quantisation moved its bound to {bound:.4g}: "
                "must stay above 0; lower learning_rate"
            )
    return replace(
        network.graph,
        notes=(*graph.notes, f"the ANN was trained on with noisy quantisation: {told}"),
    )


class _GraphNetwork(nn.Module):
    """Nodes as a module that can be trained; it owns the modules of all of them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        super().__init__()
        self.graph = Graph(tuple(nodes))
        self.owned = nn.ModuleList(node.module for node in nodes if node.module is not None)

    def forward(self, images: Tensor) -> Tensor:
        return self.graph.run(images)


def _made(node: Node, time_steps: int, bounds: dict[str, float]) -> nn.Module | None:
    """A module that shares nothing with the model of the user."""
    if node.kind == "activation":
        return Noisy(time_steps, bounds[node.name])
    if isinstance(node.module, nn.Conv2d | nn.Linear):
        return with_values(node.module, node.module.weight, node.module.bias)
    return copy.deepcopy(node.module)
