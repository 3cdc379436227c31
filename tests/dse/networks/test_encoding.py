"""What the first layer gets at each step."""

import pytest
import torch
from built_networks import arrivals, images, network

from dse.counting.count import count
from dse.networks.encoding import Encoding


def test_direct_coding_passes_the_values_once() -> None:
    values = images()
    encoded, steps = Encoding("direct")(values, 5)
    assert encoded is values
    assert steps == 1


def test_binary_coding_spikes_from_one_half_on_the_same_at_every_step() -> None:
    values = torch.tensor([[0.0, 0.49, 0.5, 1.0]])
    encoded, steps = Encoding("binary")(values, 5)
    assert encoded.tolist() == [[0, 0, 1, 1]]
    assert steps == 1


@pytest.mark.parametrize("is_training", [True, False])
def test_rates_of_poisson_spikes_converge_to_the_values(is_training: bool) -> None:
    torch.manual_seed(0)
    values = torch.linspace(0, 1, 11).repeat(20, 1)
    encoded, steps = Encoding("poisson").train(is_training)(values, 500)
    assert steps == 500
    assert encoded.shape == (500 * 20, 11)
    assert set(encoded.unique().tolist()) == {0.0, 1.0}
    # 10 000 draws each: a standard deviation is at most 0.005
    torch.testing.assert_close(encoded.mean(0), values[0], rtol=0, atol=0.02)
    assert encoded[:, 0].sum() == 0
    assert encoded[:, -1].min() == 1
    by_step = encoded.unflatten(0, (500, 20))
    assert not torch.equal(by_step[0], by_step[1])
    assert not torch.equal(by_step[:, 0], by_step[:, 1])


def test_poisson_spikes_of_training_follow_the_generator_of_pytorch() -> None:
    encoding, values = Encoding("poisson").train(), images()
    torch.manual_seed(0)
    first, second = encoding(values, 3)[0], encoding(values, 3)[0]
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(encoding(values, 3)[0], first)


def test_poisson_spikes_of_evaluation_are_the_same_and_disturb_nobody() -> None:
    built = network("lenet", coding="poisson")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = built(images())
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(built(images()), first)


@pytest.mark.parametrize("coding", ["direct", "poisson", "binary"])
@pytest.mark.parametrize("architecture", ["lenet", "resnet20"])
def test_the_layout_of_the_images_changes_nothing(architecture: str, coding: str) -> None:
    built = network(architecture, coding=coding)
    other = images().contiguous(memory_format=torch.channels_last)
    assert torch.equal(built(images()), built(other))
    for layout in (images(), other):
        maps = [values for values in arrivals(built, layout) if values.dim() == 4]
        assert all(one.is_contiguous(memory_format=torch.channels_last) for one in maps)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_first_layer_multiplies_values_and_accumulates_spikes(steps: int) -> None:
    runs = {"direct": 1, "binary": 1, "poisson": steps}
    for coding, shown in runs.items():
        built = network("lenet", coding=coding, time_steps=steps)
        counts = count(built, images())
        assert counts.uncounted == {}
        assert counts.warnings == ()
        first = next(layer for layer in counts.layers if layer.name == "layers.0.synapse").ops
        dense = shown * 10 * 10 * 9 * 2 * 2
        if coding == "direct":
            assert (first.dense_mac, first.dense_ac, first.ac) == (dense, 0, 0)
        else:
            assert (first.dense_mac, first.dense_ac, first.mac) == (0, dense, 0)
            assert 0 < first.ac < dense
        others = [layer.ops for layer in counts.layers if layer.name != "layers.0.synapse"]
        assert sum(ops.mac + ops.graded for ops in others) == 0
