"""The ledger: books every product, neuron event and unknown operator, and adds them up at the end.

The class of a product depends on the values of the whole layer over all its calls, so pairs are
booked by magnitude and classified once, when everything has been seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

from dse.counting.classify import Classifier, Magnitudes, Operand
from dse.counting.rules import Side
from energy_models.counts import ModelCounts, Uncounted
from energy_models.layers import Geometry, LayerCounts, NeuronUpdates, OpCounts, StepCounts

Slot = tuple[Counter[str], int]  # pairs by class, and non-zero inputs
_SIZES_KEPT = 4


@dataclass(slots=True)
class Call:
    """What one call of one layer did, summed over batches.

    slots : per time step found in the leading dimension (one slot where there is none): pairs by
        magnitude, and non-zero inputs
    """

    pairs: list[Counter[Magnitudes]]
    nonzero: list[int]


@dataclass(slots=True)
class Row:
    """One layer that multiplies, while it is being observed."""

    name: str
    operator: str
    geometry: Geometry
    weight: Side | None
    left: Operand = field(default_factory=Operand)
    right: Operand = field(default_factory=Operand)
    weight_is_binary: bool = True
    has_lone_weights: bool = False
    weight_bits: int = 0
    weights: int = 0
    nonzero_weights: int = 0
    has_bias: bool = False
    dense: int = 0
    outputs: int = 0
    calls: dict[int, Call] = field(default_factory=dict)
    is_time_folded: bool = True
    is_before_neurons: bool = True
    folded: list[str] = field(default_factory=list)

    def book(self, call: int, pairs: Mapping[Magnitudes, list[int]], nonzero: list[int]) -> None:
        """Add the pairs of one call, per slot."""
        slots = len(nonzero)
        entry = self.calls.get(call)
        if entry is None or len(entry.nonzero) != slots:
            entry = _merged_slots(entry, slots)
            self.calls[call] = entry
        for key, per_slot in pairs.items():
            for slot, count in enumerate(per_slot):
                entry.pairs[slot][key] += count
        for slot, count in enumerate(nonzero):
            entry.nonzero[slot] += count


@dataclass(slots=True)
class NeuronRow:
    """One module of neurons, while it is being observed."""

    name: str
    neurons: int = 0
    events: Counter[str] = field(default_factory=Counter)
    is_spiking: bool = True
    spikes: list[int] = field(default_factory=list)
    fed_by: list[str] = field(default_factory=list)

    def book(self, spikes: list[int], sources: list[str]) -> None:
        """Add the spikes of one call, per slot, and the rows that it read."""
        if len(self.spikes) != len(spikes):
            self.spikes = [sum(self.spikes)] + [0] * (len(spikes) - 1)
        self.spikes = [a + b for a, b in zip(self.spikes, spikes, strict=True)]
        self.fed_by.extend(source for source in sources if source not in self.fed_by)


@dataclass(slots=True)
class Ledger:
    """Everything that was seen, in order of first appearance."""

    rows: dict[str, Row | NeuronRow] = field(default_factory=dict)
    uncounted: dict[str, list[tuple[str, tuple[tuple[int, ...], ...]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    elements: Counter[str] = field(default_factory=Counter)
    element_calls: Counter[str] = field(default_factory=Counter)
    counted_calls: int = 0
    assumptions: dict[str, None] = field(default_factory=dict)

    def assume(self, text: str) -> None:
        """Note something that the reader of the numbers has to know, once."""
        self.assumptions[text] = None

    def document(self, samples: int, time_steps: int) -> ModelCounts:
        """Classify and divide: the count document."""
        unknown_calls = sum(len(calls) for calls in self.uncounted.values())
        known = self.counted_calls + unknown_calls
        for row in self.rows.values():
            if isinstance(row, Row):
                for text in _doubts(row, time_steps):
                    self.assume(f"{row.name}: {text}")
        self._doubt_time_and_neurons(time_steps)
        layers = tuple(
            _layer(row, samples, time_steps)
            if isinstance(row, Row)
            else _neurons(row, samples, time_steps)
            for row in self.rows.values()
        )
        return ModelCounts(
            samples=samples,
            time_steps=time_steps,
            layers=_with_spikes_out(layers),
            coverage=self.counted_calls / known if known else 1.0,
            uncounted={
                name: Uncounted(
                    calls=len(calls),
                    sizes=tuple(dict.fromkeys(sizes for _, sizes in calls))[:_SIZES_KEPT],
                    modules=tuple(dict.fromkeys(module for module, _ in calls)),
                )
                for name, calls in self.uncounted.items()
            },
            not_priced={
                name: {"calls": self.element_calls[name], "elements": elements / samples}
                for name, elements in self.elements.items()
            },
            assumptions=tuple(self.assumptions),
        )

    def _doubt_time_and_neurons(self, time_steps: int) -> None:
        """Say so if what was declared and what was seen do not fit together."""
        rows = [row for row in self.rows.values() if isinstance(row, Row)]
        calls = max((len(row.calls) for row in rows), default=0)
        has_time = any(row.is_time_folded or len(row.calls) == time_steps for row in rows)
        if time_steps == 1 and calls > 1:
            self.assume(
                f"layers were called up to {calls} times in one pass and no time steps were "
                "declared: calls are not told apart as steps"
            )
        if time_steps > 1 and rows and not has_time:
            self.assume(f"{time_steps} time steps were declared, and no layer has so many")
        has_spikes = any(row.left.kind == "unit" and row.left.has_zero for row in rows)
        if has_spikes and len(rows) == len(self.rows):
            self.assume(
                "spikes flow, but no module of neurons was recognised: neuron updates are not "
                "counted"
            )


def _doubts(row: Row, time_steps: int) -> Iterator[str]:
    """What a reader should know of a layer whose values tell little, or whose work is repeated."""
    operand = row.right if row.weight == "left" else row.left
    if operand.nonzero == 0:
        yield "all inputs were zero: taken as spikes that did not come"
    elif len(operand.values) == 1 and not operand.has_zero and not operand.is_signed:
        yield "all inputs were the same value: taken as spikes that always come"
    if row.weight is not None and row.weight_is_binary and row.has_lone_weights:
        yield "no output channel has two weights that are not zero: binary by definition"
    is_repeated = row.is_before_neurons and operand.step is None and len(row.calls) > 1
    if is_repeated and len(row.calls) == time_steps:
        yield f"computed on real values at each of {time_steps} steps, and charged as often"


def _merged_slots(entry: Call | None, slots: int) -> Call:
    # a call that sees time in its leading dimension in one batch and not in another keeps the total
    if entry is None:
        return Call([Counter() for _ in range(slots)], [0] * slots)
    total: Counter[Magnitudes] = Counter()
    for pairs in entry.pairs:
        total.update(pairs)
    rest = slots - 1
    return Call([total, *(Counter() for _ in range(rest))], [sum(entry.nonzero), *([0] * rest)])


def _layer(row: Row, samples: int, time_steps: int) -> LayerCounts:
    classify = Classifier(row.left, row.right, row.weight, row.weight_is_binary)
    by_call = [
        [
            (classify.totals(pairs), nonzero)
            for pairs, nonzero in zip(call.pairs, call.nonzero, strict=True)
        ]
        for call in row.calls.values()
    ]
    whole_calls = [_sum_slots(slots) for slots in by_call]
    total, nonzero = _sum_slots(whole_calls)
    total[classify.dense_class] = row.dense
    steps: list[Slot] = []
    if time_steps > 1 and len(by_call) == 1:
        steps = by_call[0]
    elif time_steps > 1 and len(by_call) == time_steps:
        steps = whole_calls
    is_reused = row.is_before_neurons and not row.is_time_folded and len(by_call) == 1
    operand = row.right if row.weight == "left" else row.left
    has_units = classify.input_kind == "real" and operand.nonzero
    has_spikes = classify.is_made_of_spikes
    return LayerCounts(
        name=row.name,
        operator=row.operator,
        ops=OpCounts(**{f.name: total[f.name] / samples for f in fields(OpCounts)}),
        geometry=row.geometry,
        has_bias=row.has_bias,
        weight_bits=_weight_bits(row, classify),
        activation_bits=operand.flowing_bits,
        input_kind=classify.input_kind,
        weight_kind=classify.weight_kind,
        unit_share=operand.units / operand.nonzero if has_units else None,
        weights=row.weights,
        nonzero_weights=row.nonzero_weights,
        outputs=row.outputs / samples,
        reused_steps=time_steps if is_reused else 1,
        spikes_in=nonzero / samples if has_spikes else None,
        steps=tuple(_step(slot, samples, has_spikes) for slot in steps),
        calls=tuple(_step(slot, samples, has_spikes) for slot in whole_calls),
        folded=tuple(dict.fromkeys(row.folded)),
    )


def _weight_bits(row: Row, classify: Classifier) -> int | None:
    if row.weight is None:
        return None
    if not classify.is_binary:
        return row.weight_bits
    return 2 if row.nonzero_weights < row.weights else 1


def _step(slot: Slot, samples: int, has_spikes: bool) -> StepCounts:
    classes, nonzero = slot
    return StepCounts(
        **{name: classes[name] / samples for name in ("mac", "ac", "graded", "binary")},
        spikes_in=nonzero / samples if has_spikes else None,
    )


def _sum_slots(slots: list[Slot]) -> Slot:
    total: Counter[str] = Counter()
    for classes, _ in slots:
        total.update(classes)
    return total, sum(nonzero for _, nonzero in slots)


def _neurons(row: NeuronRow, samples: int, time_steps: int) -> LayerCounts:
    steps = tuple(StepCounts(spikes_out=spikes / samples) for spikes in row.spikes)
    return LayerCounts(
        name=row.name,
        operator="neuron",
        neurons=round(row.neurons / samples),
        updates=NeuronUpdates(
            **{f.name: row.events[f.name] / samples for f in fields(NeuronUpdates)}
        ),
        outputs=row.neurons * time_steps / samples,
        spikes_out=sum(row.spikes) / samples if row.is_spiking else None,
        fed_by=tuple(row.fed_by),
        steps=steps if time_steps > 1 and row.is_spiking else (),
    )


def _with_spikes_out(layers: tuple[LayerCounts, ...]) -> tuple[LayerCounts, ...]:
    """A layer that alone feeds a row of neurons gets the spikes that leave them."""
    leaving = {
        layer.fed_by[0]: layer.spikes_out
        for layer in layers
        if layer.operator == "neuron" and len(layer.fed_by) == 1
    }
    return tuple(
        layer if layer.operator == "neuron" else replace(layer, spikes_out=leaving.get(layer.name))
        for layer in layers
    )
