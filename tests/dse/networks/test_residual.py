"""Blocks with a way around: how the two ways are joined, and what reaches the synapses."""

import pytest
import torch
from built_networks import (
    CLASSES,
    FAMILIES,
    arrivals,
    binary_synapse,
    images,
    labels,
    lif,
    network,
    stages,
)
from torch import nn

from dse.architectures.positions import Position, Residual
from dse.counting.count import count
from dse.errors import BuildFailure
from dse.networks.layer import Fire, Layer
from dse.networks.network import Network, real_synapse
from dse.networks.residual import Joined, Membrane

SHORTCUTS = ["add", "and", "membrane"]
PLACE = Position("conv", "hidden", 3, 3, kernel=3, padding=1)
SAME = Residual((PLACE, PLACE))
OTHER = Residual(
    (Position("conv", "hidden", 3, 6, kernel=3, padding=1, stride=2), PLACE),
    Position("conv", "hidden", 3, 6, stride=2),
)


class Through(nn.Module):
    """A neuron that lets everything through."""

    def forward(self, currents):
        return currents


class Nothing(nn.Module):
    """Synapses without any effect."""

    def forward(self, values):
        return values * 0.0


def joined(is_product, make_synapse=real_synapse, make_neuron=lif):
    torch.manual_seed(0)
    return Joined(SAME, make_synapse, lambda p: None, make_neuron, is_product=is_product).eval()


def blocks(built):
    return [m for m in built.modules() if isinstance(m, Joined | Membrane)]


def test_add_is_the_sum_of_both_ways_and_and_is_their_product():
    spikes = torch.rand(2 * 3, 3, 6, 6).round()
    for is_product in (False, True):
        block = joined(is_product, lambda p: real_synapse_of_much_current(p))
        body = spikes
        for layer in block.body:
            body = layer(body, 2, 2)
        assert 0 < body.mean() < 1
        outputs = block(spikes, 2, 2)
        if is_product:
            assert torch.equal(outputs, body.bool().logical_and(spikes.bool()).float())
            assert block.keeps_spikes_binary
        else:
            assert torch.equal(outputs, body + spikes)
            assert set(outputs.unique().tolist()) == {0.0, 1.0, 2.0}
            assert not block.keeps_spikes_binary


def real_synapse_of_much_current(place):
    synapse = real_synapse(place)
    nn.init.normal_(synapse.weight, 0.05, 0.3)
    return synapse


def test_currents_of_one_step_are_spread_over_all_steps():
    values = torch.rand(4, 3, 6, 6)
    block = joined(False, lambda p: Nothing())
    assert torch.equal(block(values, 1, 3).unflatten(0, (3, 4)), values.expand(3, 4, 3, 6, 6))
    block = Membrane(SAME, lambda p: Nothing(), lambda p: None, lif, lif(PLACE))
    assert torch.equal(block(values, 1, 3).unflatten(0, (3, 4)), values.expand(3, 4, 3, 6, 6))


def test_the_gradient_of_an_identity_goes_around_unchanged():
    arriving = torch.randn(4, 3, 6, 6)
    for block in (
        joined(False, lambda p: Nothing()),
        Membrane(SAME, lambda p: Nothing(), lambda p: None, lif, lif(PLACE)),
    ):
        values = torch.rand(4, 3, 6, 6, requires_grad=True)
        (block(values, 1, 1) * arriving).sum().backward()
        torch.testing.assert_close(values.grad, arriving)


