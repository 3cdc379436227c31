"""Trained networks in a NIR file: read back, and read by somebody else, spike for spike."""

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from nir_reader import content, simulate
from torch import nn

from dse.data import splits
from dse.design import Design
from dse.errors import InterchangeFailure
from dse.interchange import nirfile
from dse.interchange.checking import check
from dse.interchange.graph import Spiking
from dse.interchange.networks import describe, folded
from dse.interchange.nodes import STEP_S
from dse.interchange.running import Running
from dse.networks.reading import apply
from dse.training.loop import train
from dse.training.settings import TrainingSettings
from dse.variants import family

SHAPE = (1, 8, 8)
NETWORKS = {
    "soft, with a leak": ("snn", "convnet", {"time_steps": 4, "leak": 0.5}),
    "hard, without a leak": ("snn", "convnet", {"time_steps": 4, "leak": 1.0, "reset": "hard"}),
    "learned leak and threshold": (
        "snn",
        "lenet",
        {"time_steps": 3, "learned": "both", "leak": 0.5, "input_scale": "1 - leak"},
    ),
    "norm to the threshold": (
        "snn",
        "convnet",
        {"time_steps": 3, "norm": "threshold", "threshold": 0.5},
    ),
    "potentials summed": ("snn", "resnet20", {"time_steps": 2, "depth": 1}),
    "spikes summed": ("snn", "resnet20", {"time_steps": 2, "shortcut": "add", "depth": 1}),
    "spikes multiplied": ("snn", "resnet20", {"time_steps": 2, "shortcut": "and", "depth": 1}),
    "spikes as logits": ("snn", "mlp", {"time_steps": 3, "output": "mean-spikes"}),
    "votes": ("snn", "plif-fashion-mnist", {"time_steps": 2, "width": 0.1}),
    "spikes enter": ("snn", "mlp", {"time_steps": 4, "encoding": "binary"}),
    "single step": ("s2nn", "convnet", {}),
    "single step, blocks": ("s2nn", "resnet20", {"shortcut": "and", "depth": 1}),
}


def network(variant: str, architecture: str, **knobs: object) -> nn.Module:
    """An untrained network that spikes: its batch-norms have seen some data."""
    torch.manual_seed(1)
    given = {"width": 0.15, **knobs}
    model = family.load(variant).build(Design.of(variant, architecture, given), SHAPE, 10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, -0.5, 2.0)
            nn.init.uniform_(module.bias, 0.0, 1.0)
    model(torch.rand(16, *SHAPE))
    return model.eval()


def digits(count: int) -> torch.Tensor:
    data = splits.load("digits", data_dir=None, validation=0.2, samples=None, seed=0)
    return torch.from_numpy(data.validation.images[:count])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_holds_every_spike_of_the_network(name: str, tmp_path: Path) -> None:
    variant, architecture, knobs = NETWORKS[name]
    model = network(variant, architecture, **knobs)
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    found = check(model, nirfile.read(tmp_path / "net.nir"), digits(20))
    assert found.is_same
    assert found.images == 20 and found.layers and found.labels_moved == 0
    assert all(one.compared > 0 for one in found.layers)
    assert sum(one.spikes for one in found.layers) > 100
    # the trained network itself, whose batch-norm is not folded: but for rounding the same
    compared = sum(one.compared for one in found.rounded)
    assert sum(one.differing for one in found.rounded) <= 1e-3 * compared


