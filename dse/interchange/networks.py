"""Networks: our trained spiking networks as graphs.

What the nodes of a graph can make of one another needs no node of its own. Of spikes, which are 0
or 1, the largest in a window is whether their sum reaches 1/2, and a product of two is whether
their sum reaches 3/2: both exact. Batch-norm is folded into the synapses before it, in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dse.architectures.positions import Position
from dse.conversion.folding import Synapse
from dse.conversion.folding import folded as with_norm
from dse.conversion.network import ConvertedNetwork
from dse.errors import InterchangeFailure
from dse.interchange import converted
from dse.interchange.graph import (
    Coding,
    Draft,
    Flatten,
    Graph,
    Input,
    Linear,
    Operation,
    Output,
    Pool,
    Shape,
    Spiking,
    Step,
)
from dse.interchange.synapses import node_name, operation_of
from dse.networks.layer import Layer, Stage
from dse.networks.network import Network
from dse.networks.residual import Joined, Membrane
from dse.neurons.spiking import IntegrateFire, SingleStep

KNOWN = "a network of the families snn, s2nn or converted"
_ANY_SPIKE, _BOTH_SPIKES, _HALF = 0.5, 1.5, 0.5
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def describe(model: nn.Module, input_shape: Shape) -> Graph:
    """A trained network as a graph.

    input_shape : of one sample at one step, (C, H, W)
    Raises InterchangeFailure, with its name, for what no graph can be.
    """
    if type(model) not in _WALKS:
        raise InterchangeFailure(f"{type(model).__name__}: must be {KNOWN}")
    walk, _ = _WALKS[type(model)]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):  # layers that are made draw weights
        return walk(model, input_shape)


def folded(model: nn.Module) -> nn.Module:
    """A copy of a network that `describe` knows, with the numbers of its graph.

    Synapses have taken over the batch-norm and whatever else their bias can be: weights in their
    own dtype, thresholds in 32 bits, as the network itself compares them.
    """
    _, fold = _WALKS[type(model)]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return fold(model)


def _folded(network: nn.Module) -> nn.Module:
    """Without batch-norm, and learns nothing more."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, Layer) and module.norm is not None:
            assert isinstance(module.synapse, Synapse)
            assert isinstance(module.norm, Norm)
            module.synapse = with_norm(module.synapse, module.norm)
            module.norm = None
        elif isinstance(module, IntegrateFire):
            threshold, leak = _single(module.threshold), torch.as_tensor(module.leak).item()
            module._threshold, module._leak = threshold, leak
            module.log_threshold = module.leak_logit = None
        elif isinstance(module, SingleStep):
            module.threshold = _single(module.threshold)
    return network


def _describe_network(model: nn.Module, input_shape: Shape) -> Graph:
    assert isinstance(model, Network)
    _refuse_stages(model)
    network = _folded(model)
    assert isinstance(network, Network)
    return _Walk(network).graph(input_shape)


Describe = Callable[[nn.Module, Shape], Graph]
Fold = Callable[[nn.Module], nn.Module]
# another kind of network is one more line here; nodes of its neurons bear `node_name` of their path
_WALKS: dict[type[nn.Module], tuple[Describe, Fold]] = {
    Network: (_describe_network, _folded),
    ConvertedNetwork: (converted.describe, converted.folded),
}


@dataclass(frozen=True, slots=True)
class _Values:
    """What flows: the sum of what some nodes give; is_binary : only 0 and 1."""

    sources: tuple[str, ...]
    is_binary: bool


