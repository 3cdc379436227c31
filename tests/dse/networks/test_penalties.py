"""What training pays for spikes."""

import copy

import pytest
import torch
from built_networks import SHAPE, composed, images, labels, network, stages

from dse.counting.count import count
from dse.errors import BuildFailure
from dse.networks.network import Penalties

AC_PJ = 0.9
RATE = Penalties(spike_rate=2.0)
ENERGY = Penalties(energy_per_nj=3.0, ac_pj=AC_PJ)
BOTH = Penalties(spike_rate=2.0, energy_per_nj=3.0, ac_pj=AC_PJ)


def penalty_of(built):
    """The loss with the penalties less the loss without."""
    with_them = built.training_loss(images(), labels(), 0.0)
    kept, built.penalties = built.penalties, Penalties()
    without = built.training_loss(images(), labels(), 0.0)
    built.penalties = kept
    return with_them - without


def energy_nj_of_count(built):
    """Of the accumulates behind the first layer, per sample."""
    layers = [one for one in count(built, images()).layers if one.name != "layers.0.synapse"]
    return sum(layer.ops.ac for layer in layers) * AC_PJ / 1000


@pytest.mark.parametrize("architecture", ["mlp", "lenet", "resnet20"])
@pytest.mark.parametrize("output", ["mean-potential", "mean-spikes", "every-step"])
def test_the_rate_is_the_mean_over_the_layers(architecture, output):
    built = network(architecture, penalties=RATE, output=output)
    penalty = penalty_of(built)
    rates = [float(s.activity[0]) / s.activity[1] for s in stages(built) if s.activity]
    assert penalty.item() == pytest.approx(2.0 * sum(rates) / len(rates), rel=1e-5)
    assert penalty > 0


@pytest.mark.parametrize("family", ["s2nn", "snn, 3 steps"])
def test_the_energy_of_fully_connected_layers_is_that_of_the_count(family):
    built = network("mlp", family, penalties=ENERGY)
    wanted = 3.0 * energy_nj_of_count(built)
    assert penalty_of(built).item() == pytest.approx(wanted, rel=1e-4)
    assert wanted > 0


def test_the_energy_of_convolutions_counts_taps_on_the_border_as_well():
    built = network("lenet", penalties=ENERGY)
    ratio = penalty_of(built).item() / (3.0 * energy_nj_of_count(built))
    # of a map of 5 x 5 with a kernel of 3, (13 / 15)^2 of the taps are no border
    assert 1.0 < ratio < (15 / 13) ** 2 * 1.1


@pytest.mark.parametrize("architecture", ["lenet", "resnet20"])
@pytest.mark.parametrize("penalties", [RATE, ENERGY, BOTH])
def test_gradients_of_penalties_are_the_same_fused_and_apart(architecture, penalties):
    torch.manual_seed(0)
    built = network(architecture, penalties=penalties).double().train()
    other = copy.deepcopy(built)
    built.training_loss(images().double(), labels(), 0.0).backward()
    with composed(other):
        other.training_loss(images().double(), labels(), 0.0).backward()
    for (name, one), two in zip(built.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-5, atol=1e-8, msg=name)


def test_the_penalty_of_rates_is_differentiated_as_their_mean():
    built = network("lenet", penalties=RATE).train()
    outputs = []
    for stage in stages(built):
        stage.neuron.register_forward_hook(lambda m, args, out: outputs.append(out))
    parameters = list(built.layers.parameters())
    built(images())
    by_hand = 2.0 * torch.stack([spikes.mean() for spikes in outputs]).mean()
    wanted = torch.autograd.grad(by_hand, parameters)
    found = torch.autograd.grad(penalty_of(built), parameters, allow_unused=True)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


def test_the_penalty_of_energy_is_differentiated_as_the_spikes_times_their_fan_out():
    built = network("mlp", penalties=ENERGY).train()
    arriving = []
    for layer in [*built.layers[1:], built.readout]:
        layer.synapse.register_forward_pre_hook(lambda m, args: arriving.append((m, args[0])))
    parameters = list(built.layers.parameters())
    built(images())
    operations = sum(spikes.sum() * synapse.out_features for synapse, spikes in arriving)
    by_hand = 3.0 * operations / len(images()) * AC_PJ / 1000
    wanted = torch.autograd.grad(by_hand, parameters)
    found = torch.autograd.grad(penalty_of(built), parameters)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("family", ["s2nn", "snn, 1 step", "snn, 3 steps"])
@pytest.mark.parametrize("is_composed", [False, True])
@pytest.mark.parametrize("penalties", [RATE, ENERGY])
def test_steps_down_a_penalty_lower_the_rate(family, is_composed, penalties):
    built = network("lenet", family, penalties=penalties).train()

    def rate():
        return sum(float(s.activity[0]) for s in stages(built)) / sum(
            s.activity[1] for s in stages(built)
        )

    optimizer = torch.optim.SGD(built.parameters(), lr=0.3 if penalties is RATE else 3.0)
    rates = []
    for _ in range(8):
        optimizer.zero_grad()
        if is_composed:
            with composed(built):
                penalty_of(built).backward()
        else:
            penalty_of(built).backward()
        optimizer.step()
        rates.append(rate())
    assert rates[-1] < 0.8 * rates[0]


def test_no_penalty_adds_nothing():
    built = network("lenet")
    assert not built.penalties
    assert penalty_of(built).item() == 0.0


@pytest.mark.parametrize("family", ["ann", "bnn"])
def test_penalties_for_spikes_of_neurons_that_do_not_spike_are_refused(family):
    with pytest.raises(BuildFailure, match="all of its neurons must spike"):
        network("lenet", family, penalties=RATE)


def test_the_batch_size_changes_no_penalty():
    built = network("lenet", penalties=BOTH)
    one = torch.rand(1, *SHAPE)
    few = built.training_loss(one, labels(1), 0.0)
    many = built.training_loss(one.repeat(6, 1, 1, 1), labels(1).repeat(6), 0.0)
    torch.testing.assert_close(few, many)
