"""Columns: the rows of many count documents side by side, as arrays that a model prices at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from energy_models.counts import ModelCounts
from energy_models.events import CLASSES
from energy_models.layers import OPS, UPDATES, LayerCounts

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_ops_of = attrgetter(*OPS)
_updates_of = attrgetter(*UPDATES)
_PLAIN = ("outputs", "neurons", "weights", "reused_steps", "has_bias", "spikes_in", "spikes_out")
_plain_of = attrgetter(*_PLAIN)  # None becomes NaN
_KINDS = (
    *("is_neuron", "is_convolution", "is_of_activations", "has_binary_weights"),
    *("binary_weight_bits", "evaluations"),
)
_OPERANDS = ("first_elements", "second_elements", "is_unit", "is_real", "is_signed")
_NO_OPERANDS = (0.0, 0.0, False, False, False)


@dataclass(frozen=True)
class Columns:
    """Rows of the designs one after another.

    counts : the designs      rows : their layers      design : (rows,) design of each row
    of : field -> (rows,) floats; the fields of `OpCounts` and `NeuronUpdates` by their names, and
        outputs, neurons, weights, reused_steps, has_bias, is_neuron, is_convolution, is_signed,
        spikes_in and spikes_out (NaN where the signal is not made of spikes), is_of_activations (a
        product of two of them), has_binary_weights, evaluations (of the layer, per sample),
        first_elements and second_elements (values of the operands that are no weights), is_unit
        (they are spikes or signs), is_real (the first is made of real values), has_neurons (its
        output goes into neurons at once)
    time_steps : (designs,)
    derived : what a model made of the rows alone, so that its next profile need not
    """

    counts: tuple[ModelCounts, ...]
    rows: tuple[LayerCounts, ...]
    design: NDArray[np.intp]
    of: dict[str, Floats]
    time_steps: Floats
    derived: dict[str, object] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def side_by_side(cls, counts: Sequence[ModelCounts]) -> Columns:
        """The rows of several designs."""
        rows = tuple(row for one in counts for row in one.layers)
        sizes = [len(one.layers) for one in counts]
        ops = _table([_ops_of(row.ops) for row in rows], OPS)
        updates = _table([_updates_of(row.updates) for row in rows], UPDATES)
        plain = _table([_plain_of(row) for row in rows], _PLAIN)
        kinds = _table([_kinds_of(row) for row in rows], _KINDS)
        operands = _table([_operands_of(row) for row in rows], _OPERANDS)
        has_neurons = [is_fed for one in counts for is_fed in _has_neurons(one)]
        return cls(
            counts=tuple(counts),
            rows=rows,
            design=np.repeat(np.arange(len(counts)), sizes),
            of={
                **ops,
                **updates,
                **plain,
                **kinds,
                **operands,
                "has_neurons": np.array(has_neurons, dtype=np.float64),
            },
            time_steps=np.array([one.time_steps for one in counts], dtype=np.float64),
        )

    def __getitem__(self, field: str) -> Floats:
        """(rows,) values of a field."""
        return self.of[field]

    @property
    def effective(self) -> Floats:
        """(rows,) products of all classes that have two non-zero operands."""
        return sum((self.of[name] for name in CLASSES), np.zeros(len(self.rows)))

    @property
    def dense(self) -> Floats:
        """(rows,) positions of all classes."""
        return sum((self.of[f"dense_{name}"] for name in CLASSES), np.zeros(len(self.rows)))

    def by_design(self, values: Floats) -> Floats:
        """Sums of (..., rows) over the rows of each design: (..., designs)."""
        if values.ndim == 1:
            sums: Floats = np.zeros(len(self.counts))
            np.add.at(sums, self.design, values)
            return sums
        flat = values.reshape(-1, values.shape[-1])
        each = np.array([self.by_design(one) for one in flat]).reshape(-1, len(self.counts))
        return each.reshape(*values.shape[:-1], len(self.counts))

    def with_fields(self, **changed: Floats) -> Columns:
        """The same rows, some fields replaced."""
        return Columns(self.counts, self.rows, self.design, {**self.of, **changed}, self.time_steps)


def _kinds_of(row: LayerCounts) -> tuple[float, ...]:
    operator, weights = row.operator, row.weight_kind
    return (
        operator == "neuron",
        operator == "convolution",
        weights == "activation",
        weights == "binary",
        row.weight_bits or 1,
        _evaluations(len(row.steps), len(row.calls)),
    )


def _operands_of(row: LayerCounts) -> tuple[float, ...]:
    operands = row.operands
    if not operands:
        return _NO_OPERANDS
    first = operands[0]
    if len(operands) == 1:
        kind = first.kind
        return first.elements, 0.0, kind == "unit", kind == "real", first.is_signed
    second = operands[1]
    is_unit = first.kind == "unit" and second.kind == "unit"
    is_real = first.kind == "real"
    return first.elements, second.elements, is_unit, is_real, first.is_signed or second.is_signed


def _evaluations(steps: int, calls: int) -> int:
    """Of a layer: one a step, or one a call, or one a step of each call that holds all steps."""
    if steps > 1 and calls > 1 and calls % steps:
        return steps * calls
    return max(1, steps, calls)


def _has_neurons(counts: ModelCounts) -> list[bool]:
    fed = {name for row in counts.layers for name in row.fed_by}
    return [row.name in fed for row in counts.layers]


def _table(values: Sequence[tuple[float, ...]], names: Sequence[str]) -> dict[str, Floats]:
    table = np.array(values, dtype=np.float64).reshape(len(values), len(names)).T.copy()
    return dict(zip(names, table, strict=True))
