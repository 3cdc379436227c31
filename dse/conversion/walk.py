"""Walk: through an ANN, node after node, while a spiking network is made of it.

Calibration images flow through the ANN and through what is converted so far, side by side, so that
each layer is set up for the spikes that really reach it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dse.conversion import calibration, potentials, thresholds
from dse.conversion.calibration import Flow
from dse.conversion.converted import Converted, ConvertedLayer
from dse.conversion.flow import (
    Get,
    Pick,
    entering,
    held,
    in_parts,
    kept_spikes,
    over_steps,
    through,
)
from dse.conversion.folding import Synapse, by_channel, with_values, worthy
from dse.conversion.graph import Graph, Node, compute
from dse.conversion.methods import Method
from dse.conversion.network import (
    Coding,
    Compensation,
    ConvertedNetwork,
    MaxOfRates,
    Neurons,
    Step,
    When,
    added,
    by_channel_of,
    over_time,
)
from dse.errors import ConversionFailure

CODINGS: Mapping[str, tuple[Coding, When]] = {
    "direct": ("direct", "none"),
    "rate": ("rate", "none"),
    "rate-compensated": ("rate", "start"),
    "rate-compensated-late": ("rate", "end"),
    "poisson": ("poisson", "none"),
}
# of the largest layer over all steps, of images that flow together: some five such tensors at once
MOST_VALUES = 1 << 26


@dataclass(slots=True)
class _Value:
    """What a node gives on the calibration images, in both networks.

    ann : (N, ...)      flowing : in the spiking network
    worth : of a spike, () or (C,), where spikes flow; None where currents do
    ceiling : the largest current that spikes could cause; None where it is not known
    again : `flowing` with the weights as they are, through those of `synapses`; None where spikes
        flow
    """

    ann: Tensor
    flowing: Get
    worth: Tensor | None
    ceiling: Tensor | None = None
    again: Get | None = None
    synapses: tuple[Synapse, ...] = ()


@dataclass(slots=True)
class Walk:
    """images : calibration images

    learned : thresholds that were found before; None: they are the largest currents
    parts : of the images, that flow through the spiking network together; one image alone where
        nothing is learned from it
    """

    graph: Graph
    method: Method
    time_steps: int
    images: Tensor
    learned: Mapping[str, Tensor] | None
    steps: list[Step] = field(default_factory=list)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    layers: list[ConvertedLayer] = field(default_factory=list)
    values: dict[str, _Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    users: Mapping[str, int] = field(init=False)
    parts: Sequence[slice] = field(init=False)

    def __post_init__(self) -> None:
        self.users = _users(self.graph)
        is_seen = self.learned is None or calibrates(self.method)
        most = MOST_VALUES // (self.time_steps * _largest_layer(self.graph, self.images[:1]))
        self.parts = in_parts(len(self.images) if is_seen else 1, max(1, most))

    def converted(self) -> Converted:
        coding, compensation = CODINGS[self.method.coding]
        is_rate = bool(((self.images >= 0) & (self.images <= 1)).all())
        if coding != "direct" and not is_rate:
            raise ConversionFailure(
                f"coding {self.method.coding}: values of the data are not in [0, 1], where a rate "
                "is: must be direct"
            )
        if self.method.threshold == "model-based" and not is_rate:
            raise ConversionFailure(
                "threshold model-based: values of the data are not in [0, 1]: must be; or take "
                "another rule, as max"
            )
        start, *nodes = self.graph.nodes
        # the coding alone; what follows is computed here as it is made
        shell = ConvertedNetwork(
            (), {}, time_steps=self.time_steps, coding=coding, compensation=compensation
        ).eval()
        coded, loss = entering(shell, self.images, self.parts)
        self.steps.append(Step(start.name, "input", ()))
        self.values[start.name] = _Value(self.images, coded, self.images.new_ones(()))
        losses = {} if loss is None else {start.name: loss}
        left = dict(self.users)
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

    def _take(self, node: Node, losses: dict[str, Tensor], compensation: When) -> None:
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
            module = MaxOfRates(copy.deepcopy(node.module))
        else:
            assert node.module is not None
            module = copy.deepcopy(node.module)  # the source keeps its own
        rates_over = self.time_steps if node.kind == "max" else None
        if node.inputs[0] in losses and node.kind != "max":
            losses[node.name] = module(losses[node.inputs[0]])
        flowing = self._held(through(module, source.flowing, rates_over), ann)
        value = _Value(ann, flowing, worth, source.ceiling)
        if source.again is not None:
            value.again = through(module, source.again, rates_over)
            # what else reads the source is to keep its currents
            value.synapses = source.synapses if self.users[node.inputs[0]] == 1 else ()
        self._put(node, module, value)

    def _synapse(
        self,
        node: Node,
        source: _Value,
        ann: Tensor,
        losses: dict[str, Tensor],
        compensation: When,
    ) -> None:
        assert isinstance(node.module, Synapse)
        module = with_values(node.module, worthy(node.module, source.worth), node.module.bias)
        loss, extra, twin = losses.get(node.inputs[0]), None, None
        if loss is not None:
            twin = Compensation(module)
            extra = _key(f"{node.name}.compensation")
            self.modules[extra] = twin

        before = through(module, source.flowing)

        def again(picked: Pick) -> tuple[Tensor, int]:
            currents, count = before(picked)
            if loss is None or twin is None:
                return currents, count
            by_step = list(over_time(currents, count, self.time_steps).unbind(0))
            place = 0 if compensation == "start" else -1
            by_step[place] = by_step[place] + twin(loss[picked])
            return torch.cat(by_step), self.time_steps

        ceiling = None
        if source.worth is not None:  # all spike that excite
            ceiling = module.weight.clamp(min=0).flatten(1).sum(1)
            ceiling = ceiling if module.bias is None else ceiling + module.bias.clamp(min=0)
            ceiling = ceiling.max()
        value = _Value(ann, self._held(again, ann), None, ceiling, again, (module,))
        self._put(node, module, value, extra)

    def _add(self, node: Node, sources: list[_Value], ann: Tensor) -> None:
        """A sum is one of currents: spikes on the way around get a synapse of their worth."""
        names, ways, ceilings = [], [], []
        for index, (name, source) in enumerate(zip(node.inputs, sources, strict=True)):
            if source.again is not None:
                names.append(name)
                # currents that flow elsewhere, too, are not to change, and neither their weights
                ways.append(source.again if self.users[name] == 1 else source.flowing)
                ceilings.append(source.ceiling)
                continue
            assert source.worth is not None
            if source.ann.dim() != 4:
                raise ConversionFailure(f"{node.where}: a sum of features of neurons: must be maps")
            module = by_channel(source.worth.expand(source.ann.shape[1]))
            names.append(f"{node.name}.way{index}")
            ways.append(through(module, source.flowing))
            ceilings.append(source.worth.max())
            self.modules[_key(names[-1])] = module
            self.steps.append(Step(names[-1], "synapse", (name,), _key(names[-1])))

        def again(picked: Pick) -> tuple[Tensor, int]:
            return added([way(picked) for way in ways], self.time_steps)

        known = [ceiling for ceiling in ceilings if ceiling is not None]
        ceiling = torch.stack(known).sum() if len(known) == len(ways) else None
        synapses = tuple(
            synapse
            for name, source in zip(node.inputs, sources, strict=True)
            if self.users[name] == 1
            for synapse in source.synapses
        )
        self.steps.append(Step(node.name, "add", tuple(names)))
        self.values[node.name] = _Value(ann, self._held(again, ann), None, ceiling, again, synapses)

    def _activation(self, node: Node, source: _Value, after: Tensor) -> None:
        method = self.method
        currents = over_steps(source.flowing, self.parts, self.time_steps)
        learned = (
            torch.stack([part.max() for part in currents]).max()
            if self.learned is None
            else self.learned.get(node.name)
        )
        seen = thresholds.Seen(
            node, source.ann, after, self.time_steps, method.percentile, learned, source.ceiling
        )
        found = thresholds.level(method.threshold, seen, method.threshold_scale, method.gain)
        drive = torch.zeros_like(found.threshold)
        if method.shifts:
            drive = found.threshold / (2 * self.time_steps)
        neurons = Neurons(
            found.threshold,
            torch.zeros_like(found.threshold),
            by_channel_of(drive, after.dim() - 1),
            reset=method.reset,
        )
        # neurons can give what their threshold allows, and a spike counts for so much of it
        top = by_channel_of(found.threshold, after.dim() - 1)
        wanted = after[: self.parts[-1].stop] / found.height
        reachable = wanted.clamp(max=top)
        started = potentials.start(method.initial, reachable, neurons, currents)
        neurons.initial = started.initial.clone()
        if method.calibration == "bias":
            started = calibration.bias(neurons, currents, wanted, started)
        elif method.calibration == "dual-phase":
            flow = self._flow(node, source)
            currents, started = calibration.dual_phase(
                node.where, neurons, flow, reachable, started
            )
        self.layers.append(
            ConvertedLayer(
                node.name,
                after[0].numel(),
                float(found.threshold.min()),
                float(found.threshold.max()),
                found.height,
                _times(started.error_before, found.height),
                _times(started.error_after, found.height),
                started.kept_share,
            )
        )
        spikes = kept_spikes((neurons(part) for part in currents), self.parts)
        value = _Value(after, spikes, found.threshold * found.height)
        self._put(node, neurons, value)

    def _held(self, get: Get, ann: Tensor) -> Get:
        """What flows, computed once if that of all images fits, else for all that read it."""
        values = self.time_steps * self.parts[-1].stop * ann[0].numel()
        fits = len(self.parts) == 1 or values <= MOST_VALUES
        return held(get, self.parts) if fits else get

    def _flow(self, node: Node, source: _Value) -> Flow:
        """How currents reach the neurons, and the synapses that may be fitted to them."""
        assert source.again is not None
        is_ours = self.users[node.inputs[0]] == 1
        if not is_ours or not source.synapses:
            self.notes.append(
                f"{node.name}: its currents flow elsewhere, too: no weight was fitted"
            )
        currents = over_steps(source.again, self.parts, self.time_steps)
        return Flow(currents, source.synapses if is_ours else ())

    def _put(
        self, node: Node, module: nn.Module, value: _Value, compensation: str | None = None
    ) -> None:
        key = _key(node.name)
        self.modules[key] = module
        self.steps.append(Step(node.name, node.kind, node.inputs, key, compensation))
        self.values[node.name] = value

    def _notes(self) -> tuple[str, ...]:
        method = self.method
        notes = [*self.graph.notes, *self.notes]
        if method.is_reconstruction:
            notes.append(
                f"{method.name} is a reconstruction: the text of {method.source} was not read"
            )
        if method.depends_on_time_steps:
            notes.append(
                f"calibrated for T = {self.time_steps} on {len(self.images)} training images"
                if calibrates(method)
                else f"set up for T = {self.time_steps}"
            )
        kept = [one.kept_share for one in self.layers if one.kept_share is not None]
        if kept:
            notes.append(
                f"calibrated potentials were kept by {100 * sum(kept) / len(kept):.1f} % of the "
                "neurons, mean over layers"
            )
        return tuple(notes)


def calibrates(method: Method) -> bool:
    """Whether a method looks at what flows through the spiking network."""
    is_learned = method.initial not in ("zero", "half")
    return is_learned or method.calibration != "none"


def _largest_layer(graph: Graph, images: Tensor) -> int:
    """Neurons of the largest layer, or values of the data if they are more."""
    sizes = [images[0].numel()]
    graph.run(images, lambda node, before, after: sizes.append(after[0].numel()))
    return max(sizes)


def _times(error: float | None, height: float) -> float | None:
    return None if error is None else error * height


def _users(graph: Graph) -> dict[str, int]:
    users = {node.name: 0 for node in graph.nodes}
    for node in graph.nodes:
        for name in node.inputs:
            users[name] += 1
    return users


def _key(name: str) -> str:
    """A name that a module may have: its path without dots."""
    return name.replace(".", "_")
