"""What a knob that is turned after the training does to a network."""

import copy

import pytest
import torch
from torch import nn

from dse.design import Design
from dse.errors import BuildFailure
from dse.networks.reading import TURNED, OnGrid, apply
from dse.neurons.spiking import IntegrateFire
from dse.neurons.surrogates import Arctan
from dse.variants import family


def network(variant: str = "snn", **knobs: object) -> nn.Module:
    torch.manual_seed(0)
    given = {"width": 0.2, **({"time_steps": 4} if variant == "snn" else {}), **knobs}
    return family.load(variant).build(Design.of(variant, "mlp", given), (1, 8, 8), 10).eval()


def neuron(**more: object) -> IntegrateFire:
    return IntegrateFire(1.0, 0.5, "soft", Arctan(2.0), **more)


def test_every_knob_that_a_family_lists_does_something() -> None:
    turned = [one for one in map(family.load, family.names()) if one.finish is None]
    assert {knob.name for one in turned for knob in one.readings} == set(TURNED)


@pytest.mark.parametrize("learned", ["none", "both"])
def test_a_scaled_threshold_is_that_of_a_network_that_has_it(learned: str) -> None:
    images = torch.rand(5, 1, 8, 8)
    model = network(threshold=0.5, learned=learned)
    apply(model, {"threshold_scale": 0.8})
    other = network(threshold=0.4, learned=learned)
    assert torch.allclose(model(images), other(images))


def test_the_surrogate_of_a_single_step_follows_its_threshold() -> None:
    model = network("s2nn", threshold=2.0, surrogate_beta=2.0)
    apply(model, {"threshold_scale": 0.5})
    found = [m.surrogate for m in model.modules() if hasattr(m, "surrogate")]
    # alpha / 4 = 4 / 4 = beta / threshold = 2 / 2: continuous, and so with 1 / 1
    assert found and all((s.alpha, s.beta, s.threshold) == (4.0, 1.0, 1.0) for s in found)


def test_potentials_start_where_they_are_told_to() -> None:
    images = torch.rand(5, 1, 8, 8)
    model = network()
    apply(model, {"initial_potential": 0.3, "time_steps": 2})
    assert torch.equal(model(images), network(initial_potential=0.3, time_steps=2)(images))


def test_weights_are_whole_multiples_of_one_step_a_channel() -> None:
    model = network("ann")
    before = copy.deepcopy(model.state_dict())
    notes = apply(model, {"weight_bits": 3})
    assert "rounded after the training" in notes[0]
    weight, old = model.readout.synapse.weight, before["readout.synapse.weight"]
    step = old.abs().amax(1, keepdim=True) / 3  # -3 .. 3 are the numbers of 3 bits
    levels = weight / step
    assert torch.allclose(levels, levels.round(), atol=1e-5) and levels.abs().max().round() == 3
    assert ((weight - old).abs() <= step / 2 + 1e-6).all()
    assert model.readout.synapse.weight_bits == 3
    assert torch.equal(model.readout.synapse.bias, before["readout.synapse.bias"])
    again = network("ann")
    assert apply(again, {"weight_bits": 32}) == ()
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), before.values(), strict=True)
    )


def test_potentials_of_few_bits_by_hand() -> None:
    # threshold 1 and 3 bits: -2, -1.5, .. 1.5, half a threshold apart. The currents of one neuron:
    currents = torch.tensor([0.7, 0.5, -9.0, 0.9]).reshape(4, 1, 1)
    # u = 0.7 -> 0.5 | 0.25 + 0.5 = 0.75 -> 1.0 (0.75 / 0.5 = 1.5, to even: 2) |
    # 0.5 - 9 = -8.5 -> -2 | -1 + 0.9 = -0.1: no spike anywhere
    assert OnGrid(neuron(), 3)(currents).flatten().tolist() == [0, 0, 0, 0]
    # 0.7 -> 0.5 | 0.25 + 0.8 = 1.05 spikes -> 0.05 -> 0 | 0.96 | the exact neuron: 0.025 + 0.98
    currents = torch.tensor([0.7, 0.8, 0.98]).reshape(3, 1, 1)
    assert OnGrid(neuron(), 3)(currents).flatten().tolist() == [0, 1, 0]
    assert neuron()(currents).flatten().tolist() == [0, 1, 1]


def test_potentials_of_many_bits_are_those_of_the_neuron() -> None:
    currents = torch.rand(6, 4, 8)
    exact = neuron(initial_potential=0.2)
    assert torch.equal(OnGrid(exact, 24)(currents), exact(currents))
    images = torch.rand(5, 1, 8, 8)
    model, rounded = network(), network()
    apply(rounded, {"potential_bits": 24})
    assert torch.allclose(model(images), rounded(images))
    assert apply(network(), {"potential_bits": 32}) == ()


def test_what_cannot_be_turned_is_refused_by_name() -> None:
    for values, text in (
        ({"time_steps": 5}, "time_steps 5: must be between 1 and 4"),
        ({"width": 2.0}, "width: must be one of time_steps"),
        ({"threshold_scale": 0.0}, "must be finite and above 0"),
    ):
        with pytest.raises(BuildFailure, match=text):
            apply(network(), values)
