"""The error of a layer is the sum of its parts, and each part is what its name says."""

import pytest
import torch
from torch import nn

from dse.conversion.convert import adjusted, convert
from dse.conversion.layererrors import layer_errors, split
from dse.conversion.methods import METHODS
from dse.conversion.network import Neurons
from dse.neurons.clipped import Qcfs
from reports.conversion import PARTS

IMAGES = torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def network(activation=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        activation(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 1),
        activation(),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


@pytest.mark.parametrize(
    "method", ["normalise-max", "normalise-percentile", "opi", "threshold-shift", "icsnn"]
)
@pytest.mark.parametrize("time_steps", [1, 3, 8])
def test_means_of_the_parts_add_up_to_the_mean_error(method, time_steps):
    torch.manual_seed(0)  # of a random coding
    layers = layer_errors(convert(network(), IMAGES, METHODS[method], time_steps), IMAGES)
    assert [layer.layer for layer in layers] == ["1", "4"]
    for layer in layers:
        assert sum(layer.mean[part] for part in PARTS) == pytest.approx(
            layer.mean["total"], abs=1e-12
        )
        assert layer.rms["total"] <= sum(layer.rms[part] for part in PARTS) + 1e-12


def test_every_neuron_has_parts_that_add_up():
    neurons = Neurons(torch.tensor([0.5, 2.0]), torch.rand(2, 3, 3), torch.full((2, 1, 1), 0.1))
    before, currents = torch.randn(4, 2, 3, 3), torch.randn(5, 4, 2, 3, 3)
    found = split(before, before.relu(), currents, neurons(currents), neurons, height=1.3)
    whole = sum(found[part] for part in PARTS)
    torch.testing.assert_close(whole, found["total"], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("z", "currents", "expected"),
    [
        # of 4 steps: clip(floor(4 z), 0, 4) / 4
        (0.6, [0.6] * 4, {"quantisation": 0.6 - 0.5}),
        (1.3, [1.3] * 4, {"clipping": 1.3 - 1.0}),
        (-0.6, [-0.6] * 4, {}),
        # the layer before gave 0.25 a step too little: 0.75 -> 0.5
        (0.75, [0.5] * 4, {"propagated": 0.75 - 0.5}),
        # a mean of 0.5 that comes at the end: one spike, and a potential of 1 is left
        (0.5, [0.0, 0.0, 0.0, 2.0], {"unevenness": 0.5 - 0.25}),
    ],
)
def test_each_part_is_what_its_name_says(z, currents, expected):
    neurons = Neurons(torch.ones(()), torch.zeros(()))
    before = torch.tensor([[z]])
    flow = torch.tensor(currents)[:, None, None]
    found = split(before, before.relu(), flow, neurons(flow), neurons, height=1.0)
    for part in PARTS:
        assert float(found[part]) == pytest.approx(expected.get(part, 0.0), abs=1e-6), part


def test_drives_and_heights_are_in_the_staircase():
    # of 4 steps, with 1/8 added at each: floor(4 x 0.65 + 1/2) = 3; a spike counts for 1.5
    neurons = Neurons(torch.ones(()), torch.zeros(()), torch.tensor(0.125))
    before, flow = torch.tensor([[0.65]]), torch.full((4, 1, 1), 0.65)
    after = torch.tensor([[1.3]])
    found = split(before, after, flow, neurons(flow), neurons, height=1.5)
    expected = {"quantisation": 1.3 - 1.5 * 3 / 4, "total": 1.3 - 1.5 * 3 / 4}
    for part in (*PARTS, "total"):
        assert float(found[part]) == pytest.approx(expected.get(part, 0.0), abs=1e-6), part


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_a_quantised_source_read_at_as_many_steps_as_levels_has_no_quantisation(levels):
    source = network(lambda: Qcfs(levels, 0.2))
    with torch.no_grad():
        source[3].weight.abs_().mul_(2)  # alive at a single level, too
    made = convert(source, IMAGES, METHODS["qcfs"], levels)
    first, second = layer_errors(made, IMAGES)
    for layer in (first, second):
        assert layer.rms["clipping"] == pytest.approx(0.0, abs=1e-7)
        assert layer.rms["quantisation"] == pytest.approx(0.0, abs=1e-6)
    # constant currents reach the first layer: it is its activation
    assert first.rms["total"] == pytest.approx(0.0, abs=1e-6)


def test_constant_currents_are_neither_propagated_errors_nor_uneven():
    first, second = layer_errors(convert(network(), IMAGES, METHODS["opi"], 4), IMAGES)
    assert first.rms["propagated"] == first.rms["unevenness"] == 0.0
    assert second.rms["propagated"] > 0


def test_the_error_that_is_split_is_that_of_the_network():
    """Of the first layer, with direct coding: activations against spikes, without the module."""
    method = adjusted(METHODS["icsnn-2"], threshold="max")
    made = convert(network(), IMAGES, method, 4)
    spikes = []
    with torch.no_grad():
        made.network.run(IMAGES, lambda step, currents, out: spikes.append(out))
        activation = network()[:2](IMAGES)
    threshold = activation.max()
    expected = activation - threshold * spikes[0].mean(0)
    found = layer_errors(made, IMAGES)[0]
    assert found.mean["total"] == pytest.approx(float(expected.mean()), abs=1e-6)
    assert found.rms["total"] == pytest.approx(float(expected.square().mean().sqrt()), abs=1e-6)
