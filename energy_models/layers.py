"""Counts of one layer per sample: products by class, operands, neuron events, steps.

Words: *MAC* one multiply-accumulate, *AC* an accumulate caused by a spike; *effective* pairs have a
non-zero input and a non-zero weight inside the borders, *dense* is every position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from energy_models.errors import CountsError
from energy_models.units import LARGEST

_NOT_NEGATIVE = ("outputs", "weights", "nonzero_weights", "neurons", "spikes_in", "spikes_out")
_OF_OPERAND = ("elements", "nonzero")
_ROUNDED = 1e-9  # totals are divided by the number of samples


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


OPS = tuple(one.name for one in fields(OpCounts))
UPDATES = tuple(one.name for one in fields(NeuronUpdates))


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
class ModuleCounts:
    """A module of the model, as it was called: a layer, normalisation, pooling, neurons, a block.

    name : module path
    classes : qualified names of its class and of its bases, most derived first
    elements_in, elements_out : values of the first tensor that entered and left, per sample
    has_weight : it has a parameter `weight` (an affine normalisation, a layer)
    inputs : what entered, one entry a call of a pass, over all passes; empty where nobody looked
        (the conventions ask for it of pooling and normalisation alone)
    """

    name: str
    classes: tuple[str, ...]
    elements_in: float
    elements_out: float
    has_weight: bool = False
    inputs: tuple[OperandCounts, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "elements_in": self.elements_in,
            "elements_out": self.elements_out,
            "has_weight": self.has_weight,
            "inputs": [one.to_dict() for one in self.inputs],
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> ModuleCounts:
        """Read what `to_dict` wrote."""
        inputs = tuple(OperandCounts.from_dict(one) for one in row["inputs"])
        return cls(**{**row, "classes": tuple(row["classes"]), "inputs": inputs})


@dataclass(frozen=True, slots=True)
class OperandCounts:
    """The data on one side of a layer's products; a product of two activations has two.

    kind : `unit`, `small-integers` or `real`
    elements, nonzero : values of the tensor, and those that are not zero, per sample
    levels : the magnitudes abs(x) > 0 that occurred, of a tensor that is not real; else empty
    is_signed : some value was negative
    bits : width in which the values flowed
    smallest, largest : of the magnitudes of the non-zero values; 0 where there are none
    magnitude : sum of abs(x), per sample; None where nobody added them up
    reached : products inside the borders that its non-zero values enter, whatever the value of
        the other factor, per sample; None where nobody counted them
    """

    kind: str
    elements: float
    nonzero: float
    levels: tuple[float, ...] = ()
    is_signed: bool = False
    bits: int = 0
    smallest: float = 0.0
    largest: float = 0.0
    magnitude: float | None = None
    reached: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {**asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> OperandCounts:
        """Read what `to_dict` wrote."""
        return cls(**{**row, "levels": tuple(row["levels"])})


@dataclass(frozen=True, slots=True)
class LayerCounts:
    """One row of the count document: a layer that multiplies, or a layer of neurons.

    name : module path; for a functional call the path, then `/operator#k`
    operator : `convolution`, `linear`, `matmul` ... or `neuron`
    made_by : operator of the framework that made the products (`addmm`, or a fused one that hides
        them), empty where it is not known
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
    operands : the data that flowed into the products, one entry a side that is no weight
    call_operands : the same for each of `calls`; empty where it would mix calls of several batches
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
    operands: tuple[OperandCounts, ...] = ()
    call_operands: tuple[tuple[OperandCounts, ...], ...] = ()
    steps: tuple[StepCounts, ...] = ()
    calls: tuple[StepCounts, ...] = ()
    folded: tuple[str, ...] = ()
    made_by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """One row of the document: the classes of `ops` stand flat in it."""
        return {
            "name": self.name,
            "operator": self.operator,
            "made_by": self.made_by,
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
            "operands": [operand.to_dict() for operand in self.operands],
            "call_operands": [[one.to_dict() for one in call] for call in self.call_operands],
            "steps": [step.to_dict() for step in self.steps],
            "calls": [call.to_dict() for call in self.calls],
            "folded": list(self.folded),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> LayerCounts:
        """Read what `to_dict` wrote.

        Raises CountsError if more products are effective than there are positions.
        """
        geometry = row["geometry"]
        found = cls(
            name=row["name"],
            operator=row["operator"],
            made_by=row.get("made_by", ""),
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
            operands=tuple(OperandCounts.from_dict(one) for one in row.get("operands", ())),
            call_operands=tuple(
                tuple(OperandCounts.from_dict(one) for one in call)
                for call in row.get("call_operands", ())
            ),
            steps=tuple(StepCounts(**step) for step in row["steps"]),
            calls=tuple(StepCounts(**call) for call in row["calls"]),
            folded=tuple(row["folded"]),
        )
        for one in found.operands:
            if one.nonzero > one.elements * (1 + _ROUNDED):
                raise CountsError(
                    f"count document: layer {found.name!r}: {one.nonzero:g} values that are not "
                    f"zero of {one.elements:g}"
                )
        dense, effective = found.ops.dense, found.ops.effective
        if dense and effective > dense * (1 + _ROUNDED):
            raise CountsError(
                f"count document: layer {found.name!r}: {effective:g} effective products are more "
                f"than the {dense:g} dense ones"
            )
        return found


def problem_of(layer: LayerCounts) -> str:
    """What is impossible in the numbers of a layer; empty if nothing is."""
    operands = (*layer.operands, *(one for call in layer.call_operands for one in call))
    steps = (*layer.steps, *layer.calls)
    numbers = (
        *layer.ops.to_dict().items(),
        *layer.updates.to_dict().items(),
        *((name, getattr(layer, name)) for name in _NOT_NEGATIVE),
        *((f"operand {name}", getattr(one, name)) for one in operands for name in _OF_OPERAND),
        *((f"step {name}", value) for one in steps for name, value in one.to_dict().items()),
    )
    for name, value in numbers:
        if value is not None and not 0 <= value <= LARGEST:
            return f"{name} is {str(value)[:20]}; a count is a finite number and not negative"
    if not 1 <= layer.reused_steps <= LARGEST:
        return f"reused_steps is {layer.reused_steps}; it must be at least 1"
    shape = layer.geometry
    if shape is not None and not (shape.groups >= 1 and all(step >= 1 for step in shape.stride)):
        return f"groups {shape.groups} and stride {list(shape.stride)} must be at least 1"
    return ""
