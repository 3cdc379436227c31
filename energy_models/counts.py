"""The count document: what a network did, per layer and per sample, ready for any price list.

Every number is per sample: an exact integer total divided once by the number of samples, so that
`round(x * samples)` is the integer again (below 2**53). The words are those of the field: a *MAC*
is one multiply-accumulate, an *AC* an accumulate caused by a spike; *effective* pairs have a
non-zero input and a non-zero weight inside the borders, *dense* is every position.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from energy_models.errors import CountsError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class OpCounts:
    """Products of one layer, per sample, by class.

    mac, ac, graded, binary : effective products. `mac`: real by real. `ac`: a unit spike by a real
        weight or activation, or a real input by a binary weight. `graded`: a small integer
        2 <= abs(k) <= 8 by anything. `binary`: a unit spike by a binary weight (XNOR or AND, and
        popcount).
    ac_by_weight : the part of `ac` that is an accumulate because the weight is binary.
    graded_accumulates : sum of abs(k) over the graded products: their cost if each is made as
        abs(k) accumulates.
    dense_mac, dense_ac, dense_graded, dense_binary : every position, padding taps included,
        whatever the value, booked to the class of the whole tensor.
    """

    mac: float = 0
    ac: float = 0
    graded: float = 0
    binary: float = 0
    ac_by_weight: float = 0
    graded_accumulates: float = 0
    dense_mac: float = 0
    dense_ac: float = 0
    dense_graded: float = 0
    dense_binary: float = 0

    @property
    def effective(self) -> float:
        """All products that have two non-zero operands inside the borders."""
        return self.mac + self.ac + self.graded + self.binary

    @property
    def dense(self) -> float:
        """All products that a machine without zero skipping issues."""
        return self.dense_mac + self.dense_ac + self.dense_graded + self.dense_binary

    def __add__(self, other: OpCounts) -> OpCounts:
        return OpCounts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def to_dict(self) -> dict[str, float]:
        """The ten classes and `dense`, their dense sum."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**row, "dense": self.dense}