@dataclass(slots=True)
class _Walk:
    """Through a folded network, layer by layer."""

    network: Network
    draft: Draft = field(default_factory=Draft)

    def graph(self, input_shape: Shape) -> Graph:
        network = self.network
        values = _Values((self.draft.add("input", Input(input_shape)),), is_binary=False)
        coding: Coding = "direct"
        if network.encoding.coding == "binary":
            values = self._binary("encoded", Step(torch.tensor(_HALF)), values)
        elif network.encoding.coding == "poisson":
            coding, values = "poisson", _Values(values.sources, is_binary=True)
        for index, layer in enumerate(network.layers):
            values = self._layer(f"layers.{index}", layer, values)
        values = self._readout(values)
        self._add("output", Output(), values)
        return self.draft.done(network.time_steps, coding)

    def _layer(self, path: str, layer: nn.Module, values: _Values) -> _Values:
        if isinstance(layer, Joined):
            return self._joined(path, layer, values)
        if isinstance(layer, Membrane):
            return self._membrane(path, layer, values)
        assert isinstance(layer, Stage)
        if isinstance(layer, Layer):
            values = self._synapse(path, layer.inflow.place, layer.synapse, values)
        if layer.neuron is None:
            return values
        values = self._neuron(f"{path}.neuron", layer.neuron, values)
        if layer.pool is None:
            return values
        size = layer.pool.kernel_size
        assert isinstance(size, int)
        values = self._add(f"{path}.pool", Pool("sum", (size, size), (size, size)), values)
        return self._binary(f"{path}.pooled", Step(torch.tensor(_ANY_SPIKE)), values)

    def _joined(self, path: str, block: Joined, values: _Values) -> _Values:
        outputs, around = values, values
        for index, layer in enumerate(block.body):
            outputs = self._layer(f"{path}.body.{index}", layer, outputs)
        if block.around is not None:
            around = self._layer(f"{path}.around", block.around, values)
        both = _Values((*around.sources, *outputs.sources), is_binary=False)
        if not block.keeps_spikes_binary:
            return both
        if not (around.is_binary and outputs.is_binary):
            raise InterchangeFailure(
                f"{path}: a product of values that are not spikes: NIR has no product: must be "
                "shortcut add or membrane, or neurons before the block"
            )
        return self._binary(f"{path}.both", Step(torch.tensor(_BOTH_SPIKES)), both)

    def _membrane(self, path: str, block: Membrane, values: _Values) -> _Values:
        spikes = self._layer(f"{path}.first", block.first, values)
        outputs = spikes
        for index, layer in enumerate(block.body):
            outputs = self._layer(f"{path}.body.{index}", layer, outputs)
        around = values
        if block.around is not None:
            around = self._layer(f"{path}.around", block.around, spikes)
        return _Values((*around.sources, *outputs.sources), is_binary=False)

    def _readout(self, values: _Values) -> _Values:
        readout = self.network.readout
        place = readout.inflow.place
        values = self._synapse("readout", place, readout.synapse, values)
        if readout.spiking is not None:
            values = self._layer("readout.spiking", readout.spiking, values)
        if place.vote == 1:
            return values
        logits = torch.eye(place.c_out // place.vote)
        votes = logits.repeat_interleave(place.vote, 1) / place.vote
        return self._add("readout.vote", Linear(votes), values)

    def _synapse(self, path: str, place: Position, synapse: nn.Module, values: _Values) -> _Values:
        if place.average:
            sides = self._shape(values)[1:]
            values = self._add(f"{path}.average", Pool("average", sides, sides), values)
        if place.flatten or place.average:
            values = self._add(f"{path}.flatten", Flatten(), values)
        path = f"{path}.synapse"
        return self._add(path, operation_of(node_name(path), synapse), values)

    def _neuron(self, path: str, neuron: nn.Module, values: _Values) -> _Values:
        if isinstance(neuron, SingleStep):
            return self._binary(path, Step(torch.tensor(neuron.threshold)), values)
        assert isinstance(neuron, IntegrateFire)
        leak = float(neuron.leak)
        numbers = {
            "threshold": float(neuron.threshold),
            "leak": leak,
            "gain": 1.0 - leak if neuron.scales_input else 1.0,
            "initial": neuron.initial_potential,
        }
        made = {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
        return self._binary(path, Spiking(**made, is_soft=neuron.reset == "soft"), values)

    def _add(self, path: str, operation: Operation, values: _Values) -> _Values:
        name = self.draft.add(node_name(path), operation, values.sources)
        return _Values((name,), is_binary=False)

    def _binary(self, path: str, operation: Operation, values: _Values) -> _Values:
        return _Values(self._add(path, operation, values).sources, is_binary=True)

    def _shape(self, values: _Values) -> tuple[int, int, int]:
        channels, height, width = self.draft.nodes[values.sources[0]].shape
        return channels, height, width


def _refuse_stages(network: Network) -> None:
    """Raise InterchangeFailure, with every mistake, for layers that no graph can say."""
    mistakes = []
    for path, module in network.named_modules():
        name = node_name(path)
        if isinstance(module, Stage):
            mistakes += [f"{name}: {mistake}" for mistake in _mistakes_of(module)]
        synapse = getattr(module, "synapse", None)
        if synapse is not None and type(synapse) not in (nn.Conv2d, nn.Linear):
            mistakes.append(
                f"{name}_synapse: {type(synapse).__name__}: must be Conv2d or Linear, with real "
                f"weights, as of {KNOWN}"
            )
    if mistakes:
        raise InterchangeFailure("\n".join(mistakes))


def _mistakes_of(stage: Stage) -> list[str]:
    mistakes = []
    neuron = stage.neuron
    if neuron is not None and type(neuron) not in (IntegrateFire, SingleStep):
        mistakes.append(
            f"{type(neuron).__name__}: NIR has no such neurons: must be integrate-and-fire or "
            f"single-step, as of {KNOWN}"
        )
    if stage.pool is not None and (stage.pool_first or neuron is None):
        mistakes.append(
            "a max-pool of currents: NIR has none: must be one of spikes (pool: spikes), which is "
            "a sum and a threshold"
        )
    return mistakes


def _single(number: Tensor | float) -> float:
    return torch.as_tensor(number).detach().float().item()
