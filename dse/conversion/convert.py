"""Convert: walk through an ANN and make a spiking network of it, layer after layer.

Calibration images flow through the ANN and through what is converted so far, side by side, so that
each layer is set up for the spikes that really reach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from dse.conversion import potentials, thresholds
from dse.conversion.folding import Synapse, by_channel, with_values
from dse.conversion.graph import Graph, Node, compute, trace
from dse.conversion.methods import Method
from dse.conversion.network import (
    Coding,
    Compensation,
    ConvertedNetwork,
    MaxOfRates,
    Neurons,
    Step,
    added,
    by_channel_of,
    encode,
    over_time,
)
from dse.errors import ConversionFailure

CODINGS: Mapping[str, tuple[Coding, Compensation]] = {
    "direct": ("direct", "none"),
    "rate": ("rate", "none"),
    "rate-compensated": ("rate", "start"),
    "rate-compensated-late": ("rate", "end"),
    "poisson": ("poisson", "none"),
}


@dataclass(frozen=True, slots=True)
class ConvertedLayer:
    """What became of an activation.

    threshold_low, threshold_high : over its channels       height : what a spike is worth in it
    error_before, error_after, kept_share : of a calibration, see `potentials.Start`
    """

    name: str
    neurons: int
    threshold_low: float
    threshold_high: float
    height: float
    error_before: float | None
    error_after: float | None
    kept_share: float | None


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted network, and how it came to be.

    graph : of the ANN that it was made of      samples : images that it was calibrated on
    """

    network: ConvertedNetwork
    graph: Graph
    method: Method
    layers: tuple[ConvertedLayer, ...]
    samples: int
    notes: tuple[str, ...]


@torch.no_grad()
def convert(model: nn.Module, images: Tensor, method: Method, time_steps: int) -> Converted:
    """A spiking network of T steps with the weights of an ANN.

    images : (N, C, H, W) to calibrate with, of the training data
    Raises ConversionFailure for a model, a method or a number of steps that does not go.
    """
    if time_steps < 1:
        raise ConversionFailure(f"time_steps {time_steps}: must be at least 1")
    if len(images) < 1:
        raise ConversionFailure("calibration: must have one image at least")
    graph = trace(model)
    refuse_other_function(model, graph, images)
    return _Walk(graph, method, time_steps, images).converted()


