"""Tables of a comparison of converted networks: as cells for a reader, and as tidy rows for CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from reports.conversion import GAPS, PARTS, Comparison, LayerError, MethodReadings, Reading
from reports.points import ENERGY, Scalar
from reports.table import frame
from reports.text import NOTHING, EnergyUnits, format_percent, format_value, ranged, significant

LEGEND = (
    "† a reconstruction: the authors' text could not be read, and what is here is inferred",
    "* with parts that are not as published",
)
_MOST_COLUMNS = 8  # numbers of steps side by side
_TYPICAL_T = 8  # at which errors of layers are shown


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of ready-made cells.

    title : what it shows      columns, rows : texts      left : columns of words
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[str, ...]

    def without_empty(self) -> Sheet:
        """Without the columns in which nothing stands."""
        kept = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)


def shown_steps(steps: Sequence[int]) -> tuple[int, ...]:
    """All T if they are few, else the powers of two among them, the first and the last."""
    if len(steps) <= _MOST_COLUMNS:
        return tuple(steps)
    chosen = [t for t in steps if t & (t - 1) == 0 or t in (steps[0], steps[-1])]
    return (*chosen[: _MOST_COLUMNS - 1], steps[-1]) if len(chosen) > _MOST_COLUMNS else (*chosen,)


def typical_step(steps: Sequence[int]) -> int:
    """The T that is nearest to 8, as a ratio."""
    return min(steps, key=lambda t: (abs(math.log2(t / _TYPICAL_T)), t))


def verdict_sheet(comparison: Comparison) -> Sheet:
    """A method a row: T to come near the ANN, T at which it is dearer, what was kept."""
    gaps = tuple(f"within {gap:g}" for gap in GAPS)
    cheaper = tuple(f"cheaper up to, {name}" for name in comparison.hardware)
    rows = []
    for method in comparison.methods:
        best = max((one.validation or 0.0 for one in method.read()), default=None)
        kept = [one.kept_share for one in method.read() if one.kept_share is not None]
        rows.append(
            (
                method.label,
                *(comparison.within(method, gap).text for gap in GAPS),
                *(comparison.cheaper_up_to(method, name).text for name in comparison.hardware),
                _percent(best, comparison),
                _range([100 * share for share in kept], " %"),
                "each T" if not method.is_one_pass else "once",
                "; ".join(method.reasons()),
            )
        )
    return Sheet(
        "T from which on each method is within so many points of its ANN on validation images, and "
        "T up to which it costs less than the ANN",
        (
            *("method", *gaps, *cheaper, "best accuracy", "kept potentials", "calibrated"),
            "no result",
        ),
        tuple(rows),
        ("method", "calibrated", "no result"),
    ).without_empty()


def accuracy_sheet(comparison: Comparison) -> Sheet:
    """A method a row, a T a column: accuracy on validation images."""
    ann = _percent(comparison.source.validation, comparison)
    title = f"accuracy on validation images after T steps; the ANN has {ann}"
    return _curves(comparison, title, lambda one: _percent(one.validation, comparison))


def energy_sheet(comparison: Comparison, profile: str, units: EnergyUnits) -> Sheet:
    """A method a row, a T a column: energy per sample on a profile."""
    ann = format_value(comparison.source.energy_pj.get(profile), "pJ", units)
    title = f"energy per sample of T steps on {profile}; the ANN takes {ann}"
    return _curves(
        comparison, title, lambda one: format_value(one.energy_pj.get(profile), "pJ", units)
    )


def _curves(comparison: Comparison, title: str, cell: Callable[[Reading], str]) -> Sheet:
    """A method a row, some T in columns."""
    steps = shown_steps(comparison.steps)
    rows = []
    for method in comparison.methods:
        by_step = {one.time_steps: one for one in method.readings}
        rows.append((method.label, *(cell(by_step[t]) for t in steps)))
    return Sheet(title, ("method", *(f"T = {t}" for t in steps)), tuple(rows), ("method",))


def readings_sheet(comparison: Comparison, method: MethodReadings, units: EnergyUnits) -> Sheet:
    """A T a row: all that was read of a method."""
    rates = [f"break-even, {name}" for name in comparison.hardware]
    return Sheet(
        f"{method.label}: {method.title}",
        (
            *("T", "validation", "test", "spikes per neuron", "AC", "MAC", "graded"),
            *comparison.hardware,
            *rates,
            *("rate", "kept", "no result"),
        ),
        tuple(_reading(one, comparison, units) for one in method.readings),
        (*rates, "no result"),
    ).without_empty()


def errors_sheet(method: MethodReadings, time_steps: int) -> Sheet:
    """A layer a row: what it misses of the activations of the ANN at T, and for which reason."""
    found = next(one for one in method.readings if one.time_steps == time_steps)
    rows = [
        (
            one.layer,
            format_value(one.neurons, "", EnergyUnits(())),
            _range([one.threshold_low, one.threshold_high], ""),
            significant(one.activation_rms),
            *(f"{_short(one.rms[part])} ({one.mean[part]:+.2g})" for part in ("total", *PARTS)),
        )
        for one in found.layers
    ]
    return Sheet(
        f"{method.label} at T = {time_steps}: error of each layer, root mean square (and mean)",
        ("layer", "neurons", "threshold", "activation", "error", *PARTS),
        tuple(rows),
        ("layer",),
    )


def dashes(comparison: Comparison) -> Iterator[str]:
    """Why a method has no T in the table of verdicts, a line a reason."""
    for method in comparison.methods:
        if not method.read():
            continue  # its row says why
        found: dict[str, list[str]] = {}
        for gap in GAPS:
            verdict = comparison.within(method, gap)
            if verdict.time_steps is None:
                found.setdefault(verdict.reason, []).append(f"within {gap:g} points")
        for profile in comparison.hardware:
            verdict = comparison.cheaper_up_to(method, profile)
            if verdict.time_steps is None:
                found.setdefault(verdict.reason, []).append(f"against the ANN on {profile}")
        for reason, what in found.items():
            yield f"{method.name}: {', '.join(what)}: {reason}"


def method_notes(comparison: Comparison) -> Iterator[str]:
    """What must be known of each method: its source, what was changed, what was said of it."""
    for method in comparison.methods:
        yield f"{method.label}: {method.title}. {method.source}"
        for change in method.changed:
            yield f"{method.name}: not as published: {change}"


def reading_notes(comparison: Comparison) -> list[str]:
    """What was said of the readings, each text once with the methods that it is of.

    Notes that differ in their numbers alone, as those of each T, are one with ranges.
    """
    found: dict[str, dict[str, None]] = {}
    for method in comparison.methods:
        for note in ranged([note for one in method.read() for note in one.notes]):
            found.setdefault(note, {})[method.name] = None
    everyone = [one.name for one in comparison.methods if one.read()]
    return [
        note if list(names) == everyone else f"{', '.join(names)}: {note}"
        for note, names in found.items()
    ]


def readings_frame(comparison: Comparison) -> pd.DataFrame:
    """One row a method and T; units stand in the column names. Empty = unknown."""
    rows = [
        _flat(comparison, method, one) for method in comparison.methods for one in method.readings
    ]
    return frame(rows, tuple(dict.fromkeys(name for row in rows for name in row)))


def errors_frame(comparison: Comparison) -> pd.DataFrame:
    """One row a method, T and layer."""
    rows = [
        {"method": method.name, "time_steps": one.time_steps, **_flat_error(layer)}
        for method in comparison.methods
        for one in method.readings
        for layer in one.layers
    ]
    parts = ("total", *PARTS)
    before = ("layer", "neurons", "threshold_low", "threshold_high")
    names = (
        *("method", "time_steps", *before, "activation_rms", "output_rms"),
        *(f"mean_{part}" for part in parts),
        *(f"rms_{part}" for part in parts),
        "kept_share",
    )
    return frame(rows, names)


def layers_frame(comparison: Comparison) -> pd.DataFrame:
    """One row a method, T and layer: products, neuron events and energies per sample."""
    rows: list[dict[str, Scalar]] = [
        {
            "method": method.name,
            "time_steps": one.time_steps,
            "layer": layer.layer,
            "operator": layer.operator,
            **layer.events,
            **{f"{ENERGY}{name}": value for name, value in layer.energy_pj.items()},
        }
        for method in comparison.methods
        for one in method.readings
        for layer in one.work
    ]
    first = ("method", "time_steps", "layer", "operator")
    return frame(rows, tuple(dict.fromkeys((*first, *(name for row in rows for name in row)))))


def _flat(comparison: Comparison, method: MethodReadings, one: Reading) -> dict[str, Scalar]:
    source = comparison.source
    row: dict[str, Scalar] = {
        "method": method.name,
        "is_reconstruction": method.is_reconstruction,
        "changed": "; ".join(method.changed),
        "time_steps": one.time_steps,
        "calibrated_for": one.calibrated_for,
        "reason": one.reason,
        "validation_accuracy": one.validation,
        "test_accuracy": one.test,
        "ann_validation_accuracy": source.validation,
        "ann_test_accuracy": source.test,
        "spikes_per_neuron": one.spikes_per_neuron,
        "spikes": one.spikes,
        "ac": one.ac,
        "mac": one.mac,
        "dense_mac": one.dense_mac,
        "graded": one.graded,
    }
    for profile in comparison.hardware:
        rate = one.break_even.get(profile)
        row[f"{ENERGY}{profile}"] = one.energy_pj.get(profile)
        row[f"ann_{ENERGY}{profile}"] = source.energy_pj.get(profile)
        row[f"break_even_rate_{profile}"] = None if rate is None else rate.rate
        row[f"break_even_{profile}"] = "" if rate is None else rate.text
        row["measured_rate"] = None if rate is None else rate.measured
    return {**row, "kept_share": one.kept_share, "notes": "; ".join(one.notes)}


def _flat_error(one: LayerError) -> dict[str, Scalar]:
    return {
        "layer": one.layer,
        "neurons": one.neurons,
        "threshold_low": one.threshold_low,
        "threshold_high": one.threshold_high,
        "activation_rms": one.activation_rms,
        "output_rms": one.output_rms,
        **{f"mean_{part}": value for part, value in one.mean.items()},
        **{f"rms_{part}": value for part, value in one.rms.items()},
        "kept_share": one.kept_share,
    }


def _reading(one: Reading, comparison: Comparison, units: EnergyUnits) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return NOTHING if value is None else significant(value)

    def energy(profile: str) -> str:
        value = one.energy_pj.get(profile)
        if value is None:
            return "incomplete" if profile in one.energy_pj else NOTHING
        return units.format(value)

    rates = [one.break_even.get(name) for name in comparison.hardware]
    measured = next((rate.measured for rate in rates if rate is not None), None)
    return (
        str(one.time_steps),
        _percent(one.validation, comparison),
        _percent(one.test, comparison, "test"),
        *map(number, (one.spikes_per_neuron, one.ac, one.dense_mac, one.graded)),
        *map(energy, comparison.hardware),
        *(NOTHING if rate is None else rate.text for rate in rates),
        number(measured),
        NOTHING if one.kept_share is None else format_percent(one.kept_share),
        one.reason,
    )


def _percent(value: float | None, comparison: Comparison, part: str = "validation") -> str:
    return NOTHING if value is None else format_percent(value, comparison.samples.get(part))


def _range(values: Sequence[float], unit: str) -> str:
    if not values:
        return NOTHING
    low, high = significant(min(values)), significant(max(values))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _short(value: float) -> str:
    return f"{value:.2g}"
