"""Doubts: what a reader has to know of the numbers, and what looks wrong in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dse.counting.classify import Operand
from dse.counting.rows import NeuronRow, Row

_LOOKS_LIKE_SPIKES = 0.5  # share of ones among the non-zero values of a real tensor with zeros


def assumptions_of(row: Row, time_steps: int, *, is_before_spikes: bool) -> Iterator[str]:
    """What was assumed of one layer: values that tell little, factors that fold, repeated work."""
    operand = row.operand
    if operand.nonzero == 0:
        yield "all inputs were zero: taken as spikes that did not come"
    elif len(operand.values) == 1 and not operand.has_zero and not operand.is_signed:
        yield "all inputs were the same value: taken as spikes that always come"
    elif operand.kind == "unit" and max(operand.values) != 1 and row.weight is not None:
        yield f"spikes of height {max(operand.values):g}: the factor folds into the weight"
    if row.weight is not None and row.has_binary_weights and row.has_lone_weights:
        yield "no output channel has two weights that are not zero: binary by definition"
    is_repeated = len(row.calls) == time_steps or row.is_time_folded
    if time_steps > 1 and is_before_spikes and operand.step is None and is_repeated:
        yield f"computed on real values at each of {time_steps} steps, and charged as often"
    if any(row.declared_bits):
        yield "bit widths as the layer declares them"


def warnings_of(row: Row, *, is_after_spikes: bool) -> Iterator[str]:
    """Spikes that stopped being binary: which values flow instead."""
    reads_integers = (row.declared_bits[1] or 1) > 1  # the layer says so: they were never spikes
    for operand in row.operands:
        if reads_integers:
            continue
        if operand.kind == "small-integers" and operand.has_zero and is_after_spikes:
            values = ", ".join(f"{value:g}" for value in sorted(operand.values))
            yield (
                f"its input is made of spikes and is not binary any more: values {values} "
                "(sums or averages of spikes); charged as graded products"
            )
        elif operand.kind == "real" and _looks_like_spikes(operand):
            share = operand.units / operand.nonzero
            yield (
                f"its input looks like spikes and is not binary: {share:.0%} of its non-zero "
                f"values are 1, others lie between {operand.smallest:g} and "
                f"{operand.largest:g}; charged as MACs"
            )


def network_assumptions(
    rows: Sequence[Row], neurons: Sequence[NeuronRow], *, looked_for_neurons: bool
) -> Iterator[str]:
    """What was assumed of the network as a whole."""
    has_spikes = any(row.left.kind == "unit" and row.left.has_zero for row in rows)
    if has_spikes and not looked_for_neurons:
        yield "neuron updates were not asked for, and are not counted"
    elif has_spikes and not neurons:
        yield "spikes flow, but no neurons were recognised: neuron updates are not counted"
    if any(neuron.is_found for neuron in neurons):
        yield (
            "neurons were recognised by the flow of data: their element-wise operators are counted "
            "as canonical events"
        )


def network_warnings(rows: Sequence[Row], time_steps: int) -> Iterator[str]:
    """What was declared and what was seen do not fit together."""
    calls = max((len(row.calls) for row in rows), default=0)
    has_time = any(row.is_time_folded or len(row.calls) == time_steps for row in rows)
    has_spikes = any(row.left.kind == "unit" and row.left.has_zero for row in rows)
    if time_steps == 1 and calls > 1 and has_spikes:
        yield (
            f"layers were called up to {calls} times in one pass and no time steps were declared "
            "or found: calls are not told apart as steps"
        )
    if time_steps > 1 and rows and not has_time:
        yield f"there are {time_steps} time steps, and no layer has so many"


def _looks_like_spikes(operand: Operand) -> bool:
    return operand.has_zero and operand.units > _LOOKS_LIKE_SPIKES * operand.nonzero
