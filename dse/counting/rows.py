"""Rows: what is known of a layer, or of a row of neurons, while a network is being observed.

The class of a product depends on the values of the whole layer over all its calls, so pairs are
booked by magnitude and classified once, when everything has been seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from dse.counting.activity import Facts
from dse.counting.classify import Magnitudes, Operand
from dse.counting.rules import Side
from dse.counting.weights import Weight
from energy_models.layers import Geometry

Pairs = dict[
    Magnitudes, np.ndarray
]  # by step and sample: (T, B), or (1, ...) where they are not told
Slot = tuple[Counter[str], int]  # pairs by class, and non-zero inputs


@dataclass(slots=True)
class Call:
    """What one call of one layer did, summed over batches.

    pairs : by magnitude, one number a time step found in the leading dimension (one where there is
        none); nonzero : inputs that are not zero, likewise
    operands : the sides that are data, if somebody took a closer look at the one batch
    """

    pairs: dict[Magnitudes, np.ndarray]
    nonzero: np.ndarray
    operands: tuple[Operand, ...] = ()

    def slots(self) -> list[tuple[Counter[Magnitudes], int]]:
        """Pairs by magnitude, and non-zero inputs, of each step."""
        return [
            (Counter({key: int(values[slot]) for key, values in self.pairs.items()}), int(nonzero))
            for slot, nonzero in enumerate(self.nonzero)
        ]


@dataclass(slots=True)
class Row:
    """One layer that multiplies, while it is being observed.

    by_sample : of each batch the pairs by magnitude, (B); has_samples : they could be told apart
    declared_bits : widths of weight and activation that the layer declares, if it does
    made_by : the operator of the model that made its products
    """

    name: str
    operator: str
    geometry: Geometry
    weight: Side | None
    made_by: str
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
    folded: dict[str, None] = field(default_factory=dict)
    by_sample: list[dict[Magnitudes, np.ndarray]] = field(default_factory=list)
    has_samples: bool = True
    declared_bits: tuple[int | None, int | None] = (None, None)

    @property
    def operand(self) -> Operand:
        """The data; of two activations the left one."""
        return self.right if self.weight == "left" else self.left

    @property
    def operands(self) -> tuple[Operand, ...]:
        """All sides that are data."""
        return (self.left, self.right) if self.weight is None else (self.operand,)

    def declare(self, module: nn.Module, operator: tuple[int | None, int | None]) -> None:
        """Take the bit widths that a quantised layer, or the operator in it, says it has.

        operator : of the two factors, as a fused operator multiplies them
        """
        data, weight = operator[::-1] if self.weight == "left" else operator
        found = (getattr(module, name, None) for name in ("weight_bits", "activation_bits"))
        by_weight, by_data = (bits if type(bits) is int and bits > 0 else None for bits in found)
        self.declared_bits = (by_weight or weight, by_data or data)

    @property
    def has_binary_weights(self) -> bool:
        """One size a channel; a lone weight is one unless its layer says that it has more bits."""
        is_said_real = self.has_lone_weights and (self.declared_bits[0] or 1) > 1
        return self.weight_is_binary and not is_said_real

    def see_weight(self, weight: Weight) -> None:
        """Add what the weight held at one call."""
        self.weight_is_binary &= weight.is_binary
        self.has_lone_weights = weight.is_lone
        self.weight_bits = max(self.weight_bits, weight.bits)
        self.weights = weight.weights
        self.nonzero_weights = weight.nonzero

    def book(self, call: int, pairs: Pairs, nonzero: np.ndarray, batch: int, samples: int) -> None:
        """Add the pairs of one call.

        nonzero : inputs that are not zero, by step and sample as the pairs are
        batch, samples : number of the batch, and of samples in it
        """
        slots = len(nonzero)
        self.has_samples &= nonzero.shape[1] == samples
        entry = self.calls.get(call)
        if entry is None or len(entry.nonzero) != slots:
            entry = self.calls[call] = _with_slots(entry, slots)
        while len(self.by_sample) <= batch:
            self.by_sample.append({})
        here = self.by_sample[batch]
        for key, values in pairs.items():
            by_step = np.add.reduce(values, axis=1)
            entry.pairs[key] = entry.pairs[key] + by_step if key in entry.pairs else by_step
            of_samples = values[0] if slots == 1 else np.add.reduce(values)
            here[key] = here[key] + of_samples if key in here else of_samples
        entry.nonzero = entry.nonzero + np.add.reduce(nonzero, axis=1)


@dataclass(slots=True)
class NeuronRow:
    """One row of neurons, while it is being observed.

    is_found : recognised by the flow of data, not declared by its module
    """

    name: str
    neurons: int = 0
    events: Counter[str] = field(default_factory=Counter)
    is_spiking: bool = True
    is_found: bool = False
    spikes: list[int] = field(default_factory=list)
    fed_by: list[str] = field(default_factory=list)

    def book(self, spikes: list[int], sources: list[str]) -> None:
        """Add the spikes of one call, per slot, and the rows that it read."""
        if len(self.spikes) != len(spikes):
            self.spikes = [sum(self.spikes)] + [0] * (len(spikes) - 1)
        self.spikes = [a + b for a, b in zip(self.spikes, spikes, strict=True)]
        self.fed_by.extend(source for source in sources if source not in self.fed_by)


@dataclass(slots=True)
class ModuleRow:
    """One module that was called, while it is being observed.

    inputs : what entered, by number of the call in a pass; None once a call was not looked into
    """

    name: str
    classes: tuple[str, ...]
    has_weight: bool
    elements_in: int = 0
    elements_out: int = 0
    inputs: list[Operand] | None = field(default_factory=list)

    def book(self, call: int, elements_in: int, elements_out: int, facts: Facts | None) -> None:
        """Add one call of so many input and output elements."""
        self.elements_in += elements_in
        self.elements_out += elements_out
        if facts is None:
            self.inputs = None
        if facts is None or self.inputs is None:
            return
        if call == len(self.inputs):
            self.inputs.append(Operand())
        self.inputs[call].see(facts)


def _with_slots(entry: Call | None, slots: int) -> Call:
    """A call that sees time in its leading dimension in one batch and not in another: the total."""
    empty = Call({}, np.zeros(slots, dtype=np.int64))
    if entry is not None:
        for key, values in entry.pairs.items():
            empty.pairs[key] = np.zeros(slots, dtype=np.int64)
            empty.pairs[key][0] = values.sum()
        empty.nonzero[0] = entry.nonzero.sum()
    return empty
