"""Conversionsection: the conversions of a sweep as tables, curves, rows for CSV and plain lines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from reports.conversion import GAPS
from reports.conversionfigures import Curve, Plot
from reports.conversionruns import AtStep, Conversion, Source
from reports.conversiontable import LEGEND, Sheet, shown_steps
from reports.families import REFERENCE, Mean
from reports.familytable import plus_minus
from reports.points import ENERGY, KNOB, Scalar
from reports.table import frame, with_spreads
from reports.text import NOTHING, EnergyUnits, aligned

MOST_SOURCES = 4  # on the page and in a terminal; the CSV has all
_MANY_SAMPLES = 5000  # which carry a second decimal


def title(source: Source) -> str:
    """`Source network with activation qcfs`."""
    return f"Source network with {source.name}" if source.name else "The source network"


def summary(source: Source) -> str:
    """How accurate the source is, of how many trainings."""
    many = len(source.numbers)
    unfinished = f", {source.unfinished} more without a result" if source.unfinished else ""
    return (
        f"{accuracy(source, source.accuracy)} % on validation images as it was trained, "
        f"{many} training{'' if many == 1 else 's'}{unfinished}."
    )


def opponent(source: Source) -> str:
    """Whose energy the source is held against."""
    if source.ann is None:
        return f"This run has no {REFERENCE} to hold energies against."
    which = f" with {source.ann.differences}" if source.ann.differences else ""
    return f"Energies are held against the {REFERENCE} of this run{which}."


def sheets(source: Source, profiles: Sequence[str], units: EnergyUnits) -> Iterator[Sheet]:
    """Accuracy, T to come near, energy on the first profile, and tests where they were made."""
    yield accuracy_sheet(source)
    yield verdict_sheet(source)
    if profiles:
        yield energy_sheet(source, profiles[0], units)
    if any(at.test for one in source.conversions for at in one.steps):
        yield tested_sheet(source)


def accuracy_sheet(source: Source) -> Sheet:
    """A method a row, a T a column: accuracy on validation images."""
    own = accuracy(source, source.accuracy)
    return _by_step(
        source,
        f"validation accuracy (%) after T steps; the source has {own}",
        lambda at: accuracy(source, at.validation),
    )


def energy_sheet(source: Source, profile: str, units: EnergyUnits) -> Sheet:
    """A method a row, a T a column: energy per inference on a profile."""
    means = [at.energy_pj.get(profile) for one in source.conversions for at in one.steps]
    ann = source.ann_pj.get(profile)
    unit, size_pj = units.choose(statistics.median([one.value for one in means if one] or [0.0]))

    def cell(at: AtStep) -> str:
        mean = at.energy_pj.get(profile)
        return "incomplete" if mean is None and at.validation else plus_minus(mean, 1 / size_pj)

    beside = f"; the {REFERENCE} of this run needs {plus_minus(ann, 1 / size_pj)}" if ann else ""
    return _by_step(source, f"energy per inference on {profile} ({unit}){beside}", cell)


def verdict_sheet(source: Source) -> Sheet:
    """A method a row: T to come near its source, and T up to which it beats the ANN."""
    rows = [
        (
            one.label,
            *(one.near[gap].text for gap in GAPS),
            *(verdict.text for verdict in one.cheaper.values()),
        )
        for one in source.conversions
    ]
    gaps = tuple(f"within {gap:g}" for gap in GAPS)
    cheaper = tuple(f"cheaper up to, {profile}" for profile in source.ann_pj)
    against = f", and T up to which it costs less than the {REFERENCE}" if cheaper else ""
    return Sheet(
        f"T from which on a method is within so many points of its source{against}",
        ("method", *gaps, *cheaper),
        tuple(rows),
        ("method",),
    )


def tested_sheet(source: Source) -> Sheet:
    """A tested point a row. Only some are: those that the report wants to quote."""
    rows = [
        (
            one.label,
            str(at.time_steps),
            plus_minus(at.test, 100.0, _decimals(source)),
            str(at.test.seeds),
            accuracy(source, at.validation),
        )
        for one in source.conversions
        for at in one.steps
        if at.test is not None
    ]
    return Sheet(
        "test accuracy (%), where it was measured",
        ("method", "T", "test", "trainings tested", "validation, all trainings"),
        tuple(rows),
        ("method",),
    )


def marks(source: Source) -> tuple[str, ...]:
    """What the marks of its methods mean."""
    return LEGEND[:1] if any(one.is_reconstruction for one in source.conversions) else ()


def legend(source: Source) -> list[str]:
    """How to read the tables of a source."""
    near = "8 (4 to > 16): T of the median training, and of the first and the last of them"
    return [*marks(source), "after ±: the sample standard deviation over trainings", near]


def problems(source: Source) -> list[str]:
    """What went wrong with which method, how often, and the points of it."""
    return [f"{one.name} {failure.text}" for one in source.conversions for failure in one.failures]


def notes(source: Source) -> list[str]:
    """What the conversions said of themselves, each text once with the methods that it is of."""
    found: dict[str, list[str]] = {}
    for one in source.conversions:
        for note in one.notes:
            found.setdefault(note, []).append(one.name)
    return [
        note if names == [note.partition(" ")[0]] else f"{', '.join(names)}: {note}"
        for note, names in found.items()
    ]


def plot(source: Source, labels: Sequence[str]) -> Plot:
    """Accuracy against T. labels : of all methods of the run, which decide the colours."""
    curves = []
    for one in source.conversions:
        known = [(at.time_steps, at.validation) for at in one.steps if at.validation is not None]
        if known:
            points = tuple((float(t), 100 * mean.value) for t, mean in known)
            spread = tuple(100 * (mean.sd or 0.0) for _, mean in known)
            curves.append(Curve(one.label, labels.index(one.label), points, spread))
    return Plot(
        f"{title(source)}: accuracy against time steps",
        "Time steps T",
        "Accuracy on validation images (%)",
        tuple(curves),
        source.all_steps,
        level=None if source.accuracy is None else 100 * source.accuracy.value,
        ann="source",
    )


def conversions_frame(sources: Sequence[Source]) -> pd.DataFrame:
    """One row a source, method and T: means over trainings, `..._sd` their spreads."""
    rows = [
        _flat(source, one, at)
        for source in sources
        for one in source.conversions
        for at in one.steps
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    knobs = [name for name in names if name.startswith(KNOB)]
    before = ["trainings", "numbers"]
    return frame(rows, tuple(dict.fromkeys([*before, *knobs, *names])))


def conversion_lines(sources: Sequence[Source]) -> list[str]:
    """For a terminal: each source, then a method a line, accuracy at each T."""
    lines = []
    for source in sources[:MOST_SOURCES]:
        sheet = accuracy_sheet(source)
        near = ["within 1 point", *(one.near[1.0].text for one in source.conversions)]
        columns = list(zip(sheet.columns, *sheet.rows, strict=True))
        lines.append(f"{title(source)}: {summary(source)}")
        lines += aligned([*columns, near], (0,))
        lines += problems(source)
    if len(sources) > MOST_SOURCES:
        lines.append(hidden(sources))
    return lines


def hidden(sources: Sequence[Source]) -> str:
    """That only some sources are shown."""
    return (
        f"These are the {MOST_SOURCES} sources of the highest accuracy, of {len(sources)}; "
        "all are in conversions.csv."
    )


def accuracy(source: Source, mean: Mean | None) -> str:
    """`82.1 ± 0.3`, and how many trainings it is of, if not of all."""
    few = f" (n = {mean.seeds})" if mean and mean.seeds < len(source.numbers) else ""
    return f"{plus_minus(mean, 100.0, _decimals(source))}{few}"


def _decimals(source: Source) -> int:
    return 2 if (source.samples or 0) >= _MANY_SAMPLES else 1


def _by_step(source: Source, title: str, cell: Callable[[AtStep], str]) -> Sheet:
    steps = shown_steps(source.all_steps)
    rows = []
    for one in source.conversions:
        by_step = {at.time_steps: at for at in one.steps}
        cells = (cell(by_step[t]) if t in by_step else NOTHING for t in steps)
        rows.append((one.label, *cells))
    return Sheet(title, ("method", *(f"T = {t}" for t in steps)), tuple(rows), ("method",))


def _flat(source: Source, one: Conversion, at: AtStep) -> dict[str, Scalar]:
    energies = {f"{ENERGY}{name}": mean for name, mean in at.energy_pj.items()}
    anns = {f"{REFERENCE}_{ENERGY}{name}": mean for name, mean in source.ann_pj.items()}
    return {
        "trainings": len(source.numbers),
        "numbers": " ".join(map(str, source.numbers)),
        **{f"{KNOB}{name}": value for name, value in source.knobs.items()},
        "method": one.method,
        **{f"turned_{name}": value for name, value in one.turned.items()},
        "is_reconstruction": one.is_reconstruction,
        "time_steps": at.time_steps,
        "n": at.validation.seeds if at.validation else 0,
        "failed": at.failed,
        **with_spreads({"validation_accuracy": at.validation, "test_accuracy": at.test}),
        "test_n": at.test.seeds if at.test else 0,
        **with_spreads({"source_accuracy": source.accuracy, "spikes": at.spikes}),
        **with_spreads(energies),
        **with_spreads(anns),
        "reasons": "; ".join(f.reason for f in one.failures if at.time_steps in f.steps),
    }
