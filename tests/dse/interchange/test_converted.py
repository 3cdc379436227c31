"""Converted networks in a NIR file: read back, and read by somebody else, spike for spike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from nir_reader import simulate
from torch import Tensor, nn

from dse.architectures import positions
from dse.conversion.convert import convert
from dse.conversion.methods import METHODS, adjusted
from dse.conversion.network import ConvertedNetwork
from dse.data import splits
from dse.errors import InterchangeFailure
from dse.interchange import nirfile
from dse.interchange.checking import check
from dse.interchange.graph import Convolution, Linear, Scale, Spiking
from dse.interchange.networks import describe, folded
from dse.interchange.nodes import STEP_S, differences
from dse.interchange.running import Running
from dse.networks.source import SourceNetwork
from dse.neurons.clipped import Clipped, Qcfs

SHAPE = (1, 8, 8)
ACTIVATIONS = {"relu": nn.ReLU, "clipped": lambda: Clipped(2.0), "qcfs": lambda: Qcfs(4, 2.0)}
# architecture, activation, method, T, what differs from the method
CASES = {
    "potentials of half a threshold": ("convnet", "relu", "opi", 4, {}),
    "quantised": ("convnet", "qcfs", "qcfs", 4, {}),
    "algorithm 1": ("convnet", "clipped", "icsnn-1", 4, {}),
    "algorithm 2": ("convnet", "qcfs", "icsnn-2", 4, {}),
    "algorithm 3": ("convnet", "qcfs", "icsnn", 4, {}),
    "given back late": ("convnet", "qcfs", "icsnn", 3, {"coding": "rate-compensated-late"}),
    "rates enter": ("convnet", "clipped", "opi", 5, {"coding": "rate"}),
    "a drive by channel": ("convnet", "relu", "light-calibration", 4, {}),
    "a drive of the layer": ("convnet", "relu", "threshold-shift", 3, {"initial": "half"}),
    "hard reset, spikes drawn": ("convnet", "relu", "normalise-max", 6, {}),
    "thresholds by channel": (
        "convnet",
        "relu",
        "icsnn-2",
        4,
        {"threshold": "percentile-by-channel"},
    ),
    "blocks": ("resnet20", "relu", "opi", 4, {}),
    "blocks, quantised": ("resnet20", "qcfs", "icsnn-2", 3, {}),
    "blocks, thresholds and drives by channel": ("resnet20", "relu", "light-calibration", 3, {}),
    "blocks, clipped, rates enter": ("resnet20", "clipped", "icsnn-1", 4, {"coding": "rate"}),
    "blocks, hard reset, spikes drawn": ("resnet20", "relu", "normalise-max", 4, {}),
}


def digits(count: int) -> Tensor:
    data = splits.load("digits", data_dir=None, validation=0.2, samples=None, seed=0)
    return torch.from_numpy(data.validation.images[:count])


def settled(model: nn.Module) -> nn.Module:
    """Untrained, with batch-norms that have seen some data."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.bias, -0.2, 1.0)
    with torch.no_grad():
        model(digits(64))
    return model.eval()


def network(name: str) -> ConvertedNetwork:
    architecture, activation, method, steps, parts = CASES[name]
    torch.manual_seed(1)
    places = positions.load(architecture)(SHAPE, 10, 0.25, 1)
    source = settled(SourceNetwork(places, ACTIVATIONS[activation]))
    found = convert(source, digits(32), adjusted(METHODS[method], **parts), steps)
    return found.network


def converted(model: nn.Module, method: str = "opi", steps: int = 4) -> ConvertedNetwork:
    return convert(settled(model), digits(32), METHODS[method], steps).network


@pytest.mark.parametrize("name", CASES)
def test_a_file_holds_every_spike_of_the_network(name: str, tmp_path: Path) -> None:
    model = network(name)
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    found = check(model, nirfile.read(tmp_path / "net.nir"), digits(16))
    assert found.is_same and found.labels_moved == 0
    neurons = [step for step in model.steps if step.kind == "activation"]
    assert len(found.layers) == len(neurons) + (CASES[name][4].get("coding") == "rate")
    assert all(one.spikes > 0 for one in found.layers)
    assert sum(one.differing for one in found.rounded) <= 1e-3 * sum(
        one.compared for one in found.rounded
    )


