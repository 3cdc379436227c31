"""Conversionruns: the conversions of a sweep, means over the trainings of each source network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.conversion import GAPS, Reading, Verdict, cheaper_up_to, within
from reports.families import REFERENCE, Family, Mean, families, named, reference, varying
from reports.outcome import ranges
from reports.points import Scalar
from reports.record import Key, TrialRecord
from reports.text import knob_items, ranged

CONVERTED = "converted"  # the family whose networks are read out as spiking ones
STEPS, METHOD = "time_steps", "method"
_RECONSTRUCTION = " is a reconstruction: "  # as a conversion says of itself in a note
Knobs = Mapping[str, Scalar]


def names_reconstruction(note: str) -> bool:
    """Whether a note says that a method was inferred, as the authors' text could not be read."""
    return _RECONSTRUCTION in note


@dataclass(frozen=True, slots=True)
class AtStep:
    """What one way to convert gave at T; means are over the trainings with a result there.

    validation, test : accuracy, 0..1; the test one of those trainings where it was measured
    spikes : per sample, in T steps      energy_pj : profile -> per sample, None if incomplete
    failed : how many trainings have no result
    """

    time_steps: int
    validation: Mean | None
    test: Mean | None
    spikes: Mean | None
    energy_pj: Mapping[str, Mean | None]
    failed: int


