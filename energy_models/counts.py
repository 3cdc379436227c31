"""Counts: what a network did, per sample: its layers, and all that was seen beside them.

This is the sheet that passes from counting to pricing. It knows neither torch nor hardware: every
number is an exact integer total divided by the number of samples, so `round(x * samples)` is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from energy_models.errors import CountsError
from energy_models.layers import LayerCounts, ModuleCounts, NeuronUpdates, OpCounts, problem_of
from energy_models.units import LARGEST

SCHEMA = 1


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
class Spread:
    """How one total of the whole network varies over samples.

    mean : per sample      sd : standard deviation over samples (n - 1)
    low, high : 95 % interval of the mean (Student's t)      smallest, largest : of one sample
    """

    mean: float
    sd: float
    low: float
    high: float
    smallest: float
    largest: float

    def to_dict(self) -> dict[str, float]:
        """The six numbers by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """What a network did, per sample.

    samples : how many samples were run      time_steps : T, 1 where there is no time
    batches : forward passes over which the samples were spread
    time_steps_from : who says so: declared, repeated calls, or the leading dimension
    reading : how real tensors are classed: `tensor` (every value real), or `element` (a value that
        is an integer up to 8 by itself)
    coverage : share of tensor-multiplying operator calls that a rule counted
    uncounted : operators without a rule; never a silent zero
    not_priced : element-wise work, pooling, normalisation and the like: seen, named, not priced.
        operator -> {"class", "calls": over all samples, "elements": outputs per sample,
        "elements_each_step": the part of them that each of several time steps makes anew}
    spread : variation of the totals over samples, by class; empty where samples are not told apart
    warnings : what looks wrong: spikes that stopped being binary, time that nobody finds
    assumptions : what the reader has to know to print the numbers
    modules : every module that was called, with its class; empty where nobody looked
    """

    samples: int
    layers: tuple[LayerCounts, ...]
    time_steps: int = 1
    coverage: float = 1.0
    uncounted: Mapping[str, Uncounted] = field(default_factory=dict)
    not_priced: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    time_steps_from: str = ""
    reading: str = "tensor"
    spread: Mapping[str, Spread] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    modules: tuple[ModuleCounts, ...] = ()
    batches: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= LARGEST:
            raise CountsError(f"counts: samples is {self.samples}; it must be at least 1")
        if not 1 <= self.time_steps <= LARGEST or self.time_steps % 1:
            raise CountsError(f"counts: time_steps is {self.time_steps}; it must be at least 1")
        for layer in self.layers:
            problem = problem_of(layer)
            if problem:
                raise CountsError(f"counts: layer {layer.name!r}: {problem}")

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
            "batches": self.batches,
            "time_steps": self.time_steps,
            "time_steps_from": self.time_steps_from,
            "reading": self.reading,
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
            "spread": {name: spread.to_dict() for name, spread in self.spread.items()},
            "warnings": list(self.warnings),
            "assumptions": list(self.assumptions),
            "modules": [module.to_dict() for module in self.modules],
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
                time_steps_from=document.get("time_steps_from", ""),
                reading=document.get("reading", "tensor"),
                spread={
                    name: Spread(**numbers) for name, numbers in document.get("spread", {}).items()
                },
                warnings=tuple(document.get("warnings", ())),
                modules=tuple(ModuleCounts.from_dict(row) for row in document.get("modules", ())),
                batches=document.get("batches", 1),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CountsError(f"count document: missing or misshapen entry: {error}") from error


def _sum_ops(counts: Iterable[OpCounts]) -> OpCounts:
    total = OpCounts()
    for one in counts:
        total = total + one
    return total