@pytest.mark.parametrize("name", CASES)
def test_a_reader_that_knows_nothing_of_us_sees_the_same_spikes(name: str, tmp_path: Path) -> None:
    model = network(name)
    graph = describe(model, SHAPE)
    nirfile.write(graph, tmp_path / "net.nir")
    starts = {
        node.name: node.operation.initial.numpy()
        for node in graph.of_kind(Spiking)
        if isinstance(node.operation, Spiking)
    }
    expected = Running(graph).double()
    image = digits(1).double()
    values = expected.values(image)
    frames = values["input"][:, 0].expand(model.time_steps, *SHAPE).numpy()
    seen = simulate(tmp_path / "net.nir", frames, STEP_S, starts)
    for node, own in values.items():
        assert np.allclose(own[:, 0].numpy(), seen[node], atol=1e-4), node
    assert np.allclose(folded(model).double()(image)[0].detach(), seen["output"].mean(0))


def test_thresholds_are_in_the_units_of_the_network() -> None:
    model = network("thresholds by channel")
    graph = describe(model, SHAPE)
    for node in graph.of_kind(Spiking):
        own = model.nodes[node.name.removeprefix("nodes_")]
        assert isinstance(node.operation, Spiking)
        assert torch.equal(node.operation.threshold.flatten().float(), own.threshold_values)
        assert node.operation.threshold.numel() == node.shape[0]


def test_a_drive_is_in_the_bias_before_and_leaves_the_network_alone() -> None:
    model = network("a drive by channel")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graph = describe(model, SHAPE)
    assert not any("drive" in node.name for node in graph.nodes)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    drive = model.nodes["layers_0_1"].drive.flatten()
    (first,) = [node.operation for node in graph.nodes if node.name == "nodes_layers_0_0_0"]
    assert isinstance(first, Convolution) and first.bias is not None and bool((drive != 0).all())
    assert torch.allclose(first.bias - drive, model.nodes["layers_0_0_0"].bias, atol=1e-6)


