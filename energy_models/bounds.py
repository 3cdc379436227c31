"""Bounds: the least and the most that a network can cost, whatever values flow through it.

What the sizes of a network fix (dense products, neurons, steps, weights) is kept; what its values
decide (effective products, spikes, resets) goes to the least and to the most that there can be. A
price never falls where a count rises, so the two documents enclose every one in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from energy_models.counts import ModelCounts
from energy_models.estimate import EnergyBreakdown, estimate
from energy_models.layers import (
    LayerCounts,
    OpCounts,
    OperandCounts,
    StepCounts,
)
from energy_models.profile import HardwareProfile

_LARGEST_LEVEL = 8  # abs(k) of a small integer


@dataclass(frozen=True, slots=True)
class Kinds:
    """What a layer can turn out to be.

    inputs : the kinds that its input may have: `unit`, `small-integers`, `real`
    weights : the kinds that its weight may have: `binary`, `real`; empty = as counted
    is_fixed : its effective products are those that were counted, whatever is learned
    is_signed : its input has both signs, also where the samples that were counted show one alone
    """

    inputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    is_fixed: bool = False
    is_signed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether only the values will tell its class."""
        return len(self.inputs) > 1 or len(self.weights) > 1


Interval = tuple[float, float]


def bounds_pj(
    counts: ModelCounts, kinds: Mapping[str, Kinds], profile: HardwareProfile
) -> Interval | None:
    """Least and largest energy per sample on a profile, pJ.

    counts : of the network with any weights      kinds : of each row that multiplies, by its name

    None where they do not follow: something has no price there, or the class of a layer is open
    and the profile is a chip, where a class also decides what runs on the chip.
    """
    is_open = any(one.is_open for one in kinds.values())
    is_hidden = any(_is_real_by_binary(row, kinds.get(row.name)) for row in counts.layers)
    if profile.kind == "chip" and (is_open or is_hidden or not _rises_with_spikes(profile)):
        return None
    pairs = []
    for ends in alternatives(counts, kinds):
        low, high = (estimate(one, profile) for one in ends)
        if low.complete and high.complete:
            pairs.append((low, high))
    if not pairs:
        return None
    return _total([low for low, _ in pairs], min), _total([high for _, high in pairs], max)


def alternatives(
    counts: ModelCounts, kinds: Mapping[str, Kinds]
) -> list[tuple[ModelCounts, ModelCounts]]:
    """The least and the largest counts, once for each set of classes that open rows may have."""
    opened = [one for one in kinds.values() if one.is_open] or [Kinds(("",))]
    inputs = tuple(dict.fromkeys(kind for one in opened for kind in one.inputs))
    weights = tuple(dict.fromkeys(kind for one in opened for kind in one.weights)) or ("",)
    found = []
    for choice in product(inputs, weights):
        rows = [_ends(row, kinds.get(row.name), choice) for row in counts.layers]
        low, high = (
            replace(counts, layers=tuple(ends[side] for ends in rows), spread={}, modules=())
            for side in (0, 1)
        )
        found.append((low, high))
    return found


def spikes(counts: ModelCounts) -> Interval:
    """Spikes that neurons can emit per sample: none, or all of them at every step."""
    rows = [row for row in counts.layers if row.operator == "neuron"]
    return 0.0, math.fsum(row.outputs for row in rows if row.spikes_out is not None)


def _is_real_by_binary(row: LayerCounts, kinds: Kinds | None) -> bool:
    """A chip sees by its products that this is no layer of spikes: without any it cannot."""
    if kinds is None:
        return row.ops.ac_by_weight > 0
    return "real" in kinds.inputs and "binary" in (kinds.weights or (row.weight_kind,))


def _rises_with_spikes(profile: HardwareProfile) -> bool:
    """A neuron that spikes costs no less than one that does not."""
    prices = profile.prices
    if "neuron_active" not in prices or "neuron_inactive" not in prices:
        return True
    return prices["neuron_active"].value >= prices["neuron_inactive"].value


