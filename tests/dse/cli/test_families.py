"""The numbers of the comparison of families, from a sheet of counts."""

import pytest

from dse.cli.families import readings_of, work
from energy_models import LayerCounts, ModelCounts, NeuronUpdates, OpCounts


def test_the_spike_rate_is_per_neuron_and_step():
    counts = ModelCounts(
        samples=10,
        time_steps=4,
        layers=(
            LayerCounts("conv", "convolution", OpCounts(mac=50, dense_mac=100), spikes_out=36.0),
            LayerCounts("lif", "neuron", neurons=40, updates=NeuronUpdates(compare=160),
                        spikes_out=36.0),
            LayerCounts("fc", "linear", OpCounts(ac=30, dense_ac=60, binary=7, dense_binary=9)),
            LayerCounts("lif2", "neuron", neurons=10, updates=NeuronUpdates(compare=40, leak=30),
                        spikes_out=4.0),
            LayerCounts("sign", "neuron", neurons=99, updates=NeuronUpdates(compare=99)),
        ),
    )  # fmt: skip
    found = work(counts)
    assert found.spike_rate == pytest.approx((36 + 4) / (50 * 4))  # signs are no spikes
    assert (found.mac, found.dense_mac, found.ac, found.dense_ac) == (50, 100, 30, 60)
    assert (found.binary, found.dense_binary, found.updates) == (7, 9, 299)


def test_without_spiking_neurons_there_is_no_rate():
    counts = ModelCounts(samples=1, layers=(LayerCounts("fc", "linear", OpCounts(mac=3)),))
    assert work(counts).spike_rate is None


def test_the_report_is_told_what_is_turned_on_converted_networks():
    found = readings_of(("ann", "converted"))
    assert (
        found["method"] == "icsnn-2" and found["threshold_scale"] == 1.0 and "time_steps" in found
    )
    assert readings_of(("ann", "snn")) == {}