class Before(nn.Module):
    """Activations before synapses: currents also flow around the neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding="same")
        self.relu, self.last = nn.ReLU(), nn.ReLU()
        self.pool, self.whole = nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, 1))
        self.hidden, self.output = nn.Linear(8, 12), nn.Linear(12, 10)

    def forward(self, images: Tensor) -> Tensor:
        currents = self.first(images)
        values = self.last(self.pool(currents + self.second(self.relu(currents))))
        hidden = self.hidden(self.whole(values).flatten(1))
        return self.output(hidden.relu()) + self.output(hidden.relu())


@pytest.mark.parametrize("method", ["threshold-shift", "light-calibration"])
def test_a_drive_of_currents_that_flow_elsewhere_has_a_node(method: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = converted(Before(), method)
    nirfile.write(describe(model, SHAPE), tmp_path / "net.nir")
    graph = nirfile.read(tmp_path / "net.nir")
    driven = {n.name: type(n.operation) for n in graph.nodes if n.name.endswith("drive")}
    # behind a pool as well; those in front of the readouts are fed by one layer for both
    assert driven == {
        "nodes_relu_drive": Convolution,
        "nodes_last_drive": Convolution,
        "nodes_relu_1_drive": Linear,
        "nodes_relu_2_drive": Linear,
    }
    found = check(model, graph, digits(16))
    assert found.is_same and found.labels_moved == 0
    assert all(one.spikes > 0 for one in found.layers)


def test_synapses_of_one_channel_each_are_scales_beside_the_drive() -> None:
    graph = describe(network("blocks, thresholds and drives by channel"), SHAPE)
    assert not any("drive" in node.name for node in graph.nodes)
    ways = [node for node in graph.nodes if "way" in node.name]
    assert ways and all(isinstance(node.operation, Scale) for node in ways)
    assert all(node.operation.factor.shape[1:] == (1, 1) for node in ways)  # type: ignore[union-attr]


def test_a_norm_without_synapses_before_it_is_a_convolution(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = converted(
        nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.BatchNorm2d(4),
            nn.AvgPool2d(4, stride=2),
            nn.Conv2d(4, 4, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 10),
        )
    )
    graph = describe(model, SHAPE)
    (norm,) = [node.operation for node in graph.nodes if node.name == "nodes_2"]
    assert isinstance(norm, Convolution) and norm.groups == 1
    nirfile.write(graph, tmp_path / "net.nir")
    assert check(model, nirfile.read(tmp_path / "net.nir"), digits(8)).is_same


def test_many_steps_are_drawn_as_the_network_draws_them() -> None:
    torch.manual_seed(2)
    layers = (nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    model = converted(nn.Sequential(*layers), "normalise-max", 150)
    assert check(model, describe(model, SHAPE), digits(60)).is_same


def test_the_report_says_what_a_foreign_reader_would_do_otherwise() -> None:
    texts = {
        name: [str(one) for one in differences(describe(network(name), SHAPE))]
        for name in ("algorithm 2", "algorithm 3", "given back late", "hard reset, spikes drawn")
    }
    assert any("potentials do not start at 0" in text for text in texts["algorithm 2"])
    assert any("at the first step also T times" in text for text in texts["algorithm 3"])
    assert any("at the last step also T times" in text for text in texts["given back late"])
    drawn = texts["hard reset, spikes drawn"]
    assert any("drawn at each step" in text for text in drawn)
    assert not any("soft reset" in text for text in drawn)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    ("layer", "mistake"),
    [
        (nn.MaxPool2d(2), "nodes_2: a max-pool of rates counts spikes: NIR has no such node"),
        (nn.AvgPool2d(2, padding=1), "nodes_2: an average with padding"),
        (nn.AvgPool2d(3, ceil_mode=True), "nodes_2: an average with padding, ceil_mode"),
        (nn.AdaptiveAvgPool2d(3), "nodes_2: 8 x 8 averaged to 3 x 3"),
        (nn.Conv2d(4, 4, 2, padding="same"), "nodes_2: padding same of an even kernel"),
    ],
)
def test_what_the_format_cannot_say_is_refused_by_name(layer: nn.Module, mistake: str) -> None:
    front = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), layer, nn.Flatten())
    features = front(torch.zeros(1, *SHAPE)).shape[1]
    model = converted(nn.Sequential(*front, nn.Linear(features, 10)))
    with pytest.raises(InterchangeFailure) as refused:
        describe(model, SHAPE)
    assert str(refused.value).startswith(mistake)


class Around(nn.Module):
    """Neurons get currents of the values and, first, the values themselves."""

    def __init__(self, pool: nn.Module, first: nn.Module) -> None:
        super().__init__()
        channels = 1 if isinstance(first, nn.Identity) else 4
        self.first, self.pool, self.relu = first, pool, nn.ReLU()
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.output = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    def forward(self, images: Tensor) -> Tensor:
        values = self.pool(self.first(images))
        return self.output(self.relu(values + self.second(values)))


@pytest.mark.parametrize("pool", [nn.Identity(), nn.AvgPool2d(2)])
def test_data_that_lose_on_one_way_and_not_on_the_other_are_refused(pool: nn.Module) -> None:
    model = Around(pool, nn.Identity())
    with pytest.raises(
        InterchangeFailure, match=r"nodes_\w+_way0: gets the spikes of the data with"
    ):
        describe(converted(model, "icsnn"), SHAPE)


def test_a_drive_is_in_the_bias_of_synapses_that_are_no_scale(tmp_path: Path) -> None:
    torch.manual_seed(2)
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    model = converted(Around(nn.AvgPool2d(2), first), "light-calibration")
    graph = describe(model, SHAPE)
    ways = [node for node in graph.nodes if "way" in node.name]
    assert len(ways) == 1 and isinstance(ways[0].operation, Scale)
    assert not any("drive" in node.name for node in graph.nodes)
    nirfile.write(graph, tmp_path / "net.nir")
    assert check(model, nirfile.read(tmp_path / "net.nir"), digits(8)).is_same


def test_neurons_that_were_changed_are_refused() -> None:
    model = network("quantised")
    model.nodes["layers_0_1"].threshold = 0.5
    with pytest.raises(InterchangeFailure, match=r"nodes_layers_0_1: threshold, leak and"):
        describe(model, SHAPE)
