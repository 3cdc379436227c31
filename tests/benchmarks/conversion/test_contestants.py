"""Every library converts the same network into the same spiking network, or says why not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.conversion import contestants, counted, tables
from benchmarks.conversion.peers import folded, normalised
from benchmarks.conversion.rules import PERCENTILE, RULES, Rule
from benchmarks.conversion.sources import NETWORKS, Source, load, trained
from benchmarks.training.contestants import NotAvailable
from dse.data.splits import Part

# libraries warn about themselves, and about what of PyTorch they still use
pytestmark = pytest.mark.filterwarnings("ignore")

SHAPE = (1, 8, 8)


def source(name: str = "conv") -> Source:
    """Random weights, and batch-norms that saw random images: it need not be right to spike."""
    torch.manual_seed(3)
    model = NETWORKS[name](SHAPE, 10)
    images = torch.rand(24, *SHAPE)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
                module.momentum = None  # the mean of what it sees
        model(images)
    test = Part(images[:8].numpy(), np.arange(8))
    return Source(name, model.eval(), images, test, accuracy=0.1)


def by_name(name: str) -> contestants.Contestant:
    return next(one for one in contestants.contestants() if one.name == name)


def logits(name: str, one: Source, rule: Rule, time_steps: int) -> torch.Tensor:
    network = contestants.converted(by_name(name), one, rule, time_steps)
    with torch.no_grad():
        return network(torch.tensor(one.test.images))


@pytest.mark.slow  # imports every library
@pytest.mark.parametrize("net", sorted(NETWORKS))
@pytest.mark.parametrize(
    ("name", "is_by_channel"),
    [
        ("SpikingJelly", False),
        ("SpikingJelly", True),
        ("SpikingJelly, step by step", False),
        ("sinabs, normalised here, one spike", False),
    ],
)
def test_libraries_spike_alike_where_thresholds_are_the_same(net, name, is_by_channel):
    # a percentile is interpolated by some; the largest activation is one for all
    one, rule = source(net), Rule("", 100.0, is_by_channel)
    ours, theirs = (logits(which, one, rule, 12) for which in (contestants.DSE, name))
    assert ours.shape == theirs.shape == (12, 8, 10)
    # they round in another order, and a potential that meets its threshold may fall on either side
    is_same = torch.isclose(ours, theirs, atol=1e-4).double().mean().item()
    assert is_same > 0.97


@pytest.mark.slow
def test_every_library_keeps_its_line():
    names = [one.name for one in contestants.contestants()]
    found = tables.accuracy_table(source("mlp"), RULES["channel-half"], [1, 2])
    assert [row[0] for row in found.rows] == names
    sentences = {row[0]: row[1] for row in found.rows if len(row) == 2}
    assert sentences["Norse"] == sentences["snnTorch"] == "converts no trained network"
    assert "one threshold for all channels" in sentences["sinabs"]


def test_a_library_that_is_not_there_is_named():
    ghost = replace(by_name("sinabs"), distribution="ghost_snn")
    with pytest.raises(NotAvailable, match="not installed"):
        contestants.converted(ghost, source(), PERCENTILE, 2)


def test_what_a_library_raises_is_told_and_an_error_of_our_own_is_a_bug():
    def convert(*_: object) -> nn.Module:
        raise KeyError("v")

    theirs = contestants.Contestant("broken", convert, "torch")
    with pytest.raises(NotAvailable, match="fails: KeyError: 'v'"):
        contestants.converted(theirs, source(), PERCENTILE, 2)
    with pytest.raises(KeyError):
        contestants.converted(replace(theirs, is_dse=True), source(), PERCENTILE, 2)


@pytest.mark.parametrize("net", sorted(NETWORKS))
def test_a_source_folded_and_normalised_is_the_same_function(net):
    one = source(net)
    images = one.calibration
    chain = normalised(folded(one.model), images, 100.0)
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in chain)
    with torch.no_grad():
        assert torch.allclose(chain(images), one.model(images), atol=1e-4)
        values = images
        for layer in chain:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                assert values.max().item() == pytest.approx(1.0, abs=1e-5)


def test_what_is_converted_stays_as_it_is():
    one = source("mlp")
    before = {name: value.clone() for name, value in one.model.state_dict().items()}
    contestants.converted(by_name(contestants.DSE), one, PERCENTILE, 2)
    assert all(torch.equal(value, before[name]) for name, value in one.model.state_dict().items())


@pytest.mark.parametrize("net", sorted(NETWORKS))
def test_our_counts_of_a_converted_network_are_true(net):
    counters = {one.name: one for one in counted.ours()}
    one = source(net)
    network = contestants.converted(by_name(contestants.DSE), one, PERCENTILE, 3)
    images = torch.tensor(one.test.images[:4])
    true_ac, true_mac, *found = counted.cells(network, images, 3, counters["dse: products"])
    assert found == [true_ac, true_mac] * 2
    assert true_ac != "0.0"


@pytest.mark.slow
def test_a_source_learns_and_is_the_same_each_time():
    data = load("digits", None)
    first, second = (trained("mlp", data, images=50, epochs=1) for _ in range(2))
    assert first.accuracy > 0.5
    assert len(first.test) == 50
    assert len(first.calibration) == 512
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
