"""Numbers as a reader wants them, and a front as plain lines for the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from reports.pareto import Objective
from reports.points import ENERGY, Scalar, flat, front, twins
from reports.record import Key, TrialRecord

NOTHING = "–"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\w)")  # a word of its own

_LABELS = {
    "validation_accuracy": ("validation accuracy", "%"),
    "test_accuracy": ("test accuracy", "%"),
    "latency_steps": ("latency steps", ""),
    "parameters": ("parameters", ""),
    "spikes": ("spikes", ""),
}


@dataclass(frozen=True, slots=True)
class EnergyUnits:
    """The units an energy may be shown in; the sizes come from the caller.

    steps : (symbol, size in pJ), in any order, with one of size 1.0: `(("pJ", 1.0), ...)`
    """

    steps: tuple[tuple[str, float], ...]

    def choose(self, energy_pj: float) -> tuple[str, float]:
        """Symbol and size in pJ of the largest unit that is not above this energy."""
        fitting = [step for step in self.steps if step[1] <= abs(energy_pj)]
        smallest_first = sorted(self.steps, key=lambda step: step[1])
        return max(fitting, key=lambda step: step[1]) if fitting else smallest_first[0]

    def format(self, energy_pj: float, digits: int = 3) -> str:
        """`12.3 nJ`: the number is rounded first, so that 999.9 pJ is 1.00 nJ."""
        symbol, size_pj = self.choose(float(f"{energy_pj:.{digits}g}"))
        return f"{significant(energy_pj / size_pj, digits)} {symbol}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the front's table: name as in the trials table, heading, unit, cells."""

    name: str
    heading: str
    unit: str
    cells: tuple[str, ...]


def significant(value: float, digits: int = 3) -> str:
    """A decimal number with this many significant digits: `0.0123`, `1.00`, `12 300`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace(",", THIN_SPACE)


def format_percent(fraction: float, samples: int | None = None) -> str:
    """`97.2 %`; a second decimal where at least 5,000 samples carry it."""
    decimals = 2 if samples is not None and samples >= 5000 else 1
    return f"{100 * fraction:.{decimals}f} %"


def margin(fraction: float, samples: int) -> float:
    """Half the width of the 95 % Wilson interval of an accuracy, as a fraction.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 1927. It covers the sampling of the data only.
    """
    z = 1.96
    spread = fraction * (1 - fraction) / samples + z**2 / (4 * samples**2)
    return z * math.sqrt(spread) / (1 + z**2 / samples)


def format_value(
    value: Scalar, unit: str, units: EnergyUnits, *, samples: int | None = None
) -> str:
    """Any value of a table with its unit; a dash if there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if unit == "%":
        return format_percent(value, samples)
    if unit == "pJ":
        return units.format(value)
    number = f"{value:,d}".replace(",", THIN_SPACE) if isinstance(value, int) else f"{value:.4g}"
    return f"{number} {unit}" if unit else number


def front_columns(
    points: Sequence[TrialRecord],
    profiles: Sequence[str],
    units: EnergyUnits,
    front_probability: Mapping[Key, float] | None = None,
) -> tuple[Column, ...]:
    """The columns of a front: accuracies, energy on each profile, what else is known.

    A total that is not complete reads `incomplete`.
    front_probability : key -> share of the draws, the last column; None leaves the column out
    """
    rows = [flat(point) for point in points]
    shares: dict[str, tuple[str, str]] = {}
    if front_probability is not None:
        shares["front_probability"] = ("on the front", "%")
        for point, row in zip(points, rows, strict=True):
            row["front_probability"] = front_probability.get(point.key)
    energies = {f"{ENERGY}{profile}": (profile, "pJ") for profile in profiles}
    values = {name: (name, "") for point in points for name in point.metrics.get("values", {})}
    accuracies = {name: _LABELS[name] for name in ("validation_accuracy", "test_accuracy")}
    others = {
        name: label
        for name, label in _LABELS.items()
        if name not in accuracies and any(row[name] is not None for row in rows)
    }

    def cell(point: TrialRecord, row: dict[str, Scalar], name: str, unit: str) -> str:
        profile = name.removeprefix(ENERGY)
        if name in energies and row.get(name) is None and profile in point.energy:
            return "incomplete"
        part = point.metrics.get(name.removesuffix("_accuracy")) or {}
        samples = part.get("samples") if name in accuracies else None
        return format_value(row.get(name), unit, units, samples=samples)

    return tuple(
        Column(
            name,
            heading,
            unit,
            tuple(cell(point, row, name, unit) for point, row in zip(points, rows, strict=True)),
        )
        for name, (heading, unit) in {
            **accuracies,
            **values,
            **energies,
            **others,
            **shares,
        }.items()
    )