@dataclass(frozen=True, slots=True)
class NeuronUpdates:
    """Canonical neuron events per sample, summed over neurons and time steps.

    A state that is known to be zero (the first step from a zero potential) is not read, and the
    state after the last step is not kept: neither is counted. So a single-step neuron only
    compares.
    """

    state_read: float = 0
    leak: float = 0
    integrate: float = 0
    compare: float = 0
    reset: float = 0
    state_write: float = 0

    def __add__(self, other: NeuronUpdates) -> NeuronUpdates:
        return NeuronUpdates(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def to_dict(self) -> dict[str, float]:
        """The six events by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Geometry:
    """Shape of a layer: channels (or features), kernel, spatial sizes; no tuples for matrices.

    in_size, out_size : spatial sizes of one sample, written `in` and `out` in the document.
    """

    c_in: int
    c_out: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    in_size: tuple[int, ...] = ()
    out_size: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The document's spelling: `in` and `out` instead of `in_size` and `out_size`."""
        return {
            "c_in": self.c_in,
            "c_out": self.c_out,
            "kernel": list(self.kernel),
            "stride": list(self.stride),
            "padding": list(self.padding),
            "dilation": list(self.dilation),
            "groups": self.groups,
            "in": list(self.in_size),
            "out": list(self.out_size),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Geometry:
        """Read what `to_dict` wrote."""
        return cls(
            c_in=row["c_in"],
            c_out=row["c_out"],
            kernel=tuple(row["kernel"]),
            stride=tuple(row["stride"]),
            padding=tuple(row["padding"]),
            dilation=tuple(row["dilation"]),
            groups=row["groups"],
            in_size=tuple(row["in"]),
            out_size=tuple(row["out"]),
        )


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Effective products and spikes of one time step, or of one call, per sample.

    spikes_in, spikes_out : None where the tensor is not made of spikes.
    """

    mac: float = 0
    ac: float = 0
    graded: float = 0
    binary: float = 0
    spikes_in: float | None = None
    spikes_out: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """The six numbers by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """One row of the count document: a layer that multiplies, or a layer of neurons.

    name : module path; for a functional call the path, then `/operator#k`
    operator : `convolution`, `linear`, `matmul` ... or `neuron`
    weight_bits, activation_bits : widths of the operands as they flowed (None where there is none)
    input_kind : `unit`, `small-integers`, `real`, or None (no product, or only zeros seen)
    weight_kind : `binary`, `real`, `activation` (a product of two activations), or None
    unit_share : share of abs(x) = c among the non-zero inputs of a real tensor, None elsewhere
    weights, nonzero_weights : number of weights, not per sample
    outputs : output values, all steps and calls
    reused_steps : time steps that one evaluation serves (a cached first layer of a network of T
        steps: T)
    spikes_in, spikes_out : spikes entering and leaving, None where the signal is not made of spikes
    neurons, updates : of a neuron row
    fed_by : names of the rows whose output a neuron row reads
    steps, calls : effective counts by time step, and by call of the module
    folded : modules that fold into this layer at inference
    """

    name: str
    operator: str
    ops: OpCounts = field(default_factory=OpCounts)
    geometry: Geometry | None = None
    has_bias: bool = False
    weight_bits: int | None = None
    activation_bits: int | None = None
    input_kind: str | None = None
    weight_kind: str | None = None
    unit_share: float | None = None
    weights: int = 0
    nonzero_weights: int = 0
    outputs: float = 0
    reused_steps: int = 1
    spikes_in: float | None = None
    spikes_out: float | None = None
    neurons: int = 0
    updates: NeuronUpdates = field(default_factory=NeuronUpdates)
    fed_by: tuple[str, ...] = ()
    steps: tuple[StepCounts, ...] = ()
    calls: tuple[StepCounts, ...] = ()
    folded: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """One row of the document: the classes of `ops` stand flat in it."""
        return {
            "name": self.name,
            "operator": self.operator,
            "geometry": None if self.geometry is None else self.geometry.to_dict(),
            "has_bias": self.has_bias,
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "input_kind": self.input_kind,
            "weight_kind": self.weight_kind,
            "unit_share": self.unit_share,
            "weights": self.weights,
            "nonzero_weights": self.nonzero_weights,
            "outputs": self.outputs,
            "reused_steps": self.reused_steps,
            **self.ops.to_dict(),
            "spikes_in": self.spikes_in,
            "spikes_out": self.spikes_out,
            "neurons": self.neurons,
            "updates": self.updates.to_dict(),
            "fed_by": list(self.fed_by),
            "steps": [step.to_dict() for step in self.steps],
            "calls": [call.to_dict() for call in self.calls],
            "folded": list(self.folded),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> LayerCounts:
        """Read what `to_dict` wrote."""
        geometry = row["geometry"]
        return cls(
            name=row["name"],
            operator=row["operator"],
            ops=OpCounts(**{f.name: row[f.name] for f in fields(OpCounts)}),
            geometry=None if geometry is None else Geometry.from_dict(geometry),
            has_bias=row["has_bias"],
            weight_bits=row["weight_bits"],
            activation_bits=row["activation_bits"],
            input_kind=row["input_kind"],
            weight_kind=row["weight_kind"],
            unit_share=row["unit_share"],
            weights=row["weights"],
            nonzero_weights=row["nonzero_weights"],
            outputs=row["outputs"],
            reused_steps=row["reused_steps"],
            spikes_in=row["spikes_in"],
            spikes_out=row["spikes_out"],
            neurons=row["neurons"],
            updates=NeuronUpdates(**row["updates"]),
            fed_by=tuple(row["fed_by"]),
            steps=tuple(StepCounts(**step) for step in row["steps"]),
            calls=tuple(StepCounts(**call) for call in row["calls"]),
            folded=tuple(row["folded"]),
        )


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Calls of one operator that nobody counted.

    calls : how often it ran, over all samples
    sizes : the distinct tuples of tensor shapes it saw (the first few)
    modules : where it ran
    """

    calls: int
    sizes: tuple[tuple[tuple[int, ...], ...], ...] = ()
    modules: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain lists."""
        return {
            "calls": self.calls,
            "sizes": [[list(shape) for shape in shapes] for shapes in self.sizes],
            "modules": list(self.modules),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Uncounted:
        """Read what `to_dict` wrote."""
        return cls(
            calls=row["calls"],
            sizes=tuple(tuple(tuple(shape) for shape in shapes) for shapes in row["sizes"]),
            modules=tuple(row["modules"]),
        )


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """What a network did, per sample.

    samples : how many samples were run      time_steps : T, 1 where there is no time
    coverage : share of tensor-multiplying operator calls that a rule counted
    uncounted : operators without a rule; never a silent zero
    not_priced : element-wise work, pooling, normalisation and the like: seen, named, not priced.
        operator -> {"calls": over all samples, "elements": outputs per sample}
    assumptions : what the reader has to know to print the numbers
    """

    samples: int
    layers: tuple[LayerCounts, ...]
    time_steps: int = 1
    coverage: float = 1.0
    uncounted: Mapping[str, Uncounted] = field(default_factory=dict)
    not_priced: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise CountsError(f"counts: samples is {self.samples}; it must be at least 1")
        if self.time_steps < 1:
            raise CountsError(f"counts: time_steps is {self.time_steps}; it must be at least 1")
        for layer in self.layers:
            for name, value in (*layer.ops.to_dict().items(), *layer.updates.to_dict().items()):
                if not math.isfinite(value) or value < 0:
                    raise CountsError(
                        f"counts: layer {layer.name!r}: {name} is {value}; "
                        "a count is a finite number and not negative"
                    )

    @property
    def ops(self) -> OpCounts:
        """Products of the whole network, per sample."""
        return _sum_ops(layer.ops for layer in self.layers)

    @property
    def updates(self) -> NeuronUpdates:
        """Neuron events of the whole network, per sample."""
        total = NeuronUpdates()
        for layer in self.layers:
            total = total + layer.updates
        return total

    @property
    def has_neurons(self) -> bool:
        """Whether modules of neurons were seen; without any, emitted spikes are unknown."""
        return any(layer.operator == "neuron" for layer in self.layers)

    @property
    def spikes(self) -> float:
        """Spikes that neurons emitted, per sample, over all neurons and steps."""
        return sum(layer.spikes_out or 0.0 for layer in self.layers if layer.operator == "neuron")

    def to_dict(self) -> dict[str, Any]:
        """The count document (schema 1): what `dse count --json` prints."""
        return {
            "schema": SCHEMA,
            "samples": self.samples,
            "time_steps": self.time_steps,
            "layers": [layer.to_dict() for layer in self.layers],
            "total": {
                **self.ops.to_dict(),
                "spikes": self.spikes if self.has_neurons else None,
                "neurons": sum(layer.neurons for layer in self.layers),
                "weights": sum(layer.weights for layer in self.layers),
                "updates": self.updates.to_dict(),
            },
            "coverage": self.coverage,
            "uncounted": {name: entry.to_dict() for name, entry in self.uncounted.items()},
            "not_priced": {name: dict(entry) for name, entry in self.not_priced.items()},
            "assumptions": list(self.assumptions),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ModelCounts:
        """Read a count document.

        Raises CountsError if it is of another schema, or if something is missing from it.
        """
        schema = document.get("schema")
        if schema != SCHEMA:
            raise CountsError(f"count document: schema is {schema!r}; this version reads {SCHEMA}")
        try:
            return cls(
                samples=document["samples"],
                time_steps=document["time_steps"],
                layers=tuple(LayerCounts.from_dict(row) for row in document["layers"]),
                coverage=document["coverage"],
                uncounted={
                    name: Uncounted.from_dict(entry)
                    for name, entry in document["uncounted"].items()
                },
                not_priced=document["not_priced"],
                assumptions=tuple(document["assumptions"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CountsError(f"count document: missing or misshapen entry: {error}") from error


def _sum_ops(counts: Iterable[OpCounts]) -> OpCounts:
    total = OpCounts()
    for one in counts:
        total = total + one
    return total
