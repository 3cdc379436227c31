"""Converted: networks that were converted from an ANN, as graphs.

Thresholds, potentials and weights are in the units of the network. It itself may divide by the
threshold and compare with 1, which is the same but for rounding. What neurons get at every step on
top of their currents, their drive, is in the bias of the synapses before them, or a node of its own
where these currents flow elsewhere as well.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dse.conversion.folding import Synapse, with_values
from dse.conversion.network import ConvertedNetwork, Neurons, Step, by_channel_of
from dse.errors import InterchangeFailure
from dse.interchange.graph import (
    Coding,
    Draft,
    Flatten,
    Graph,
    Input,
    Linear,
    Operation,
    Output,
    Pair,
    Pool,
    Shape,
    Spiking,
)
from dse.interchange.synapses import by_channel, is_by_channel, node_name, operation_of

_CODINGS: dict[tuple[str, str], Coding] = {
    ("direct", "none"): "direct",
    ("rate", "none"): "direct",  # its neurons are nodes
    ("rate", "start"): "rate-compensated",
    ("rate", "end"): "rate-compensated-late",
    ("poisson", "none"): "poisson",
}


def describe(network: nn.Module, input_shape: Shape) -> Graph:
    """A converted network as a graph.

    Raises InterchangeFailure, with the name of the node, for what no graph can be.
    """
    assert isinstance(network, ConvertedNetwork)
    _refuse(network)
    return _Walk(folded(network)).graph(input_shape)


def folded(network: nn.Module) -> ConvertedNetwork:
    """A copy whose drives are in the biases of synapses, where nobody else gets their currents."""
    assert isinstance(network, ConvertedNetwork)
    network = copy.deepcopy(network).eval()
    for step in network.steps:
        neurons = _neurons(network, step)
        if neurons is None or not bool(neurons.drive.any()):
            continue
        key = _bearing(network, step.inputs[0])
        if key is None:
            continue
        synapse = network.nodes[key]
        assert isinstance(synapse, Synapse)
        bias = _by_feature(step.name, neurons.drive, len(synapse.weight))
        bias = bias if synapse.bias is None else synapse.bias.detach().double() + bias
        network.nodes[key] = with_values(synapse, synapse.weight.detach(), bias)
        neurons.drive = torch.zeros_like(neurons.drive)
    return network


def _bearing(network: ConvertedNetwork, name: str) -> str | None:
    """The key of synapses whose bias reaches those who get a value, and nobody else.

    Not of those that are a scale, which NIR has without a bias.
    """
    users = Counter(source for step in network.steps for source in step.inputs)
    waiting = [name]
    while waiting:
        name = waiting.pop(0)
        step = next(one for one in network.steps if one.name == name)
        if users[name] > 1:
            continue
        if step.kind == "synapse" and not is_by_channel(network.nodes[str(step.module)]):
            return step.module
        if step.kind == "add":
            waiting += step.inputs
    return None


def _by_feature(name: str, drive: Tensor, features: int) -> Tensor:
    """A drive of (), (C,) or (C, 1, 1) as (C,), in float64."""
    if drive.numel() not in (1, features):
        raise InterchangeFailure(
            f"{name}: drive {tuple(drive.shape)} on {features} channels: NIR adds numbers by "
            "channel: must be one for each"
        )
    return drive.detach().double().reshape(-1).expand(features)


def _neurons(network: ConvertedNetwork, step: Step) -> Neurons | None:
    module = network.nodes[step.module] if step.kind == "activation" and step.module else None
    return module if isinstance(module, Neurons) else None


@dataclass(slots=True)
class _Walk:
    """Through a network, step by step. values : of a step -> the nodes whose sum they are"""

    network: ConvertedNetwork
    draft: Draft = field(default_factory=Draft)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def graph(self, input_shape: Shape) -> Graph:
        network = self.network
        start, *steps = network.steps
        entering = (self.draft.add("input", Input(input_shape)),)
        if isinstance(network.coding, Neurons) and network.compensation == "none":
            entering = (self._spiking("coding", network.coding, entering),)
        self.values[start.name] = entering
        for step in steps:
            self._take(step)
        self.draft.add("output", Output(), self.values[steps[-1].name])
        coding = _CODINGS[network.coding_kind, network.compensation]
        return self.draft.done(network.time_steps, coding)

    def _take(self, step: Step) -> None:
        if step.kind == "add":
            self.values[step.name] = tuple(one for name in step.inputs for one in self.values[name])
            return
        assert step.module is not None
        module, sources = self.network.nodes[step.module], self.values[step.inputs[0]]
        name = node_name(f"nodes.{step.module}")
        if isinstance(module, Neurons):
            self.values[step.name] = (self._spiking(name, module, sources),)
            return
        operation: Operation
        if step.kind == "flatten":
            operation = Flatten()
        elif step.kind == "average":
            operation = _pool(name, module, self.draft.nodes[sources[0]].shape)
        else:
            operation = operation_of(name, module)
        self.values[step.name] = (self.draft.add(name, operation, sources),)

    def _spiking(self, name: str, neurons: Neurons, sources: tuple[str, ...]) -> str:
        shape = self.draft.nodes[sources[0]].shape
        if bool(neurons.drive.any()):
            offset = _by_feature(name, neurons.drive, shape[0]).to(neurons.drive)
            whole = torch.ones_like(offset)
            adding = by_channel(whole, offset) if len(shape) == 3 else Linear(whole.diag(), offset)
            sources = (self.draft.add(f"{name}_drive", adding, sources),)
        operation = Spiking(
            threshold=by_channel_of(neurons.threshold_values, len(shape)).detach().double(),
            leak=torch.ones((), dtype=torch.float64),
            gain=torch.ones((), dtype=torch.float64),
            initial=neurons.initial.detach().double(),
            is_soft=neurons.reset == "soft",
        )
        return self.draft.add(name, operation, sources)


def _pool(name: str, module: nn.Module, shape: Shape) -> Pool:
    """An average over windows that are all as large and lie inside."""
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        wanted = _pair(module.output_size)
        rows, columns = wanted[0] or height, wanted[1] or width
        if height % rows or width % columns:
            raise InterchangeFailure(
                f"{name}: {height} x {width} averaged to {rows} x {columns}: windows of several "
                "sizes: NIR has one: must be divisors"
            )
        kernel = (height // rows, width // columns)
        return Pool("average", kernel, kernel)
    assert isinstance(module, nn.AvgPool2d)
    kernel, stride = _sizes(module.kernel_size), _sizes(module.stride)
    is_padded = any(_sizes(module.padding)) or module.divisor_override is not None
    ends = (height - kernel[0]) % stride[0] or (width - kernel[1]) % stride[1]
    if is_padded or (module.ceil_mode and ends):
        raise InterchangeFailure(
            f"{name}: an average with padding, ceil_mode or divisor_override: NIR counts in what "
            "lies outside: must be windows that lie inside"
        )
    return Pool("average", kernel, stride)


def _pair(size: int | tuple[int | None, ...] | None) -> tuple[int | None, int | None]:
    return (size[0], size[1]) if isinstance(size, tuple) else (size, size)


def _sizes(size: int | tuple[int, int]) -> Pair:
    return (size[0], size[1]) if isinstance(size, tuple) else (size, size)


def _refuse(network: ConvertedNetwork) -> None:
    """Raise InterchangeFailure, with every mistake, for steps that no graph can say."""
    mistakes = []
    lossy = {network.steps[0].name} if network.compensation != "none" else set()
    for step in network.steps[1:]:
        name = node_name(f"nodes.{step.module or step.name}")
        if step.kind == "max":
            mistakes.append(
                f"{name}: a max-pool of rates counts spikes: NIR has no such node: must be an "
                "average (pooling: average)"
            )
        elif step.kind == "activation":
            mistakes += _mistakes_of(name, network.nodes[str(step.module)])
        if not lossy.intersection(step.inputs):
            continue
        if step.kind in ("flatten", "average"):
            lossy.add(step.name)
        elif step.compensation is None:
            mistakes.append(
                f"{name}: gets the spikes of the data without what they lose, which other synapses "
                "get: a graph has one input: coding must be rate or direct"
            )
    if mistakes:
        raise InterchangeFailure("\n".join(mistakes))


def _mistakes_of(name: str, neurons: nn.Module) -> list[str]:
    if type(neurons) is not Neurons:
        return [f"{name}: {type(neurons).__name__}: must be Neurons, as a conversion makes them"]
    units = (neurons.threshold, neurons.leak, neurons.initial_potential, neurons.scales_input)
    if units != (1.0, 1.0, 0.0, False):
        return [
            f"{name}: threshold, leak and initial potential {units[:3]} in units of the threshold: "
            "must be 1, 1 and 0: thresholds and potentials of a conversion are its buffers"
        ]
    return []
