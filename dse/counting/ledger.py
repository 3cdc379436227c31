"""The ledger: everything that a network did, added up at the end into the count document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

from dse.counting.classify import Classifier, Operand
from dse.counting.doubts import (
    assumptions_of,
    network_assumptions,
    network_warnings,
    warnings_of,
)
from dse.counting.operators import ELEMENT_WORK
from dse.counting.rows import ModuleRow, NeuronRow, Row, Slot
from dse.counting.spread import spreads
from dse.errors import TracingError
from energy_models.counts import ModelCounts, Spread, Uncounted
from energy_models.layers import (
    LayerCounts,
    ModuleCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
)

_SIZES_KEPT = 4


@dataclass(slots=True)
class Ledger:
    """Everything that was seen, in order of first appearance.

    batches : samples of each batch
    looks_for_neurons : neuron updates were asked for
    looks_closer : what the conventions ask for is gathered too; `modules` is a part of it
    folded_elements : the part of `elements` whose leading dimension is time and samples
    """

    rows: dict[str, Row | NeuronRow] = field(default_factory=dict)
    uncounted: dict[str, list[tuple[str, tuple[tuple[int, ...], ...]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    elements: Counter[str] = field(default_factory=Counter)
    element_calls: Counter[str] = field(default_factory=Counter)
    folded_elements: Counter[str] = field(default_factory=Counter)
    counted_calls: int = 0
    assumptions: dict[str, None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    looks_for_neurons: bool = True
    looks_closer: bool = False
    modules: dict[str, ModuleRow] = field(default_factory=dict)

    def assume(self, text: str) -> None:
        """Note something that the reader of the numbers has to know, once."""
        self.assumptions[text] = None

    def warn(self, text: str) -> None:
        """Note something that looks wrong, once."""
        self.warnings[text] = None

    def neuron_row(self, name: str) -> NeuronRow:
        """The row of neurons of this name; a new one when it is met first.

        Raises TracingError if a layer that multiplies has that name.
        """
        row = self.rows.setdefault(name, NeuronRow(name))
        if not isinstance(row, NeuronRow):
            raise TracingError(f"{name}: neurons that also multiply tensors cannot be told apart")
        return row

    def add_element_work(self, name: str, calls: int, elements: int, folded: int = 0) -> None:
        """So many calls of an operator that multiplies no tensors, and its output elements.

        folded : how many of the elements lie in tensors of all time steps
        """
        self.element_calls[name] += calls
        self.elements[name] += elements
        self.folded_elements[name] += folded

    def found_row(self, name: str, fed_by: Iterable[str]) -> NeuronRow:
        """The row of neurons that were found; a new one stands behind the layers that feed it."""
        if isinstance(self.rows.get(name), Row):
            name = f"{name}/neuron"
        if name not in self.rows:
            names = list(self.rows)
            behind = [names.index(source) + 1 for source in fed_by if source in self.rows]
            names.insert(max(behind, default=len(names)), name)
            rows = {**self.rows, name: NeuronRow(name, is_found=True)}
            self.rows = {key: rows[key] for key in names}
        return self.neuron_row(name)

    def attribute(self, calls: Mapping[str, int], elements: Mapping[str, int]) -> None:
        """Element-wise work that neuron events stand for is not listed a second time."""
        for name, number in calls.items():
            if self.element_calls[name] >= number:  # copies and the like are not listed at all
                self.element_calls[name] -= number
                self.elements[name] -= elements[name]

    def document(self, time_steps: int, time_steps_from: str, reading: str) -> ModelCounts:
        """Classify and divide: the count document."""
        samples = sum(self.batches)
        unknown_calls = sum(len(calls) for calls in self.uncounted.values())
        known = self.counted_calls + unknown_calls
        rows = [row for row in self.rows.values() if isinstance(row, Row)]
        neurons = [row for row in self.rows.values() if isinstance(row, NeuronRow)]
        before_spikes = _before_spikes(rows)
        warnings = [*self.warnings, *network_warnings(rows, time_steps)]
        for row in rows:
            is_before = row.name in before_spikes
            for text in assumptions_of(row, time_steps, is_before_spikes=is_before):
                self.assume(f"{row.name}: {text}")
            warnings += [
                f"{row.name}: {text}" for text in warnings_of(row, is_after_spikes=not is_before)
            ]
        for text in network_assumptions(rows, neurons, looked_for_neurons=self.looks_for_neurons):
            self.assume(text)
        layers = tuple(
            _layer(
                row,
                samples,
                time_steps,
                is_before_spikes=row.name in before_spikes,
                has_one_batch=len(self.batches) == 1,
            )
            if isinstance(row, Row)
            else _neurons(row, samples, time_steps)
            for row in self.rows.values()
        )
        return ModelCounts(
            samples=samples,
            batches=len(self.batches),
            time_steps=time_steps,
            time_steps_from=time_steps_from,
            reading=reading,
            layers=_with_spikes_out(layers),
            coverage=self.counted_calls / known if known else 1.0,
            uncounted={name: _uncounted(calls) for name, calls in self.uncounted.items()},
            not_priced=self._not_priced(samples, time_steps),
            spread=self._spread(rows),
            warnings=tuple(dict.fromkeys(warnings)),
            assumptions=tuple(self.assumptions),
            modules=tuple(_module(row, samples) for row in self.modules.values()),
        )

    def _not_priced(self, samples: int, time_steps: int) -> dict[str, dict[str, float | str]]:
        found: dict[str, dict[str, float | str]] = {}
        for name, calls in self.element_calls.items():
            if calls <= 0:
                continue
            found[name] = {
                "class": ELEMENT_WORK.get(name, "element-wise"),
                "calls": calls,
                "elements": self.elements[name] / samples,
            }
            if self.folded_elements[name]:
                each_step = self.folded_elements[name] // time_steps
                found[name]["elements_each_step"] = each_step / samples
        return found

    def _spread(self, rows: Iterable[Row]) -> dict[str, Spread]:
        """Totals of the network, sample by sample, if every layer tells its samples apart."""
        totals = {name: np.zeros(sum(self.batches)) for name in ("mac", "ac", "graded", "binary")}
        stops = np.cumsum(self.batches)
        for row in rows:
            classify = Classifier(row.left, row.right, row.weight, row.has_binary_weights)
            if not row.has_samples:
                return {}
            for batch, pairs in enumerate(row.by_sample):
                here = slice(stops[batch] - self.batches[batch], stops[batch])
                for key, values in pairs.items():
                    for name, times in classify.shares(key):
                        if name in totals:
                            totals[name][here] += values * times
        totals["effective"] = np.sum(list(totals.values()), axis=0)
        return spreads(totals)


def _before_spikes(rows: Iterable[Row]) -> set[str]:
    """The layers that ran before the first one that reads spikes."""
    names: set[str] = set()
    for row in rows:
        if any(operand.kind != "real" and operand.has_zero for operand in row.operands):
            break
        names.add(row.name)
    return names


def _uncounted(calls: list[tuple[str, tuple[tuple[int, ...], ...]]]) -> Uncounted:
    return Uncounted(
        calls=len(calls),
        sizes=tuple(dict.fromkeys(sizes for _, sizes in calls))[:_SIZES_KEPT],
        modules=tuple(dict.fromkeys(module for module, _ in calls)),
    )


def _layer(
    row: Row, samples: int, time_steps: int, *, is_before_spikes: bool, has_one_batch: bool
) -> LayerCounts:
    classify = Classifier(row.left, row.right, row.weight, row.has_binary_weights)
    by_call = [
        [(classify.totals(pairs), nonzero) for pairs, nonzero in call.slots()]
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
    is_reused = is_before_spikes and not row.is_time_folded and len(by_call) == 1
    operand = row.operand
    has_units = classify.input_kind == "real" and operand.nonzero
    has_spikes = classify.is_made_of_spikes
    bits = row.declared_bits[1]
    # a call of one batch and the same of another are not one call to those who decide by calls
    calls = [call.operands for call in row.calls.values() if has_one_batch and call.operands]
    return LayerCounts(
        name=row.name,
        operator=row.operator,
        made_by=row.made_by,
        ops=OpCounts(**{f.name: total[f.name] / samples for f in fields(OpCounts)}),
        geometry=row.geometry,
        has_bias=row.has_bias,
        weight_bits=_weight_bits(row, classify),
        activation_bits=bits or operand.flowing_bits,
        input_kind=classify.input_kind,
        weight_kind=classify.weight_kind,
        unit_share=operand.units / operand.nonzero if has_units else None,
        weights=row.weights,
        nonzero_weights=row.nonzero_weights,
        outputs=row.outputs / samples,
        reused_steps=time_steps if is_reused else 1,
        operands=tuple(_operand(one, bits, samples) for one in row.operands),
        call_operands=tuple(tuple(_operand(one, bits, samples) for one in call) for call in calls),
        spikes_in=nonzero / samples if has_spikes else None,
        steps=tuple(_step(slot, samples, has_spikes) for slot in steps),
        calls=tuple(_step(slot, samples, has_spikes) for slot in whole_calls),
        folded=tuple(row.folded),
    )


def _operand(operand: Operand, declared_bits: int | None, samples: int) -> OperandCounts:
    return OperandCounts(
        kind=operand.kind,
        elements=operand.elements / samples,
        nonzero=operand.nonzero / samples,
        levels=() if operand.kind == "real" else tuple(sorted(operand.values)),
        is_signed=operand.is_signed,
        bits=declared_bits or operand.flowing_bits,
        smallest=operand.smallest if operand.nonzero else 0.0,
        largest=operand.largest,
        magnitude=None if operand.magnitude is None else operand.magnitude / samples,
        reached=None if operand.reached is None else operand.reached / samples,
    )


def _module(row: ModuleRow, samples: int) -> ModuleCounts:
    return ModuleCounts(
        name=row.name,
        classes=row.classes,
        elements_in=row.elements_in / samples,
        elements_out=row.elements_out / samples,
        has_weight=row.has_weight,
        inputs=tuple(_operand(one, None, samples) for one in row.inputs or ()),
    )


def _weight_bits(row: Row, classify: Classifier) -> int | None:
    if row.weight is None:
        return None
    if row.declared_bits[0]:
        return row.declared_bits[0]
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