@dataclass(frozen=True, slots=True)
class Near:
    """First T from which on each training stays close to its own source, the earliest first.

    steps : one a training with a source accuracy, None where there is no such T
    longest : the longest T that was read
    """

    steps: tuple[int | None, ...]
    longest: int

    @property
    def text(self) -> str:
        """`8`, `8 (4 to > 32)`: the median training and the range; the later of two medians."""
        if not self.steps:
            return "–"
        median, first, last = self.steps[len(self.steps) // 2], self.steps[0], self.steps[-1]
        spread = f" ({self._step(first)} to {self._step(last)})" if first != last else ""
        return f"{self._step(median)}{spread}"

    def _step(self, steps: int | None) -> str:
        return f"> {self.longest}" if steps is None else str(steps)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why points have no result: at which T, and which points they are."""

    reason: str
    steps: tuple[int, ...]
    points: tuple[Key, ...]

    @property
    def text(self) -> str:
        """`at T = 1, 4: 3 points failed (#1.2, #1.3, #2.2): ...`"""
        many = f"{len(self.points)} point{'' if len(self.points) == 1 else 's'}"
        steps = ", ".join(map(str, self.steps))
        return f"at T = {steps}: {many} failed ({ranges(self.points)}): {self.reason}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """One way to convert, at each T in ascending order.

    turned : knobs that are not as the method says, and their values
    notes : on its points, each once, with the range of every number in it
    near : percentage points below the source -> when it is so near
    cheaper : profile -> up to which T its mean energy is below that of the ANN of the run
    """

    method: str
    turned: Knobs
    is_reconstruction: bool
    notes: tuple[str, ...]
    steps: tuple[AtStep, ...]
    near: Mapping[float, Near]
    cheaper: Mapping[str, Verdict]
    failures: tuple[Failure, ...]

    @property
    def name(self) -> str:
        """`opi, percentile 99`."""
        return ", ".join(filter(None, (self.method, named(self.turned, self.turned))))

    @property
    def label(self) -> str:
        """Its name, with a mark if it is a reconstruction."""
        return f"{self.name} †" if self.is_reconstruction else self.name


@dataclass(frozen=True, slots=True)
class Source:
    """A design of source networks, over its complete trainings, with all their conversions.

    numbers : of the trainings      unfinished : how many trainings ended otherwise
    varied : knobs that are not the same in every source      samples : images of validation
    accuracy : of the source itself on validation images, 0..1
    ann : design of the reference family with the most knobs in common, None without such a family
    """

    numbers: tuple[int, ...]
    unfinished: int
    knobs: Knobs
    varied: tuple[str, ...]
    samples: int | None
    accuracy: Mean | None
    ann: Family | None
    conversions: tuple[Conversion, ...]

    @property
    def name(self) -> str:
        """The knobs by which it differs from other sources: `activation qcfs`."""
        return named(self.varied, self.knobs)

    @property
    def ann_pj(self) -> Mapping[str, Mean | None]:
        """Profile -> mean energy of the ANN there."""
        return {} if self.ann is None else self.ann.energy_pj

    @property
    def all_steps(self) -> tuple[int, ...]:
        """Every T at which something was read."""
        return tuple(sorted({at.time_steps for one in self.conversions for at in one.steps}))


def sources(
    records: Sequence[TrialRecord], profiles: Sequence[str], readings: Knobs
) -> tuple[Source, ...]:
    """The source networks of a run with a result, the most accurate first.

    A training that only confirms another point is left out, and what was tuned on for it.
    readings : knob that is turned after the training -> its value where a design says nothing;
        without any there is no conversion
    """
    if not readings:
        return ()
    groups: dict[tuple[tuple[str, Scalar], ...], list[TrialRecord]] = {}
    for record in sorted(records, key=lambda one: one.key):
        if record.variant == CONVERTED and not record.is_confirmation:
            key = tuple(sorted((n, v) for n, v in knob_items(record) if n not in readings))
            groups.setdefault(key, []).append(record)
    anns = [one for one in records if one.variant == REFERENCE and one.parent is None]
    beside = _Beside(profiles, readings, families(anns, {}, profiles))
    kept = {
        key: group for key, group in groups.items() if any(o.state == "complete" for o in group)
    }
    varied = varying([dict(key) for key in kept])
    found = [_source(dict(key), group, varied, beside) for key, group in kept.items()]
    return tuple(sorted(found, key=lambda one: -(one.accuracy.value if one.accuracy else 0.0)))


@dataclass(frozen=True, slots=True)
class _Beside:
    """What all sources of a run share: `profiles`, `readings` and the designs of its ANN."""

    profiles: Sequence[str]
    readings: Knobs
    anns: Sequence[Family]


def _source(
    knobs: Knobs, group: Sequence[TrialRecord], varied: set[str], beside: _Beside
) -> Source:
    trained = [one for one in group if one.parent is None]
    complete = [one for one in trained if one.state == "complete"]
    own = {one.number: _source_accuracy(one) for one in complete}
    ann = reference(knobs, [one for one in beside.anns if one.numbers])
    ann_pj = {} if ann is None else ann.energy_pj
    ways: dict[tuple[tuple[str, Scalar], ...], list[TrialRecord]] = {}
    for record in group:
        if record.number in own:
            ways.setdefault(tuple(_turned(record, beside.readings).items()), []).append(record)
    samples = {(one.metrics.get("validation") or {}).get("samples") for one in complete}
    return Source(
        numbers=tuple(own),
        unfinished=len(trained) - len(complete),
        knobs=knobs,
        varied=tuple(name for name in knobs if name in varied),
        samples=samples.pop() if len(samples) == 1 else None,
        accuracy=Mean.of(own.values()),
        ann=ann,
        conversions=tuple(
            _conversion(dict(way), points, own, ann_pj, beside) for way, points in ways.items()
        ),
    )


def _conversion(
    way: Knobs,
    points: Sequence[TrialRecord],
    own: Mapping[int, float | None],
    ann_pj: Mapping[str, Mean | None],
    beside: _Beside,
) -> Conversion:
    by_step: dict[int, list[TrialRecord]] = {}
    for record in points:
        by_step.setdefault(_time_steps(record, beside.readings), []).append(record)
    steps = [_at_step(t, by_step[t], beside.profiles) for t in sorted(by_step)]
    energies = [_means(one) for one in steps]
    return Conversion(
        method=str(way.get(METHOD, "")),
        turned={
            name: value
            for name, value in way.items()
            if name != METHOD and value != beside.readings.get(name)
        },
        is_reconstruction=any(names_reconstruction(n) for one in points for n in one.own_notes),
        notes=ranged([n.partition(": ")[2] for one in points for n in one.own_notes]),
        steps=tuple(steps),
        near={gap: _near(by_step, own, gap) for gap in GAPS},
        cheaper={
            profile: cheaper_up_to(energies, mean.value if mean else None, profile)
            for profile, mean in ann_pj.items()
        },
        failures=_failures(by_step),
    )


def _at_step(time_steps: int, points: Sequence[TrialRecord], profiles: Sequence[str]) -> AtStep:
    complete = [one for one in points if one.state == "complete"]
    return AtStep(
        time_steps,
        Mean.of(one.accuracy for one in complete),
        Mean.of(one.test_accuracy for one in complete if one.test_accuracy is not None),
        Mean.of(one.metrics.get("spikes") for one in complete),
        {name: Mean.of(one.energy_pj(name) for one in complete) for name in profiles},
        len(points) - len(complete),
    )


def _means(one: AtStep) -> Reading:
    energies = {name: mean.value if mean else None for name, mean in one.energy_pj.items()}
    return Reading(one.time_steps, energy_pj=energies)


def _near(
    by_step: Mapping[int, Sequence[TrialRecord]], own: Mapping[int, float | None], gap: float
) -> Near:
    """Each training beside its own source, so that a good seed does not excuse a bad one."""
    found: list[int | None] = []
    for number, accuracy in own.items():
        curve = [
            Reading(t, reason=one.reason or "", validation=one.accuracy)
            for t in sorted(by_step)
            for one in by_step[t]
            if one.number == number
        ]
        if curve and accuracy is not None:
            found.append(within(curve, accuracy, gap).time_steps)
    found.sort(key=lambda t: (t is None, t or 0))
    return Near(tuple(found), max(by_step))


def _failures(by_step: Mapping[int, Sequence[TrialRecord]]) -> tuple[Failure, ...]:
    found: dict[str, dict[Key, int]] = {}
    for t, points in sorted(by_step.items()):
        for one in points:
            if one.state != "complete":
                reason = one.reason or "no reason was recorded"
                found.setdefault(reason, {})[one.key] = t
    return tuple(
        Failure(reason, tuple(sorted(set(where.values()))), tuple(sorted(where)))
        for reason, where in found.items()
    )


def _turned(record: TrialRecord, readings: Knobs) -> dict[str, Scalar]:
    """The value of each knob that is turned after the training, T aside."""
    knobs = dict(knob_items(record))
    return {name: knobs.get(name, value) for name, value in readings.items() if name != STEPS}


def _time_steps(record: TrialRecord, readings: Knobs) -> int:
    return int(dict(knob_items(record)).get(STEPS, readings.get(STEPS)) or 1)


def _source_accuracy(record: TrialRecord) -> float | None:
    value = record.metrics.get("source_accuracy")
    return None if value is None else float(value)
