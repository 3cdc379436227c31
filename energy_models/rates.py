"""Rates: how often a layer was evaluated, how often its inputs spiked, and what if more spiked.

Only what spikes cause follows the rate: effective products of spikes, the spikes themselves, the
resets of neurons. Products of real values, dense counts, and what a neuron does at each step
(compare, integrate, leak, state) stay as they are.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from energy_models.columns import Columns
from energy_models.counts import ModelCounts
from energy_models.errors import CountsError
from energy_models.layers import LayerCounts, OperandCounts, StepCounts
from energy_models.models import op_only
from energy_models.profile import HardwareProfile

_SPIKE_CLASSES = ("ac", "graded", "graded_accumulates", "binary")


def evaluations(row: LayerCounts, time_steps: int) -> int:
    """Over how many time steps the counts of a layer add up: 1, or T.

    A layer whose one evaluation serves all steps has 1; one that is called T times, or once with
    time folded into its leading dimension, has T.

    Raises CountsError where this does not follow from the counts.
    """
    if time_steps == 1 or row.reused_steps == time_steps:
        return 1
    if row.reused_steps == 1 and time_steps in (len(row.steps), len(row.calls)):
        return time_steps
    if row.reused_steps == 1 and len(row.calls) == 1 and _is_single(row):
        return 1
    raise CountsError(
        f"{row.name}: called {len(row.calls)} times in {time_steps} time steps, and one evaluation "
        f"serves {row.reused_steps}: how many evaluations a step has does not follow. A layer "
        "is called once, once per step, or on a leading dimension that holds the steps"
    )


def is_spiking_side(operand: OperandCounts) -> bool:
    """Whether a side of the products is made of spikes: signs without a zero are none."""
    has_no_zero = operand.elements > 0 and operand.nonzero >= operand.elements
    return operand.kind != "real" and not (operand.is_signed and has_no_zero)


def spike_sides(row: LayerCounts) -> tuple[OperandCounts, ...]:
    """The operands of a layer that are made of spikes; empty for neurons and for real layers."""
    return tuple(operand for operand in row.operands if is_spiking_side(operand))


def spike_rate(*rows: LayerCounts) -> float | None:
    """Spikes per input element and step, over all layers that spikes enter.

    None where no spikes enter, or where the counts do not record what flowed in.
    """
    sides = [operand for row in rows for operand in spike_sides(row)]
    elements = math.fsum(operand.elements for operand in sides)
    return math.fsum(operand.nonzero for operand in sides) / elements if elements else None


def at_scale(counts: ModelCounts, scale: float, profile: HardwareProfile) -> ModelCounts:
    """The counts if every spike rate were `scale` times what it was.

    Spikes that meet spikes (attention) follow the square. Classes that the profile charges dense
    stay: they cost the same at every rate. No count is rounded to whole events.
    """
    held = _charged_dense(counts, profile)
    rows = tuple(
        _neurons_at(row, scale) if row.operator == "neuron" else _layer_at(row, scale, names)
        for row, names in zip(counts.layers, held, strict=True)
    )
    return replace(counts, layers=rows, spread={})


def _is_single(row: LayerCounts) -> bool:
    """One input and one output of the layer's shape: no room for further steps in them."""
    geometry = row.geometry
    if geometry is None or not row.operands:
        return False
    inputs = geometry.c_in * math.prod(geometry.in_size)
    outputs = geometry.c_out * math.prod(geometry.out_size)
    return row.operands[0].elements == inputs and row.outputs == outputs


def _charged_dense(counts: ModelCounts, profile: HardwareProfile) -> list[frozenset[str]]:
    """Of each row the classes of which every position is paid."""
    if profile.kind not in ("op-only", "sram"):
        return [frozenset()] * len(counts.layers)
    dense = op_only.Policy.of(Columns.side_by_side([counts]), profile).dense
    masks = {name: np.asarray(mask) for name, mask in dense.items()}
    return [
        frozenset(name for name, mask in masks.items() if mask[index])
        for index in range(len(counts.layers))
    ]


def _neurons_at(row: LayerCounts, scale: float) -> LayerCounts:
    spikes = None if row.spikes_out is None else row.spikes_out * scale
    updates = replace(row.updates, reset=row.updates.reset * scale)
    steps = tuple(_step_at(step, scale, 0, frozenset()) for step in row.steps)
    return replace(row, spikes_out=spikes, updates=updates, steps=steps)


def _layer_at(row: LayerCounts, scale: float, held: frozenset[str]) -> LayerCounts:
    sides = len(spike_sides(row))
    factor = scale**sides
    changed = {
        name: getattr(row.ops, name) * factor
        for name in _SPIKE_CLASSES
        if name.removesuffix("_accumulates") not in held
    }
    return replace(
        row,
        ops=replace(row.ops, **changed),
        spikes_in=_times(row.spikes_in, scale if sides else 1.0),
        spikes_out=_times(row.spikes_out, scale),
        operands=tuple(
            replace(one, nonzero=one.nonzero * scale) if is_spiking_side(one) else one
            for one in row.operands
        ),
        call_operands=(),
        steps=tuple(_step_at(step, scale, sides, held) for step in row.steps),
        calls=tuple(_step_at(step, scale, sides, held) for step in row.calls),
    )


def _step_at(step: StepCounts, scale: float, sides: int, held: frozenset[str]) -> StepCounts:
    changed = {
        name: getattr(step, name) * scale**sides
        for name in ("ac", "graded", "binary")
        if name not in held
    }
    return replace(
        step,
        **changed,
        spikes_in=_times(step.spikes_in, scale if sides else 1.0),
        spikes_out=_times(step.spikes_out, scale),
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