def working(
    row: LayerCounts, input_kind: str, weight_kind: str, *, pairs: float, nonzero: float
) -> LayerCounts:
    """A layer of the same sizes whose tensors are of these kinds, per sample.

    pairs : effective products, spread evenly over steps; graded ones are of the largest integer
    nonzero : inputs that are not zero
    """
    name = _class_of(input_kind, weight_kind)
    ops = OpCounts(**{f"dense_{name}": row.ops.dense, name: pairs})
    if name == "graded":
        ops = replace(ops, graded_accumulates=_LARGEST_LEVEL * pairs)
    if name == "ac" and input_kind == "real":
        ops = replace(ops, ac_by_weight=pairs)
    spikes_in = nonzero if input_kind != "real" else None

    def parts(count: int) -> tuple[StepCounts, ...]:
        each = None if spikes_in is None else spikes_in / max(1, count)
        return (replace(StepCounts(spikes_in=each), **{name: pairs / max(1, count)}),) * count

    return replace(
        row,
        ops=ops,
        input_kind=input_kind,
        weight_kind=weight_kind,
        unit_share=None,
        spikes_in=spikes_in,
        spikes_out=None,
        operands=tuple(_operand(one, input_kind, nonzero) for one in row.operands),
        call_operands=(),
        steps=parts(len(row.steps)),
        calls=parts(len(row.calls)),
    )


def _total(found: Sequence[EnergyBreakdown], extreme: Callable[[Iterable[float]], float]) -> float:
    """Row by row the extreme of all alternatives, since each open row may be another one."""
    rows = zip(*([layer.total_pj for layer in one.layers] for one in found), strict=True)
    network = extreme(math.fsum(one.network.values()) for one in found)
    return math.fsum([*(extreme(row) for row in rows), network])


def _ends(
    row: LayerCounts, kinds: Kinds | None, choice: tuple[str, str]
) -> tuple[LayerCounts, LayerCounts]:
    """A row with the least and with the largest counts."""
    if row.operator == "neuron":
        return _neurons(row, 0.0), _neurons(row, 1.0)
    if kinds is None:
        return row, row
    if kinds.is_signed:
        row = replace(row, operands=tuple(replace(one, is_signed=True) for one in row.operands))
    input_kind = _one_of(kinds.inputs, choice[0])
    weight_kind = _one_of(kinds.weights or (row.weight_kind or "real",), choice[1])
    if kinds.is_fixed and (row.input_kind, row.weight_kind) == (input_kind, weight_kind):
        return row, row
    nonzero = row.operands[0].elements if row.operands else 0.0
    return (
        working(row, input_kind, weight_kind, pairs=0.0, nonzero=0.0),
        working(row, input_kind, weight_kind, pairs=row.ops.dense, nonzero=nonzero),
    )


def _one_of(possible: tuple[str, ...], choice: str) -> str:
    return choice if choice in possible else possible[0]


def _neurons(row: LayerCounts, share: float) -> LayerCounts:
    """All of them, or none, spike at every step; a reset is of a spike before the last step."""
    resets = row.updates.state_write * share
    spikes_out = None if row.spikes_out is None else row.outputs * share
    each = None if spikes_out is None else spikes_out / max(1, len(row.steps))
    return replace(
        row,
        updates=replace(row.updates, reset=resets),
        spikes_out=spikes_out,
        steps=tuple(replace(step, spikes_out=each) for step in row.steps),
    )


def _class_of(input_kind: str, weight_kind: str) -> str:
    if input_kind == "small-integers":
        return "graded"
    if input_kind == "unit":
        return "binary" if weight_kind == "binary" else "ac"
    return "ac" if weight_kind == "binary" else "mac"


def _operand(operand: OperandCounts, kind: str, nonzero: float) -> OperandCounts:
    levels = () if kind == "real" else (1.0,)
    return replace(operand, kind=kind, nonzero=nonzero, levels=levels)
