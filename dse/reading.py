"""Reading: many points from one training, by turning what matters only at evaluation.

For each combination of the other knobs the network passes once over the validation data and is
counted once; all numbers of time steps follow from these two passes.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from dse.config import SweepConfig
from dse.design import Design, KnobValue
from dse.errors import DivergedFailure, TrialFailure
from dse.narrowing import narrower
from dse.networks import reading
from dse.pricing import admit, price_side_by_side
from dse.recipe import Recipe, build, finished, weights_of
from dse.resources import limited
from dse.safefile import write_atomically
from dse.training import checkpoint, machine
from dse.training.evaluation import accuracy_by_step
from dse.trial import held_out_counts, measure_test
from dse.variants import family
from energy_models import ModelCounts
from energy_models.errors import CountsError
from energy_models.truncation import truncated
from reports.record import TrialRecord

STEPS = "time_steps"
# turned on the weights that a training made, whatever they were trained for
ROUNDING = ("weight_bits", "potential_bits")
Knobs = dict[str, KnobValue]


@dataclass(frozen=True, slots=True)
class Combination:
    """Values of knobs that are turned together, at several numbers of time steps.

    values : knob -> value, time steps aside; only what differs from the training
    steps : numbers T' of time steps that are read, rising; (None,) for a network without time
    """

    values: Knobs
    steps: tuple[int | None, ...]


def combinations(design: Design, config: SweepConfig) -> list[Combination]:
    """What is read from a training of this design, in the order of the sweep file.

    Knobs that the family does not have are passed over, and so are more steps than were trained.
    The combination that is the training itself is no reading.
    """
    readings = family.load(design.variant).readings if config.evaluate else ()
    if not readings:
        return []
    trained = _trained_values(design)
    listed: dict[str, Sequence[KnobValue]] = {}
    for knob in readings:
        wanted = config.evaluate.get(knob.name)
        if wanted == "all":
            listed[knob.name] = range(1, int(trained[knob.name]) + 1)
        elif wanted is not None:
            kind = {"int": int, "float": float}.get(knob.kind, str)
            listed[knob.name] = list(dict.fromkeys(kind(value) for value in wanted))
    has_time = STEPS in trained
    steps: list[int] = sorted(int(t) for t in listed.pop(STEPS, [trained.get(STEPS, 1)]))
    whole = int(trained.get(STEPS, 1))
    names = [name for name in config.evaluate if name in listed]
    found = []
    for values in itertools.product(*(listed[name] for name in names)):
        turned = {n: v for n, v in zip(names, values, strict=True) if v != trained[n]}
        own = tuple(t for t in steps if t < whole or (t == whole and turned))
        if own and _is_of_its_steps(design, turned):
            found += [Combination(turned, (t,)) for t in own]
        elif own:
            found.append(Combination(turned, own if has_time else (None,)))
    return found


def _is_of_its_steps(design: Design, turned: Mapping[str, KnobValue]) -> bool:
    """Whether a network of fewer steps must be made for them, and is not the start of this one."""
    variant, values = family.load(design.variant), family.all_values(design)
    return variant.depends_on_time_steps({**values, **turned})


def read(record: TrialRecord, recipe: Recipe, folder: Path) -> list[TrialRecord]:
    """The points that the sweep wants to be read from a training; none of one that is not complete.

    Narrower networks that share its weights come first, then what is read from it and from them.
    Raises CheckpointError if its weights are gone.
    """
    if record.state != "complete":
        return []
    found = narrower(record, recipe, folder)
    wanted = combinations(Design.from_dict(record.design), recipe.config)
    for source in (record, *found) if wanted else ():
        if source.state != "complete":
            continue
        width = source.design["knobs"].get("width")
        knobs = {} if source is record else {"width": width}
        model, first = trained_network(source, recipe, folder), len(found) + 1
        found += read_from(model, record, wanted, recipe, folder, first=first, knobs=knobs)
    return found


def read_from(
    model: nn.Module,
    record: TrialRecord,
    wanted: Iterable[Combination],
    recipe: Recipe,
    folder: Path,
    *,
    first: int = 1,
    knobs: Mapping[str, KnobValue] | None = None,
) -> list[TrialRecord]:
    """The points of a network as it was trained, which stays as it is.

    record : of the training; points bear its number, and readings from `first` on
    knobs : of the design, where the network is not that of the record, as a part of it of another
        width. Its points at the training's own values are then points as well
    """
    found: list[TrialRecord] = []
    variant = family.load(record.variant)
    is_finished = variant.finish is not None  # what it was finished by is half of the design
    readings = {knob.name: knob.default for knob in variant.readings} if is_finished else {}
    named = {name: readings[name] for name in recipe.config.evaluate if name in readings}
    for combination in wanted:
        source = _Source(model, record, combination, first + len(found), dict(knobs or {}), named)
        found += _read_combination(source, recipe, folder)
    return found


def restored(record: TrialRecord, recipe: Recipe, folder: Path) -> nn.Module:
    """The trained network of any point, with its knobs turned.

    Raises CheckpointError if its weights are gone.
    """
    whole = Design.from_dict(record.design)
    design, turned = family.split(whole)
    if family.load(design.variant).finish is not None:
        model, _ = finished(trained_network(record, recipe, folder), whole, recipe, record.seed)
        if record.point == "fine-tuned":
            checkpoint.load_weights(model, tuned_file(folder, record))
        return model
    model = build(design, recipe.data())
    if record.point == "fine-tuned":  # learned thresholds lie on the disk as they were tuned
        reading.apply(model, _without(turned, ROUNDING))
        checkpoint.load_weights(model, tuned_file(folder, record))
        turned = {name: value for name, value in turned.items() if name in ROUNDING}
    else:
        checkpoint.load_weights(model, weights_of(folder, record))
    reading.apply(model, turned)
    return model


def trained_network(record: TrialRecord, recipe: Recipe, folder: Path) -> nn.Module:
    """The network that was trained for a point, with no knob turned and nothing finished.

    Raises CheckpointError if its weights are gone.
    """
    model = build(family.split(Design.from_dict(record.design))[0], recipe.data())
    checkpoint.load_weights(model, weights_of(folder, record))
    return model


def tuned_file(folder: Path, record: TrialRecord) -> Path:
    """Where the weights of a fine-tuned point lie."""
    return folder / "trials" / str(record.number) / str(record.reading) / "weights.safetensors"


def measure_tests(
    records: Sequence[TrialRecord], recipe: Recipe, folder: Path
) -> Iterator[TrialRecord]:
    """The records with their accuracy on the test data: done once, for the report.

    Points of one training that differ in their time steps only come from one pass. One whose
    logits are not finite there becomes a failed record.
    Raises CheckpointError if weights are gone.
    """
    part = recipe.data().test
    groups: dict[tuple[Any, ...], list[TrialRecord]] = {}
    for record in records:
        design = Design.from_dict(record.design)
        alike = () if _is_of_its_steps(design, {}) else (STEPS,)
        others = Design.of(design.variant, design.architecture, _without(design.values, alike))
        own = record.key if record.point != "read" else ()
        groups.setdefault((record.number, others, own), []).append(record)
    for group in groups.values():
        if group[0].point == "trained":
            yield _with_test(group[0], measure_test(group[0], recipe, folder))
            continue
        longest = max(group, key=lambda record: int(record.metrics["latency_steps"]))
        model = restored(longest, recipe, folder)
        with machine.fast(model):
            shares = accuracy_by_step(model, part.images, part.labels, device=recipe.device)
        for record in group:
            share = shares[int(record.metrics["latency_steps"]) - 1]
            if share is None:
                failure = DivergedFailure("on the test data: logits are not finite")
                yield replace(record, **_failed(failure))
            else:
                yield _with_test(record, {"accuracy": share, "samples": len(part)})


@dataclass(frozen=True, slots=True)
class _Source:
    """What the points of one combination are read from, and the number of the first of them.

    named : what their designs say though nobody turned it
    """

    model: nn.Module
    record: TrialRecord
    combination: Combination
    first: int
    knobs: Knobs = field(default_factory=dict)
    named: Knobs = field(default_factory=dict)

    def point(self, index: int, **outcome: Any) -> TrialRecord:
        """The record of a number of time steps."""
        steps = self.combination.steps[index]
        design = Design.from_dict(self.record.design)
        knobs = {**self.named, **design.values, **self.knobs, **self.combination.values}
        if steps is not None:
            knobs[STEPS] = steps
        # what finishing said of the training's own point does not hold for this one
        kept = [one for one in self.record.notes if not one.startswith(f"{design.variant}: ")]
        notes = tuple(dict.fromkeys((*kept, *outcome.pop("notes", ()))))
        return replace(
            self.record,
            parent=self.record.number,
            reading=self.first + index,
            point="read",
            design=Design.of(design.variant, design.architecture, knobs).to_dict(),
            optuna_number=None,
            notes=notes,
            **{"metrics": {}, "energy": {}, "counts_file": None, **outcome},
        )


@dataclass(slots=True)
class _Counted:
    """The counts of all points of a combination, and the file of each."""

    counts: list[ModelCounts] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def _read_combination(source: _Source, recipe: Recipe, folder: Path) -> list[TrialRecord]:
    started, start_s = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    every = range(len(source.combination.steps))
    try:
        with limited(f"a reading of #{source.record.number}"):
            outcomes = _outcomes(source, recipe, folder)
    except TrialFailure as failure:
        outcomes = [_failed(failure)] * len(every)
    # what was done for all of them at once
    share_s = round((time.perf_counter() - start_s) / len(every), 6)
    times = {"started": started, "total_s": share_s}
    return [source.point(index, times=times, **outcomes[index]) for index in every]


def _outcomes(source: _Source, recipe: Recipe, folder: Path) -> list[dict[str, Any]]:
    """The fields of each record that exist only if all went well."""
    part, combination = recipe.data().validation, source.combination
    steps = [1 if one is None else one for one in combination.steps]
    turned = {**combination.values, **({STEPS: max(steps)} if combination.steps != (None,) else {})}
    model, notes = _turned(source, turned, recipe)
    with machine.fast(model):
        shares = accuracy_by_step(model, part.images, part.labels, device=recipe.device)
    counted = _counted(model, source, steps, recipe, folder)
    allowed, hardware = recipe.config.allow_uncounted, recipe.config.hardware
    energies = price_side_by_side([admit(one, allowed) for one in counted.counts], hardware)
    outcomes = []
    for t, counts, file, energy in zip(steps, counted.counts, counted.files, energies, strict=True):
        share = shares[t - 1]
        if share is None:
            outcomes.append(_failed(DivergedFailure("after the training: logits are not finite")))
            continue
        metrics = {
            "validation": {"accuracy": share, "samples": len(part)},
            "test": None,
            "latency_steps": counts.time_steps,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "spikes": counts.spikes,
        }
        fields = {"metrics": metrics, "energy": energy, "counts_file": file, "notes": notes}
        outcomes.append({**fields, "state": "complete", "reason": None})
    return outcomes


def _turned(source: _Source, turned: Knobs, recipe: Recipe) -> tuple[nn.Module, tuple[str, ...]]:
    """The network of a source with knobs turned, and what must stand beside its figures."""
    design = Design.from_dict(source.record.design)
    if family.load(design.variant).finish is None:
        model = copy.deepcopy(source.model)
        return model, reading.apply(model, turned)
    values = {**design.values, **source.knobs, **turned}
    whole = Design.of(design.variant, design.architecture, values)
    return finished(source.model, whole, recipe, source.record.seed)


def _counted(
    model: nn.Module, source: _Source, steps: Sequence[int], recipe: Recipe, folder: Path
) -> _Counted:
    """Counts at each number of steps: cut from those of the most, or made where they cannot be."""
    part, record, found = recipe.data().validation, source.record, _Counted()
    design = Design.from_dict(record.design)
    is_training = not source.combination.values and not source.knobs
    is_training = is_training and not _is_of_its_steps(design, {})
    if is_training and record.counts_file is not None:
        whole = ModelCounts.from_dict(json.loads((folder / record.counts_file).read_text()))
        file = record.counts_file
    else:
        whole = held_out_counts(model, part, recipe)
        file = _write(whole, source, source.first + len(steps) - 1, folder)
    draws = getattr(getattr(model, "encoding", None), "coding", "") == "poisson"
    draws = draws or getattr(model, "coding_kind", "") == "poisson"
    for index, t in enumerate(steps):
        try:
            if draws and t < whole.time_steps:
                raise CountsError("counts: spikes are drawn: must be counted at each T")
            found.counts.append(truncated(whole, t))
            found.files.append(file)
        except CountsError:
            shorter = copy.deepcopy(model)
            reading.apply(shorter, {STEPS: t})
            found.counts.append(held_out_counts(shorter, part, recipe))
            found.files.append(_write(found.counts[-1], source, source.first + index, folder))
    return found


def _write(counts: ModelCounts, source: _Source, number: int, folder: Path) -> str:
    """Write counts beside those of the training, under the number of a reading."""
    file = Path("trials") / str(source.record.number) / f"counts-{number}.json"
    write_atomically(folder / file, json.dumps(counts.to_dict()) + "\n")
    return str(file)


def _trained_values(design: Design) -> Knobs:
    """The value of every knob that may be turned, as the training had it."""
    variant = family.load(design.variant)
    built = family.knob_values(family.split(design)[0], variant.knobs)
    return {knob.name: built.get(knob.name, knob.default) for knob in variant.readings}


def _without(values: Mapping[str, KnobValue], names: Sequence[str]) -> Knobs:
    return {name: value for name, value in values.items() if name not in names}


def _with_test(record: TrialRecord, test: Mapping[str, float]) -> TrialRecord:
    return replace(record, metrics={**record.metrics, "test": dict(test)})


def _failed(failure: TrialFailure) -> dict[str, Any]:
    return {"state": "failed", "reason": f"{type(failure).__name__}: {failure}"}
