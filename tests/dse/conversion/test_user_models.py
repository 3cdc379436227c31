"""Plain PyTorch models of many styles are understood, and become spiking networks."""

import copy

import pytest
import torch
import user_models

from dse.conversion.convert import convert
from dse.conversion.graph import trace
from dse.conversion.methods import METHODS


@pytest.mark.parametrize("name", user_models.MODELS)
def test_the_nodes_of_a_model_are_its_function(name):
    model, images = user_models.trained(name)
    before = copy.deepcopy(model.state_dict())
    graph = trace(model.train())
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(graph.run(images), model.eval()(images), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all("user_models.py:" in node.line for node in graph.nodes if node.kind != "input")


@pytest.mark.slow
@pytest.mark.parametrize("name", user_models.MODELS)
def test_many_steps_approach_the_model(name):
    model, images = user_models.trained(name)
    errors = []
    with torch.no_grad():
        wanted = model(images[:16])
        for time_steps in (16, 256):
            network = convert(model, images, METHODS["opi"], time_steps).network
            missed = network(images[:16]) - wanted
            errors.append(float(missed.square().mean().sqrt() / wanted.std()))
    assert errors[1] < 0.1
    assert errors[1] < errors[0] / 4
