"""Familytable: the comparison of network families as columns, plain lines, Markdown and notes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.families import REFERENCE, Family, Mean
from reports.text import NOTHING, THIN_SPACE, Column, EnergyUnits, aligned, significant

SELECTED = "✓"
_WORDS = ("family", "knobs")  # the columns of words; all others are numbers
_WORK = {
    "mac": "MAC",
    "dense_mac": "MAC, dense",
    "ac": "AC",
    "dense_ac": "AC, dense",
    "graded": "graded",
    "dense_graded": "graded, dense",
    "binary": "binary",
    "dense_binary": "binary, dense",
    "updates": "neuron updates",
}
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def family_columns(
    rows: Sequence[Family], profiles: Sequence[str], units: EnergyUnits
) -> tuple[Column, ...]:
    """All columns, one cell a design: words first. Work that no design does has no column."""
    return (
        Column("family", "family", "", tuple(_name(row) for row in rows)),
        *([Column("knobs", "knobs", "", tuple(row.differences or NOTHING for row in rows))]
          if any(row.varied for row in rows) else []),
        Column("seeds", "seeds", "", tuple(_seeds(row) for row in rows)),
        _accuracies("test_accuracy", "test accuracy", [row.test for row in rows], rows),
        _accuracies(
            "validation_accuracy", "validation accuracy", [row.validation for row in rows], rows
        ),
        *_rates(rows),
        *_work(rows),
        *(_energies(rows, profile, units) for profile in profiles),
        *_ratios(rows, profiles),
        Column("train_s", "training", "s", tuple(plus_minus(row.train_s) for row in rows)),
    )  # fmt: skip


def family_notes(rows: Sequence[Family], profiles: Sequence[str]) -> list[str]:
    """What a reader has to know of the table, one sentence or two each."""
    seeds = sorted({len(row.numbers) for row in rows})
    counts = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    notes = [
        f"Seeds: {counts} for each design, of the weights and the order of the samples; all see "
        "the same split of the data. After ±: the sample standard deviation over seeds.",
        f"{SELECTED}: of its family the best mean accuracy on validation data. Test data took no "
        "part in this choice.",
        "Products and updates are per sample, means over seeds; MAC, AC and binary products have "
        "no factor of zero, dense ones are all positions. Spike rate: spikes per neuron and step. "
        "A neuron update: one comparison with the threshold, one a neuron and step.",
    ]
    mixed = [f"{row.variant} {row.differences}".strip() for row in rows if _changes_class(row)]
    if mixed:
        notes.append(
            f"{'; '.join(mixed)}: from seed to seed the inputs of a layer were small integers or "
            "real, so its products changed their class. Products and energies are means over both."
        )
    if _ratios(rows, profiles):
        notes.append(
            f"Energy is per sample. Ratio: mean energy on {profiles[0]} over that of the "
            f"{REFERENCE} with the most knob values in common."
        )
    if any(row.unfinished for row in rows):
        notes.append("Means are over the complete trainings alone; those that failed are counted.")
    return notes


def family_lines(rows: Sequence[Family], profiles: Sequence[str], units: EnergyUnits) -> list[str]:
    """The table for a terminal, a heading first, without the products; then the first two notes."""
    if not rows:
        return []
    columns = [c for c in family_columns(rows, profiles, units) if c.name not in _WORK]
    left = [at for at, column in enumerate(columns) if column.name in _WORDS]
    table = aligned([(heading(column), *column.cells) for column in columns], left)
    return [*table, *family_notes(rows, profiles)[:2]]


def family_markdown(
    rows: Sequence[Family],
    profiles: Sequence[str],
    units: EnergyUnits,
    *,
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The whole table as Markdown, the notes below it as a list.

    notes : further ones, on the data
    """
    columns = family_columns(rows, profiles, units)
    lines = [
        [heading(column) for column in columns],
        ["---" if column.name in _WORDS else "---:" for column in columns],
        *([column.cells[at] for column in columns] for at in range(len(rows))),
    ]
    table = ["| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines]
    below = [f"- {note}" for note in (*family_notes(rows, profiles), *notes)]
    return "\n".join([f"### {title}", "", *table, "", *below, ""])


def heading(column: Column) -> str:
    """The heading of a column with its unit: `training (s)`."""
    return f"{column.heading} ({column.unit})" if column.unit else column.heading


def plus_minus(mean: Mean | None, scale: float = 1.0, decimals: int | None = None) -> str:
    """`12.3 ± 0.4`: three digits of the mean, or as many more as show its spread.

    decimals : instead of three digits
    """
    if mean is None:
        return NOTHING
    value, sd = mean.value * scale, (mean.sd or 0.0) * scale
    if decimals is None:
        decimals = _decimals(value, 3) if value else 0
        # a spread that is not zero must not read as none, unless it is the noise of sums
        decimals = max(decimals, min(_decimals(sd, 1), decimals + 3)) if sd else decimals
    numbers = [value] if mean.sd is None else [value, sd]
    return " ± ".join(f"{one:,.{decimals}f}" for one in numbers).replace(",", THIN_SPACE)


def _decimals(value: float, digits: int) -> int:
    """Decimals that show so many digits of a number that is not zero."""
    size = float(f"{value:.{digits}g}")  # rounded first: 9.999 has one decimal less than 9.99
    return max(0, digits - 1 - math.floor(math.log10(abs(size))))


def _name(row: Family) -> str:
    return f"{row.variant} {SELECTED}" if row.is_selected else row.variant


def _seeds(row: Family) -> str:
    unfinished = f" ({row.unfinished} failed)" if row.unfinished else ""
    return f"{len(row.numbers)}{unfinished}"


def _accuracies(
    name: str, text: str, means: Sequence[Mean | None], rows: Sequence[Family]
) -> Column:
    decimals = 2 if all((row.test_samples or 0) >= 5000 for row in rows) else 1
    return Column(name, text, "%", tuple(plus_minus(mean, 100.0, decimals) for mean in means))


def _rates(rows: Sequence[Family]) -> list[Column]:
    means = [row.work["spike_rate"] for row in rows]
    if not any(means):
        return []
    return [Column("spike_rate", "spike rate", "", tuple(plus_minus(mean) for mean in means))]


def _work(rows: Sequence[Family]) -> list[Column]:
    found = []
    for name, text in _WORK.items():
        means = [row.work[name] for row in rows]
        largest = max((mean.value for mean in means if mean is not None), default=0.0)
        if largest:
            size, unit = next((s, p) for s, p in _PREFIXES if largest >= s or s == 1.0)
            cells = (NOTHING if one is None else significant(one.value / size) for one in means)
            found.append(Column(name, text, unit, tuple(cells)))
    return found


def _energies(rows: Sequence[Family], profile: str, units: EnergyUnits) -> Column:
    means = [row.energy_pj.get(profile) for row in rows]
    least = min((mean.value for mean in means if mean is not None), default=0.0)
    unit, size_pj = units.choose(float(f"{least:.3g}"))
    cells = (
        "incomplete" if mean is None and row.numbers else plus_minus(mean, 1 / size_pj)
        for row, mean in zip(rows, means, strict=True)
    )
    return Column(f"energy_pj_{profile}", profile, unit, tuple(cells))


def _ratios(rows: Sequence[Family], profiles: Sequence[str]) -> list[Column]:
    if not profiles or all(row.ratio is None for row in rows):
        return []
    cells = (NOTHING if row.ratio is None else significant(row.ratio) for row in rows)
    return [Column("ratio", f"energy / {REFERENCE}", "", tuple(cells))]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def _changes_class(row: Family) -> bool:
    """Whether seeds of one design differ in the class of a product: dense ones never do else."""
    dense = row.work.get("dense_mac")
    return dense is not None and bool(dense.sd)