def refuse_other_function(model: nn.Module, graph: Graph, images: Tensor) -> None:
    """Raise ConversionFailure unless the nodes give the logits of the model."""
    few = images[:32]
    flags = [(module, module.training) for module in model.modules()]
    try:
        wanted = model.eval()(few)
        found = graph.run(few)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ConversionFailure(
            f"{type(model).__name__}: cannot run on images of shape {tuple(few.shape[1:])}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    finally:
        for module, was_training in flags:
            module.training = was_training
    if not bool(wanted.isfinite().all()):
        raise ConversionFailure(f"{type(model).__name__}: its logits are NaN or infinite")
    scale = float(wanted.abs().max()) + 1e-12
    if found.shape != wanted.shape or float((found - wanted).abs().max()) > 1e-3 * scale:
        raise ConversionFailure(
            f"{type(model).__name__}: its layers were found, and give other logits than the model: "
            "something between them cannot be seen"
        )


@dataclass(slots=True)
class _Value:
    """What a node gives on the calibration images, in both networks.

    ann : (N, ...)      spiking : (count * N, ...)
    worth : of a spike, () or (C,), where spikes flow; None where currents do
    """

    ann: Tensor
    spiking: Tensor
    count: int
    worth: Tensor | None


@dataclass(slots=True)
class _Walk:
    graph: Graph
    method: Method
    time_steps: int
    images: Tensor
    steps: list[Step] = field(default_factory=list)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    layers: list[ConvertedLayer] = field(default_factory=list)
    values: dict[str, _Value] = field(default_factory=dict)

    def converted(self) -> Converted:
        coding, compensation = CODINGS[self.method.coding]
        if coding != "direct" and not bool(((self.images >= 0) & (self.images <= 1)).all()):
            raise ConversionFailure(
                f"coding {self.method.coding}: values of the data are not in [0, 1], where a rate "
                "is: must be direct"
            )
        start, *nodes = self.graph.nodes
        # the coding alone; what follows is computed here as it is made
        shell = ConvertedNetwork(
            (), {}, time_steps=self.time_steps, coding=coding, compensation=compensation
        ).eval()
        (spiking, count), loss = encode(shell, self.images)
        self.steps.append(Step(start.name, "input", ()))
        self.values[start.name] = _Value(self.images, spiking, count, self.images.new_ones(()))
        losses = {} if loss is None else {start.name: loss}
        left = _users(self.graph)
        for node in nodes:
            self._take(node, losses, compensation)
            for name in node.inputs:
                left[name] -= 1
                if not left[name]:
                    del self.values[name]
        if compensation != "none" and not any(step.compensation for step in self.steps):
            raise ConversionFailure(
                f"coding {self.method.coding}: the data do not enter synapses first: what their "
                "spikes lose cannot be given back"
            )
        network = ConvertedNetwork(
            self.steps,
            self.modules,
            time_steps=self.time_steps,
            coding=coding,
            compensation=compensation,
        )
        return Converted(
            network.to(self.images.device).eval(),
            self.graph,
            self.method,
            tuple(self.layers),
            len(self.images),
            self._notes(),
        )

    def _take(self, node: Node, losses: dict[str, Tensor], compensation: Compensation) -> None:
        sources = [self.values[name] for name in node.inputs]
        ann = compute(node, [source.ann for source in sources])
        if node.kind == "activation":
            self._activation(node, sources[0], ann)
        elif node.kind == "add":
            self._add(node, sources, ann)
        elif node.kind == "synapse":
            self._synapse(node, sources[0], ann, losses, compensation)
        else:
            self._carry(node, sources[0], ann, losses)

    def _carry(self, node: Node, source: _Value, ann: Tensor, losses: dict[str, Tensor]) -> None:
        """A pool or a flattening: spikes keep their worth."""
        module: nn.Module
        worth = source.worth
        if node.kind == "flatten":
            module = nn.Flatten()
            if worth is not None and worth.dim() == 1:
                worth = worth.repeat_interleave(source.ann[0].numel() // len(worth))
        elif node.kind == "max":
            assert node.module is not None
            module = MaxOfRates(node.module)
        else:
            assert node.module is not None
            module = node.module
        count, spiking = source.count, source.spiking
        if node.kind == "max":
            spiking = module(over_time(spiking, count, self.time_steps)).flatten(0, 1)
            count = self.time_steps
        else:
            spiking = module(spiking)
        if node.inputs[0] in losses and node.kind != "max":
            losses[node.name] = module(losses[node.inputs[0]])
        self._put(node, module, _Value(ann, spiking, count, worth))

    def _synapse(
        self,
        node: Node,
        source: _Value,
        ann: Tensor,
        losses: dict[str, Tensor],
        compensation: Compensation,
    ) -> None:
        assert isinstance(node.module, Synapse)
        module = with_values(node.module, worthy(node.module, source.worth), node.module.bias)
        spiking, count = module(source.spiking), source.count
        extra = None
        if node.inputs[0] in losses:
            twin = with_values(node.module, node.module.weight, None)
            extra = _key(f"{node.name}.compensation")
            self.modules[extra] = twin
            by_step = list(over_time(spiking, count, self.time_steps).unbind(0))
            place = 0 if compensation == "start" else -1
            by_step[place] = by_step[place] + twin(losses[node.inputs[0]])
            spiking, count = torch.cat(by_step), self.time_steps
        self._put(node, module, _Value(ann, spiking, count, None), extra)

    def _add(self, node: Node, sources: list[_Value], ann: Tensor) -> None:
        """A sum is one of currents: spikes on the way around get a synapse of their worth."""
        names, ways = [], []
        for index, (name, source) in enumerate(zip(node.inputs, sources, strict=True)):
            if source.worth is None:
                names.append(name)
                ways.append((source.spiking, source.count))
                continue
            if source.ann.dim() != 4:
                raise ConversionFailure(f"{node.where}: a sum of features of neurons: must be maps")
            module = by_channel(source.worth.expand(source.ann.shape[1]))
            names.append(f"{node.name}.way{index}")
            ways.append((module(source.spiking), source.count))
            self.modules[_key(names[-1])] = module
            self.steps.append(Step(names[-1], "synapse", (name,), _key(names[-1])))
        spiking, count = added(ways, self.time_steps)
        self.steps.append(Step(node.name, "add", tuple(names)))
        self.values[node.name] = _Value(ann, spiking, count, None)

    def _activation(self, node: Node, source: _Value, after: Tensor) -> None:
        currents = over_time(source.spiking, source.count, self.time_steps)
        seen = thresholds.Seen(
            node, source.ann, after, lambda: currents, self.time_steps, self.method.percentile
        )
        found = thresholds.level(self.method.threshold, seen, self.method.threshold_scale)
        drive = torch.zeros_like(found.threshold)
        if self.method.shifts:
            drive = found.threshold / (2 * self.time_steps)
        neurons = Neurons(
            found.threshold,
            torch.zeros_like(found.threshold),
            by_channel_of(drive, after.dim() - 1),
            reset=self.method.reset,
        )
        worth = by_channel_of(found.threshold, after.dim() - 1)
        started = potentials.start(self.method.initial, after.clamp(max=worth), neurons, currents)
        neurons.initial = started.initial.clone()
        self.layers.append(
            ConvertedLayer(
                node.name,
                after[0].numel(),
                float(found.threshold.min()),
                float(found.threshold.max()),
                found.height,
                started.error_before,
                started.error_after,
                started.kept_share,
            )
        )
        spikes = neurons(currents).flatten(0, 1)
        value = _Value(after, spikes, self.time_steps, found.threshold * found.height)
        self._put(node, neurons, value)

    def _put(
        self, node: Node, module: nn.Module, value: _Value, compensation: str | None = None
    ) -> None:
        key = _key(node.name)
        self.modules[key] = module
        self.steps.append(Step(node.name, node.kind, node.inputs, key, compensation))
        self.values[node.name] = value

    def _notes(self) -> tuple[str, ...]:
        method = self.method
        notes = list(self.graph.notes)
        if method.is_reconstruction:
            notes.append(
                f"{method.name} is a reconstruction: the text of {method.source} was not read"
            )
        if method.depends_on_time_steps:
            notes.append(
                f"calibrated for T = {self.time_steps} on {len(self.images)} training images"
            )
        kept = [one.kept_share for one in self.layers if one.kept_share is not None]
        if kept:
            notes.append(
                f"calibrated potentials were kept by {100 * sum(kept) / len(kept):.1f} % of the "
                "neurons, mean over layers"
            )
        return tuple(notes)


def worthy(synapse: Synapse, worth: Tensor | None) -> Tensor:
    """The weights of a synapse whose inputs are spikes of some worth: W <- W worth."""
    weight = synapse.weight
    if worth is None:
        return weight
    if worth.dim() == 0:
        return weight * worth
    if isinstance(synapse, nn.Linear):
        return weight * worth
    groups = synapse.groups
    by_output = worth.reshape(groups, 1, -1)  # each group reads its own channels
    by_output = by_output.expand(groups, weight.shape[0] // groups, -1).reshape(weight.shape[:2])
    return weight * by_output[:, :, None, None]


def adjusted(method: Method, **values: object) -> Method:
    """A method with some parts of another kind; None leaves a part as it is."""
    given = {name: value for name, value in values.items() if value is not None}
    return replace(method, **given)  # type: ignore[arg-type]


def _users(graph: Graph) -> dict[str, int]:
    users = {node.name: 0 for node in graph.nodes}
    for node in graph.nodes:
        for name in node.inputs:
            users[name] += 1
    return users


def _key(name: str) -> str:
    """A name that a module may have: its path without dots."""
    return name.replace(".", "_")
