"""Thresholds that are learned as shares of the largest activation."""

import pytest
import torch
from torch import Tensor, nn

from dse.conversion import rate_norm
from dse.conversion.graph import Graph, Node, trace
from dse.errors import ConversionFailure
from dse.networks.source import SourceNetwork


def _largest(graph: Graph, images: Tensor) -> dict[str, float]:
    found: dict[str, float] = {}

    def see(node: Node, _before: Tensor, after: Tensor) -> None:
        found[node.name] = after.max().item()

    with torch.no_grad():
        graph.run(images, see)
    return found


def test_thresholds_are_above_zero_and_at_most_the_largest_activation(
    source: SourceNetwork, images: Tensor
) -> None:
    graph = trace(source)
    largest = _largest(graph, images)
    found = rate_norm.thresholds(graph, images)
    assert found.keys() == largest.keys()
    assert all(0.0 < float(found[name]) <= most for name, most in largest.items())
    # they were learned: shares start at sigmoid(4)
    assert all(float(found[name]) < 0.95 * most for name, most in largest.items())


def test_rate_layers_with_these_thresholds_give_the_same_classes(
    source: SourceNetwork, images: Tensor
) -> None:
    graph = trace(source)
    thresholds = rate_norm.thresholds(graph, images)
    limits = iter(thresholds.values())
    clipped = nn.Sequential(
        *(
            nn.Hardtanh(0.0, float(next(limits))) if isinstance(one, nn.ReLU) else one
            for one in _flat(source)
        )
    ).eval()
    with torch.no_grad():
        same = clipped(images).argmax(1) == source(images).argmax(1)
    assert float(same.float().mean()) >= 1.0 - rate_norm.TOLERANCE


def _flat(model: nn.Module) -> list[nn.Module]:
    return [one for one in model.modules() if not list(one.children())]


def test_no_weight_gets_a_gradient(source: SourceNetwork, images: Tensor) -> None:
    graph = trace(source)
    rate_norm.thresholds(graph, images)
    modules = [node.module for node in graph.nodes if node.module is not None]
    assert all(one.grad is None for module in modules for one in module.parameters())


def test_a_dead_layer_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    nn.init.constant_(model[1].bias, -100.0)
    with pytest.raises(ConversionFailure, match="dead layer"):
        rate_norm.thresholds(trace(model), torch.rand(4, 1, 2, 2))
