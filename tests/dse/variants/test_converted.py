"""The family of converted networks: what is trained, and what is made of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dse.conversion.methods import METHODS
from dse.conversion.network import ConvertedNetwork
from dse.conversion.potentials import RULES as INITIAL_RULES
from dse.conversion.thresholds import RULES as THRESHOLD_RULES
from dse.design import Design
from dse.networks.source import SourceNetwork
from dse.neurons.clipped import Clipped, Qcfs
from dse.variants import family

SHAPE, CLASSES = (1, 8, 8), 10


def source(architecture: str = "convnet", **knobs: object) -> nn.Module:
    torch.manual_seed(0)
    design = Design.of("converted", architecture, {"width": 0.25, **knobs})
    return family.load("converted").build(design, SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("activation", "kind"), [("relu", nn.ReLU), ("clipped", Clipped), ("qcfs", Qcfs)]
)
def test_what_is_trained_is_a_plain_network(activation: str, kind: type[nn.Module]) -> None:
    model = source(activation=activation)
    assert isinstance(model, SourceNetwork)
    assert any(type(module) is kind for module in model.modules())
    assert model(torch.rand(3, *SHAPE)).shape == (3, CLASSES)


@pytest.mark.parametrize(("pooling", "kind"), [("average", nn.AvgPool2d), ("max", nn.MaxPool2d)])
def test_pooling_is_as_said(pooling: str, kind: type[nn.Module]) -> None:
    assert any(isinstance(module, kind) for module in source(pooling=pooling).modules())


def test_knobs_offer_every_method_and_rule() -> None:
    readings = {knob.name: knob for knob in family.load("converted").readings}
    assert set(readings["method"].choices) == set(METHODS)
    assert set(readings["initial_rule"].choices) == {"method", *INITIAL_RULES}
    assert set(readings["threshold_rule"].choices) <= {"method", *THRESHOLD_RULES}


@pytest.mark.parametrize("method", METHODS)
def test_a_turned_knob_says_whether_fewer_steps_are_another_network(method: str) -> None:
    values = family.all_values(Design.of("converted", "convnet", {"method": method}))
    depends = family.load("converted").depends_on_time_steps(values)
    assert depends == METHODS[method].depends_on_time_steps


def test_a_residual_network_is_converted_with_its_ways_around() -> None:
    from dse.conversion.convert import convert

    model = source("resnet20", activation="relu").train()
    images = torch.rand(32, *SHAPE)
    model(images)
    network = convert(model, images, METHODS["opi"], 4).network
    assert isinstance(network, ConvertedNetwork)
    ways = [step for step in network.steps if step.name.endswith(("way0", "way1"))]
    assert len(ways) == 7  # nine blocks, of which two have synapses on the way around