def front_lines(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    profiles: Sequence[str],
    units: EnergyUnits,
    front_probability: Mapping[Key, float] | None = None,
) -> list[str]:
    """The front as aligned lines, a heading first; one sentence if it is empty."""
    points = front(records, objectives)
    if not points:
        return ["No complete trial has a value for every objective within its limit: no front yet."]
    columns = front_columns(points, profiles, units, front_probability)
    table = [
        ("point", *(f"#{point.name}" for point in points)),
        ("variant", *(point.variant for point in points)),
        *_origins(points, records),
        *((c.heading, *c.cells) for c in columns),
        ("knobs", *(knobs_of(point) for point in points)),
    ]
    return aligned(table, (0, 1, *(i for i, c in enumerate(table) if c[0] in ("made", "knobs"))))


def origin(record: TrialRecord, trained: TrialRecord | None) -> str:
    """How a point came: `trained`, or `read from #17 at threshold_scale 0.8, time_steps 2`.

    trained : the training that it came from, None where it is not at hand
    """
    if record.parent is None:
        return record.point
    before = {} if trained is None else dict(knob_items(trained))
    turned = ", ".join(
        f"{name} {format_knob(value)}"
        for name, value in knob_items(record)
        if trained is not None and before.get(name) != value
    )
    return f"{record.point} from #{record.parent}{f' at {turned}' if turned else ''}"


def origins(points: Sequence[TrialRecord], records: Sequence[TrialRecord]) -> list[str]:
    """How each of some points came; records : among which their trainings are."""
    trained = {record.number: record for record in records if record.parent is None}
    return [origin(point, trained.get(point.number)) + _alike(point, records) for point in points]


def _alike(point: TrialRecord, records: Sequence[TrialRecord]) -> str:
    """The points that it stands for: `, the same figures as #17.5 (method qcfs)`."""
    own = dict(knob_items(point))
    names = []
    for other in twins(point, records):
        knobs = {name: value for name, value in knob_items(other) if own.get(name) != value}
        said = ", ".join(f"{name} {format_knob(value)}" for name, value in knobs.items())
        names.append(f"#{other.name} ({said})" if said else f"#{other.name}")
    return f"; the same figures: {', '.join(names)}" if names else ""


def _origins(
    points: Sequence[TrialRecord], records: Sequence[TrialRecord]
) -> list[tuple[str, ...]]:
    """The column of origins, where not all points were trained."""
    if all(point.parent is None for point in points):
        return []
    return [("made", *origins(points, records))]


def aligned(columns: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """Columns of texts as lines; left : indices of those that are not aligned to the right."""
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            text.ljust(width) if index in left else text.rjust(width)
            for index, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in zip(*columns, strict=True)
    ]


def knobs_of(record: TrialRecord) -> str:
    """`threshold 0.7, time_steps 4`."""
    return ", ".join(f"{name} {format_knob(value)}" for name, value in knob_items(record))


def knob_items(record: TrialRecord) -> list[tuple[str, Scalar]]:
    """Knobs of a design in their own order."""
    return list(record.design.get("knobs", {}).items())


def format_knob(value: Scalar) -> str:
    """A knob's value: numbers with at most four digits after rounding, words as they are."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOTHING if value is None else str(value)


def ranged(notes: Sequence[str]) -> tuple[str, ...]:
    """Notes that differ in their numbers alone as one: `kept by 71.5..92.4 % of the neurons`."""
    alike: dict[tuple[str, ...], list[list[str]]] = {}
    for note in notes:
        alike.setdefault(tuple(_NUMBER.split(note)), []).append(_NUMBER.findall(note))
    return tuple(
        "".join(chain(*zip_longest(words, map(_range, zip(*numbers, strict=True)), fillvalue="")))
        for words, numbers in alike.items()
    )


def _range(numbers: Sequence[str]) -> str:
    low, high = (of(numbers, key=lambda one: float(one.replace(",", ""))) for of in (min, max))
    return low if low == high else f"{low}..{high}"
