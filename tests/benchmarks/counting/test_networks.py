"""The networks of the benchmark: the same every time, spiking at rates as in trained networks."""

import subprocess
import sys

import pytest
import torch

from benchmarks.counting import networks
from benchmarks.counting.spiking import LIF

SMALL = {
    "spiking-vgg": {"width": 4, "size": 16},
    "resnet18": {"width": 4, "size": 16},
    "spiking-transformer": {"width": 16, "tokens": 6, "heads": 2},
    "vgg16": {"width": 4},
    "depthwise": {"width": 4, "size": 16},
    "vision-block": {"width": 12, "tokens": 5},
    "lstm": {"width": 7, "steps": 5, "features": 3},
    "unet": {"width": 4, "size": 16},
}


def test_a_neuron_by_pencil():
    # v = 0.5 v + x: 0.75, no spike; 1.125, spike, 0.125 stays; 0.8125, no spike
    x = torch.full((3, 1), 0.75)
    assert LIF(time_steps=3)(x).flatten().tolist() == [0.0, 1.0, 0.0]


def test_every_network_is_looked_at():
    assert set(SMALL) == set(networks.NETWORKS)
    assert set(networks.TIMED) <= set(networks.NETWORKS)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_network_is_the_same_every_time(name):
    state = torch.random.get_rng_state()
    outputs = []
    for _ in range(2):
        model, make_batch = networks.NETWORKS[name](**SMALL[name])
        assert not any(module.training for module in model.modules())
        with torch.no_grad():
            outputs.append(model(make_batch(2)))
    assert torch.equal(*outputs)
    assert outputs[0].std() > 0
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spiking-vgg", "spiking-transformer"])
def test_hidden_neurons_spike_at_5_to_50_per_cent(name):
    model, make_batch = networks.NETWORKS[name]()
    rates = {}
    for path, module in model.named_modules():
        if isinstance(module, LIF):
            module.register_forward_hook(
                lambda module, args, output, path=path: rates.update({path: float(output.mean())})
            )
    with torch.no_grad():
        model(make_batch(2))
    assert len(rates) >= 7
    assert all(0.05 <= rate <= 0.5 for rate in rates.values()), rates


@pytest.mark.slow
def test_no_peer_is_needed():
    code = (
        "import sys\n"
        "import benchmarks.counting.networks, benchmarks.counting.truth\n"
        "import benchmarks.counting.peers\n"
        "names = {'fvcore', 'spikingjelly', 'snntorch', 'neurobench', 'sinabs', 'syops', 'thop'}\n"
        "assert not names & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