@pytest.mark.parametrize("name", NETWORKS)
def test_a_reader_that_knows_nothing_of_us_sees_the_same_spikes(name: str, tmp_path: Path) -> None:
    variant, architecture, knobs = NETWORKS[name]
    model = network(variant, architecture, **knobs)
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    for image in digits(2).double():
        frames = np.stack([image.numpy()] * model.time_steps)
        seen = simulate(tmp_path / "net.nir", frames, STEP_S)
        expected = Running(describe(model, SHAPE)).double()
        for node, values in expected.values(image[None]).items():
            assert np.allclose(values[:, 0].numpy(), seen[node], atol=1e-5), node
        assert np.allclose(folded(model).double()(image[None])[0].detach(), seen["output"].mean(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_package_of_the_format_reads_it_and_knows_its_types(name: str, tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    variant, architecture, knobs = NETWORKS[name]
    model = network(variant, architecture, **knobs)
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    _, nodes, edges = content(tmp_path / "net.nir")
    has_reset = any("v_reset" in node for node in nodes.values())
    knows_reset = importlib.metadata.version("nir") > "1.0.4"
    if has_reset and not knows_reset:
        with pytest.raises(TypeError, match="v_reset"):  # refused, and not read otherwise
            nir.read(tmp_path / "net.nir")
        return
    graph = nir.read(tmp_path / "net.nir")
    assert {n: type(node).__name__ for n, node in graph.nodes.items()} == {
        n: node["type"].decode() for n, node in nodes.items()
    }
    assert graph.edges == edges
    assert graph.metadata["dse.time_steps"] == model.time_steps
    nir.write(tmp_path / "again.nir", graph)
    # a soft reset has become a v_reset of 0 in newer versions; our metadata still says what it is
    again = nirfile.read(tmp_path / "again.nir")
    assert check(model, again, digits(4)).is_same


@pytest.mark.slow
def test_a_trained_network_keeps_its_labels(tmp_path: Path) -> None:
    data = splits.load("digits", data_dir=None, validation=0.2, samples=None, seed=0)
    knobs = {"time_steps": 3, "threshold": 0.5, "initial_potential": 0.2, "width": 0.3}
    model = family.load("snn").build(Design.of("snn", "convnet", knobs), SHAPE, 10)
    settings = TrainingSettings(
        epochs=3,
        batch_size=32,
        learning_rate=0.02,
        weight_decay=0.0,
        label_smoothing=0.0,
        grad_clip=1.0,
    )
    images, labels = torch.from_numpy(data.validation.images), data.validation.labels
    for _ in train(model, data.train.images, data.train.labels, images, labels, settings, seed=0):
        pass
    apply(model, {"time_steps": 2, "threshold_scale": 0.8, "weight_bits": 8})
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    graph = nirfile.read(tmp_path / "net.nir")
    found = check(model, graph, images)
    assert found.is_same and graph.time_steps == 2 and found.labels_moved == 0
    # in 32 bits a few potentials of many lie within rounding of their threshold
    compared = sum(one.compared for one in found.rounded)
    assert sum(one.differing for one in found.rounded) <= 1e-4 * compared
    logits = Running(graph).logits_by_step(images)
    assert torch.allclose(logits.mean(0), Running(graph)(images))
    assert (logits.mean(0).argmax(-1).numpy() == labels).mean() > 0.6


def test_a_check_finds_a_spike_that_moved() -> None:
    model = network("snn", "convnet", time_steps=3)
    graph = describe(model, SHAPE)
    neurons = next(node.operation for node in graph.of_kind(Spiking))
    assert isinstance(neurons, Spiking)
    neurons.threshold.mul_(1.1)
    found = check(model, graph, digits(10))
    assert not found.is_same and found.layers[0].differing > 0


def test_frames_of_events_are_a_frame_a_step(tmp_path: Path) -> None:
    model = network("snn", "convnet", time_steps=3)
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    frames = (torch.rand(4, 3, *SHAPE) > 0.5).float()
    assert check(model, nirfile.read(tmp_path / "net.nir"), frames).is_same


def test_spikes_that_are_drawn_are_drawn_again(tmp_path: Path) -> None:
    model = network("snn", "mlp", time_steps=4, encoding="poisson")
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    graph = nirfile.read(tmp_path / "net.nir")
    assert graph.coding == "poisson" and check(model, graph, digits(4)).is_same


@pytest.mark.parametrize(
    ("variant", "architecture", "knobs", "mistake"),
    [
        ("ann", "mlp", {}, "layers_0: ReLU: NIR has no such neurons"),
        ("bnn", "mlp", {}, "layers_1_synapse: BinaryLinear: must be Conv2d or Linear"),
        ("snn", "convnet", {"pool": "currents"}, "layers_0: a max-pool of currents: NIR has none"),
    ],
)
def test_what_the_format_cannot_say_is_refused_by_name(
    variant: str, architecture: str, knobs: dict, mistake: str
) -> None:
    model = family.load(variant).build(Design.of(variant, architecture, knobs), SHAPE, 10)
    with pytest.raises(InterchangeFailure) as refused:
        describe(model, SHAPE)
    assert mistake in str(refused.value)


def test_a_model_of_somebody_else_is_refused() -> None:
    with pytest.raises(InterchangeFailure, match="Sequential: must be a network of the families"):
        describe(nn.Sequential(), SHAPE)


def test_potentials_of_few_bits_are_refused() -> None:
    model = network("snn", "mlp", time_steps=2)
    apply(model, {"potential_bits": 6})
    with pytest.raises(InterchangeFailure, match="layers_0: OnGrid: NIR has no such neurons"):
        describe(model, SHAPE)