def test_the_gradient_of_a_product_is_the_other_factor():
    block = joined(True, lambda p: nn.Identity(), lambda p: Through())
    values = torch.rand(4, 3, 6, 6, requires_grad=True)
    block(values, 1, 1).sum().backward()
    torch.testing.assert_close(values.grad, 2 * values.detach())


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("family", ["s2nn", "snn, 3 steps"])
def test_a_block_says_whether_spikes_stay_binary(shortcut, family):
    built = network("resnet20", family, shortcut=shortcut)
    _, *hidden, averages = arrivals(built, images())
    found = {value for inputs in hidden for value in inputs.unique().tolist()}
    assert {block.keeps_spikes_binary for block in blocks(built)} == {shortcut != "add"}
    assert found == {0.0, 1.0} if shortcut != "add" else {0.0, 1.0, 2.0} <= found
    assert averages.dim() == 2


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_with_every_join(shortcut, family):
    built = network("resnet20", family, shortcut=shortcut).train()
    assert built(images()).shape == (4, CLASSES)
    built.training_loss(images(), labels(), 0.0).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.parameters())
    assert len(blocks(built)) == 9


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_the_stem_works_once_and_not_at_every_step(shortcut):
    built = network("resnet20", shortcut=shortcut)
    counts = count(built, images())
    first = next(layer for layer in counts.layers if layer.name == "layers.0.synapse")
    assert first.ops.dense == 10 * 10 * 9 * 2 * 8
    second = next(layer for layer in counts.layers if layer.name == "layers.1.body.0.synapse")
    assert second.ops.dense == 3 * 10 * 10 * 9 * 8 * 8


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("family", ["s2nn", "snn, 3 steps"])
def test_products_are_booked_by_what_reaches_the_synapses(shortcut, family):
    counts = count(network("resnet20", family, shortcut=shortcut), images())
    assert counts.uncounted == {}
    assert counts.coverage == 1.0
    synapses = [layer for layer in counts.layers if layer.name.endswith("synapse")]
    first, *hidden, readout = synapses
    assert len(hidden) == 20
    assert first.ops.dense_mac == first.ops.dense
    assert sum(layer.ops.mac for layer in hidden) == 0
    graded = [layer.name for layer in hidden if layer.ops.graded > 0]
    if shortcut == "add":
        # behind a join, and nowhere else; the first block reads the spikes of the stem
        expected = [f"layers.{i}.body.0.synapse" for i in range(2, 10)]
        assert sorted(graded) == sorted(
            [*expected, "layers.4.around.synapse", "layers.7.around.synapse"]
        )
        assert all("not binary any more" in warning for warning in counts.warnings)
        assert len(counts.warnings) == len(graded)
    else:
        assert graded == []
        # the readout reads averages of spikes over a map, which are not spikes
        assert all(warning.startswith(readout.name) for warning in counts.warnings)
        assert all(layer.ops.ac > 0 for layer in hidden)
    assert readout.ops.dense == (3 if family == "snn, 3 steps" else 1) * 32 * CLASSES


@pytest.mark.parametrize("shortcut", ["and", "membrane"])
def test_hidden_products_of_signs_stay_binary(shortcut):
    counts = count(network("resnet20", "bnn", shortcut=shortcut), images())
    hidden = [layer.ops for layer in counts.layers if layer.name.startswith("layers.")][1:]
    assert sum(ops.dense_binary for ops in hidden) == sum(ops.dense for ops in hidden) > 0
    assert counts.uncounted == {}


def test_currents_are_added_before_any_neuron_sees_them():
    built = network("resnet20")
    first, last = built.layers[0], built.layers[-1]
    assert isinstance(first, Layer)
    assert first.neuron is None
    assert isinstance(last, Fire)
    assert all(block.body[-1].neuron is None for block in blocks(built))
    assert all(block.around is None or block.around.neuron is None for block in blocks(built))
    # neurons: one before each of the 18 places of the blocks, and one before the readout
    assert len([stage for stage in stages(built) if stage.neuron is not None]) == 19


def test_neurons_are_made_for_the_places_whose_currents_they_get():
    seen = []

    def make_neuron(place):
        seen.append(place)
        return lif(place)

    stem = Position("conv", "first", 2, 3, kernel=3, padding=1)
    last = Position("conv", "hidden", 6, 6, kernel=3, padding=1)
    other = Residual((OTHER.body[0], last), OTHER.shortcut)
    readout = Position("linear", "readout", 6, 5, average=True)
    Network([stem, SAME, other, readout], make_synapse=real_synapse, make_neuron=make_neuron)
    assert seen == [stem, PLACE, PLACE, other.body[0], last]
    assert "readout" not in {place.role for place in seen}


def test_a_plain_layer_may_follow_a_block():
    stem = Position("conv", "first", 2, 3, kernel=3, padding=1)
    places = [stem, SAME, PLACE, Position("linear", "readout", 3, 5, average=True)]
    for shortcut in SHORTCUTS:
        built = Network(
            places,
            make_synapse=real_synapse,
            make_neuron=lif,
            time_steps=3,
            shortcut=shortcut,
        )
        built.train().training_loss(images(), labels(), 0.0).backward()
        assert built.logits_by_step(images()).shape == (3, 4, 5)


def test_a_block_in_the_place_of_a_readout_is_refused():
    with pytest.raises(BuildFailure, match="must be a readout"):
        Network([PLACE, SAME], make_synapse=binary_synapse, make_neuron=lif)
