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
from dse.errors import InterchangeFailure
from dse.interchange.graph import (
    Coding,
    Convolution,
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
from dse.networks.layer import Layer, ScaledBatchNorm1d, ScaledBatchNorm2d, Stage
from dse.networks.network import Network
from dse.networks.residual import Joined, Membrane
from dse.neurons.spiking import IntegrateFire, SingleStep

KNOWN = "a network of the families snn or s2nn"
_ANY_SPIKE, _BOTH_SPIKES, _HALF = 0.5, 1.5, 0.5
Norm = nn.BatchNorm1d | nn.BatchNorm2d
Synapse = nn.Conv2d | nn.Linear


def describe(model: nn.Module, input_shape: Shape) -> Graph:
    """A trained network as a graph.

    input_shape : of one sample at one step, (C, H, W)
    Raises InterchangeFailure, with its name, for what no graph can be.
    """
    walk = _WALKS.get(type(model))
    if walk is None:
        raise InterchangeFailure(f"{type(model).__name__}: must be {KNOWN}")
    with torch.no_grad():
        return walk(model, input_shape)


def folded(network: nn.Module) -> nn.Module:
    """A copy without batch-norm, whose synapses have taken it over, and that learns nothing more.

    Its numbers are those of the graph: weights in their own dtype, thresholds in 32 bits, as the
    network itself compares them.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, Layer) and module.norm is not None:
            assert isinstance(module.synapse, Synapse)
            assert isinstance(module.norm, Norm)
            _fold(module.synapse, module.norm)
            module.norm = None
        elif isinstance(module, IntegrateFire):
            threshold, leak = _single(module.threshold), torch.as_tensor(module.leak).item()
            module._threshold, module._leak = threshold, leak
            module.log_threshold = module.leak_logit = None
        elif isinstance(module, SingleStep):
            module.threshold = _single(module.threshold)
    return network


def node_name(path: str) -> str:
    """The name of a node, of the path of its module: readers make attributes of it."""
    return path.replace(".", "_")


def _describe_network(model: nn.Module, input_shape: Shape) -> Graph:
    assert isinstance(model, Network)
    _refuse_stages(model)
    network = folded(model)
    assert isinstance(network, Network)
    return _Walk(network).graph(input_shape)


# another kind of network is one more line here; nodes of its neurons bear `node_name` of their path
_WALKS: dict[type[nn.Module], Callable[[nn.Module, Shape], Graph]] = {Network: _describe_network}


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
        return self._add(f"{path}.synapse", _operation(synapse), values)

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


def _operation(synapse: nn.Module) -> Operation:
    assert isinstance(synapse, Synapse)
    weight = synapse.weight.detach().clone()
    bias = None if synapse.bias is None else synapse.bias.detach().clone()
    if isinstance(synapse, nn.Linear):
        return Linear(weight, bias)
    assert not isinstance(synapse.padding, str)
    stride, padding, dilation = synapse.stride, synapse.padding, synapse.dilation
    return Convolution(
        weight,
        bias,
        (stride[0], stride[1]),
        (padding[0], padding[1]),
        (dilation[0], dilation[1]),
        synapse.groups,
    )


def _single(number: Tensor | float) -> float:
    return torch.as_tensor(number).detach().float().item()


def _fold(synapse: Synapse, norm: Norm) -> None:
    """Multiply and shift synapses as a batch-norm in evaluation mode does behind them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    if isinstance(norm, ScaledBatchNorm1d | ScaledBatchNorm2d):
        factor = factor * norm.factor
    offset = norm.bias.double() - norm.running_mean.double() * factor
    if synapse.bias is not None:
        offset = offset + synapse.bias.double() * factor
    with torch.no_grad():
        weight: Tensor = synapse.weight.double()
        spread = factor.reshape(-1, *(1 for _ in weight.shape[1:]))
        synapse.weight.copy_(weight * spread)
        synapse.bias = nn.Parameter(offset.to(synapse.weight))
