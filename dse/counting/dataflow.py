"""Neurons by data flow: potentials that are compared, step after step, and what links the steps.

A *comparison* tests a potential against constants, and its result goes on as a value. Two
comparisons are two steps of the same neurons if the later potential is computed element by element
from the earlier one, without a product in between. See `dse.neurons.events` for what is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dse.counting.affine import is_elementwise, rounds
from dse.counting.chains import Chain, Step, chains_of
from dse.counting.elementwise import COMPARISONS
from dse.counting.layers import (
    Layer,
    are_tangled,
    carried_in,
    in_order,
    is_unlinked,
    made_of,
    rows_above,
)
from dse.counting.spikeflow import Flow, flow_of, spike_valued
from dse.counting.thresholds import Threshold, is_comparison, threshold_of
from dse.counting.values import Call, Memory, Region, Value


@dataclass(frozen=True, slots=True)
class FoundNeurons:
    """One layer of neurons.

    name : module path of the comparison; with `/neuron#k` if the module has several layers
    neurons : distinct neurons over the whole batch, each updated at every step
    events : totals over the batch, as `dse.neurons.events` counts them
    spikes : at each step       fed_by : rows, units or neurons whose output is integrated
    is_signed : the outputs are -1 and +1: these neurons compare, but do not spike
    operators, elements : element-wise calls that these neurons are made of, and their outputs
    """

    name: str
    neurons: int
    events: Counter[str]
    spikes: tuple[int, ...]
    fed_by: tuple[str, ...]
    is_signed: bool
    operators: Counter[str]
    elements: Counter[str]


def find_neurons(
    calls: Iterable[Call], constants: Iterable[Region]
) -> tuple[list[FoundNeurons], list[str]]:
    """Neurons in what ran, and doubts about what else may be some."""
    memory = Memory(constants)
    for call in calls:
        memory.run(call)
    search = _Search(memory.values)
    return search.run(), list(search.doubts)


class _Search:
    """The search through the values of one forward pass."""

    def __init__(self, values: list[Value]) -> None:
        self.doubts: dict[str, None] = {}
        self._values = values
        self._flows: dict[Value, Flow] = {}
        self._levels: dict[Value, float | None] = {}
        self._at_rest: dict[Value, float] = {}
        self._choices: dict[Value, Step] = {}

    def run(self) -> list[FoundNeurons]:
        """The whole search."""
        steps = self._steps()
        chains, self._forms = chains_of(self._values, steps, self._at_rest, self._choices)
        self._doubt_choices()
        layers = self._untangled(self._layers(chains))
        layers = [layer for layer in layers if self._is_neurons(layer, steps)]
        by_module: dict[str, list[Layer]] = defaultdict(list)
        for layer in layers:
            by_module[layer.module].append(layer)
        for module, here in by_module.items():
            for index, layer in enumerate(here):
                layer.name = f"{module}/neuron#{index}" if len(here) > 1 else module or "neuron"
        self._doubt_integrators()
        names = {c: layer.name for layer in layers for c in layer.comparisons}
        # a first potential is what came in, and may come in elsewhere
        names |= {s.potential: layer.name for layer in layers for s in layer.steps if s.before}
        return [self._found(layer, names) for layer in layers]

    def _steps(self) -> dict[Value, list[Step]]:
        """Comparisons whose results are values, by potential and module."""
        # a single number is compared to decide what the program does
        drawn = [v for v in self._values if v.name == "bernoulli" and v.is_data]
        compared = [v for v in self._values if is_comparison(v) and v.is_data and v.shape] + drawn
        if not compared:
            return {}
        spikes = spike_valued(self._values, set(compared))
        thresholds = {v: threshold_of(v, spikes) if is_comparison(v) else None for v in compared}
        masks: list[tuple[Value, Threshold]] = []
        potentials = {t.potential for t in thresholds.values() if t is not None}
        steps: dict[tuple[Value, str], Step] = {}
        for value, threshold in thresholds.items():
            flow = self._flows[value] = flow_of(value, potentials, spikes)
            if threshold is None or threshold.potential.numel != value.numel:
                self._doubt_pair(value, flow)
                continue
            if not flow.is_value:
                masks.append((value, threshold))
                continue
            self._levels[value] = threshold.level
            self._at_rest[value] = float(threshold.fires_below)
            for module in dict.fromkeys(_module_of(call.module, threshold) for call in value.calls):
                key = threshold.potential, module
                step = steps.setdefault(key, Step(threshold.potential, module, [], threshold))
                step.comparisons.append(value)
        found: dict[Value, list[Step]] = defaultdict(list)
        for step in steps.values():
            found[step.potential].append(step)
        self._add_masks(masks, found)
        return found

    def _add_masks(
        self, masks: list[tuple[Value, Threshold]], steps: dict[Value, list[Step]]
    ) -> None:
        """Comparisons that only choose: those of a reset belong to the neurons that they reset."""
        for value, threshold in masks:
            here = steps.get(threshold.potential, [])
            equal = [step for step in here if step.threshold.level == threshold.level]
            for step in equal:
                step.masks.append(value)
                self._at_rest[value] = float(threshold.fires_below)
            if not here:
                module = _module_of(value.calls[0].module, threshold)
                step = Step(threshold.potential, module, [], threshold)
                self._choices.setdefault(threshold.potential, step).comparisons.append(value)

    def _doubt_choices(self) -> None:
        """A state that is compared and changed where it is too high may be one of neurons."""
        left = {p: s for p, s in self._choices.items() if s.comparisons[0] not in self._at_rest}
        if not left:
            return
        at_rest = {
            c: float(step.threshold.fires_below) for step in left.values() for c in step.comparisons
        }
        steps = {potential: [step] for potential, step in left.items()}
        for chain in chains_of(self._values, steps, at_rest, {})[0]:
            if chain.has_state and chain.has_reset:
                self._doubt(
                    chain.module,
                    "a state is compared and reset, but its spikes go "
                    "nowhere; it is not counted as neurons",
                )

    def _doubt_pair(self, value: Value, flow: Flow) -> None:
        """A comparison of two tensors of data, or with random numbers, whose result is a value."""
        floats = [one for one in value.inputs if one.is_data and one.is_float]
        if not flow.is_value or not floats or not (value.name in COMPARISONS or value.is_random):
            return
        what = "with random numbers" if value.is_random else "of two tensors of data"
        self._doubt(
            value.calls[0].module,
            f"a comparison {what} ({value.name}) gives values that "
            "flow on as spikes would; it is not counted as neurons",
        )

    def _doubt(self, module: str, text: str) -> None:
        self.doubts[f"{module or 'the model'}: {text}"] = None

    def _doubt_integrators(self) -> None:
        """Sums over steps in which earlier ones weigh less, and that nobody compares: readouts."""
        for value in self._values:
            if not value.is_data or not is_elementwise(value):
                continue
            terms = self._forms.of(value).terms
            is_last = not any(is_elementwise(one) for one in value.consumers)
            if not is_last or len(set(terms.values())) < 2:
                continue
            rows = {tuple(rows_above(atom)) for atom in terms}
            if len(rows) == 1 and not self._forms.reach(self._forms.of(value)).leak:
                self._doubt(
                    value.calls[0].module,
                    "a state leaks and is never compared (a readout "
                    "or a synaptic current?); its work is not counted",
                )

    def _layers(self, chains: list[Chain]) -> list[Layer]:
        """Chains by layer: what has no state is one layer if it is fed by the same rows."""
        layers: dict[object, Layer] = {}
        for chain in chains:
            inputs = [value for step in chain.steps for value in step.reach.inputs]
            rows = tuple(
                dict.fromkeys(name for value in in_order(inputs) for name in rows_above(value))
            )
            key = chain if chain.has_state else (chain.module, chain.neurons, rows)
            layers.setdefault(key, Layer(chain.module, [], rows)).chains.append(chain)
        return list(layers.values())

    def _untangled(self, layers: list[Layer]) -> list[Layer]:
        """Layers, less those that depend on one another element by element."""
        tangled = [
            one
            for one in layers
            if any(one is not other and are_tangled(one, other) for other in layers)
        ]
        for layer in tangled:
            self._doubt(
                layer.module,
                "comparisons depend on one another element by element (an adaptive "
                "threshold, a refractory time?); they are not counted as neurons",
            )
        return [layer for layer in layers if layer not in tangled]

    def _is_neurons(self, layer: Layer, steps: dict[Value, list[Step]]) -> bool:
        """Whether a layer is one of neurons; says why not where that is in doubt."""
        [first, *others] = layer.chains
        own = {p for p, here in steps.items() if any(s.chain in layer.chains for s in here)}
        flows = [self._flows[c] for step in layer.steps for c in step.comparisons]
        goes_out = any(f.reaches_product or f.is_output or f.potentials - own for f in flows)
        if any(rounds(comparison) for comparison in layer.comparisons):
            if first.has_state:
                self._doubt(
                    layer.module,
                    "a potential is kept and rounded to levels, as neurons of "
                    "several spikes a step do; they are not counted",
                )
            return False
        if others and is_unlinked(layer):
            self._doubt(
                layer.module,
                "comparisons depend on what was compared before, but not as "
                "a potential does (an adaptive threshold?); they are not counted as neurons",
            )
            return False
        if not first.has_state and not goes_out:
            self._doubt(
                layer.module,
                "the result of a comparison is only summed up; it is not counted as neurons",
            )
            return False
        if not goes_out and not any(f.is_reduced for f in flows):
            self._doubt(
                layer.module,
                "a state is compared and reset, but its spikes go nowhere; "
                "it is not counted as neurons",
            )
            return False
        return True

    def _found(self, layer: Layer, names: dict[Value, str]) -> FoundNeurons:
        steps, first = layer.steps, layer.chains[0]
        neurons, carried = first.neurons, 0
        is_signed = any(self._flows[c].is_signed for c in layer.comparisons)
        spikes = tuple(0 if is_signed else self._spikes(step) for step in steps)
        leaks = resets = 0
        if first.has_state:
            starts = carried_in(first)
            carried = (len(steps) - 1 + starts) * neurons
            links = [step.leak for step in steps[1:]]
            leaks = (sum(leak != 1 for leak in links) + (starts and links[0] != 1)) * neurons
            resets = sum(spikes[:-1]) if first.has_reset else 0
        self._doubt_state(layer, is_signed)
        events = Counter(
            state_read=carried,
            leak=leaks,
            integrate=carried,
            compare=len(steps) * neurons,
            reset=resets,
            state_write=(len(steps) - 1) * neurons if first.has_state else 0,
        )
        fed_by = self._fed_by(layer, names)
        operators, elements = self._work(layer, is_signed)
        return FoundNeurons(
            layer.name, neurons, events, spikes, fed_by, is_signed, operators, elements
        )

    def _doubt_state(self, layer: Layer, is_signed: bool) -> None:
        chain = layer.chains[0]
        if chain.has_second_state:
            self._doubt(
                layer.name,
                "a second state is kept (a synaptic current?), whose work is "
                "not in the neuron events",
            )
        if chain.has_state and carried_in(chain):
            self._doubt(layer.name, "the first step starts from a potential that was there before")
        if chain.has_state and is_signed:
            self._doubt(layer.name, "a potential is kept, but the outputs are -1 and +1")
        for text in chain.doubts:
            self._doubt(layer.name, text)

    def _spikes(self, step: Step) -> int:
        total = 0
        by_level = {self._levels[c]: c for c in reversed(step.comparisons)}
        for comparison in by_level.values():
            fired = comparison.calls[0].fired
            if fired is not None:
                is_inverted = self._flows[comparison].is_inverted
                total += comparison.numel - int(fired) if is_inverted else int(fired)
        if len(by_level) > 1:
            self._doubt(
                step.module,
                "a potential is compared with several thresholds; the spikes of all are added",
            )
        return total

    def _fed_by(self, layer: Layer, names: dict[Value, str]) -> tuple[str, ...]:
        """Rows, units and neurons whose output is integrated."""
        found: dict[str, None] = {}
        names = {value: name for value, name in names.items() if name != layer.name}
        own, potentials = layer.comparisons, {step.potential for step in layer.steps}
        for step in layer.steps:
            others = [*(step.reach.spikes - own), *(step.reach.leak.keys() - potentials)]
            for value in in_order([*step.reach.inputs, *others]):
                found |= dict.fromkeys(rows_above(value, names))
        return tuple(found)

    def _work(self, layer: Layer, is_signed: bool) -> tuple[Counter[str], Counter[str]]:
        """Element-wise calls that a layer is made of: their number, and that of their outputs."""
        operators: Counter[str] = Counter()
        elements: Counter[str] = Counter()
        for value in made_of(layer, self._forms, is_signed=is_signed):
            is_shared = len({call.module for call in value.calls}) > 1
            for call in value.calls:
                # what two modules computed alike is one value, and each has its own calls
                if not is_shared or call.module.startswith(layer.module):
                    operators[call.packet] += 1
                    elements[call.packet] += value.numel
        return operators, elements


def _module_of(module: str, threshold: Threshold) -> str:
    """The module of a comparison; the one around it, if the threshold is subtracted there."""
    around = [call.module for value in threshold.between[:1] for call in value.calls]
    over = [one for one in around if module.startswith(f"{one}." if one else "")]
    return max(over, key=len) if over and module not in around else module
