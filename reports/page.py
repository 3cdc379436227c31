"""The report of a run: one HTML file that opens offline, its tables as CSV, its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from reports import conversionsection as section
from reports.conversionfigures import draw_curves
from reports.conversionruns import Source, names_reconstruction, sources
from reports.data import Baseline, Opponent, ReportData
from reports.evidence import Evidence, evidence, open_order
from reports.facts import front_facts, history_facts, layer_facts
from reports.families import Family, families, family_points
from reports.familytable import family_columns, family_markdown, family_notes, heading
from reports.figures import (
    draw_families,
    draw_front,
    draw_history,
    draw_layers,
    draw_parallel,
    inline_svg,
    save,
    variant_style,
)
from reports.outcome import by_variant, gaps, ranges, reasons, state_counts, summary
from reports.parallel import parallel_facts
from reports.pareto import Objective
from reports.points import front
from reports.record import Key, TrialRecord
from reports.table import families_frame, layers_frame, pareto_frame, trials_frame, write_csv
from reports.text import (
    NOTHING,
    Column,
    EnergyUnits,
    format_knob,
    format_value,
    front_columns,
    knob_items,
    margin,
    origins,
)

# the markers of matplotlib as characters, for the table
_SIGNS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "*": "★"}


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A drawn figure.

    key : its id on the page      stem : name of its files      kinds : of its files, SVG first
    """

    key: str
    stem: str
    title: str
    figure: Figure
    caption: str
    kinds: tuple[str, ...] = ("svg", "png", "pdf")

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the files; what the page shows of it. Texts in the drawing are outlines."""
        svg, *_ = save(self.figure, folder, self.stem, self.kinds)
        markup = Markup(inline_svg(svg.read_text(encoding="utf-8"), self.key))
        return {"key": self.key, "title": self.title, "caption": self.caption, "svg": markup}


def write_report(data: ReportData, folder: Path) -> Path:
    """Write `report.html`, three CSV tables and `figures/`; returns the path of the page.

    A run that compares designs over several seeds also gets `families.csv` and `families.md`, one
    with converted networks `conversions.csv`.
    The same data gives the same bytes. Files of an earlier report are replaced.

    Raises ReportDataError with everything that contradicts itself in the data.
    """
    data.check()
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in ("layers-*.*", "hypervolume.*", "conversion-*.*"):
        for stale in (folder / "figures").glob(pattern):
            stale.unlink()
    compared = _families(data)
    converted = sources(data.records, data.profile_names, data.readings)
    drawn = (*_family_plots(data, compared), *_conversion_plots(data, converted), *_plots(data))
    plots = [shown.save(folder / "figures") for shown in drawn]
    layers = [shown.save(folder / "figures") for shown in _layer_plots(data)]
    found = shares = None
    if data.energy_draws is not None:
        found = evidence(data.records, data.objectives, data.energy_draws)
        shares = found.front_probability
    table = (data.records, data.objectives, data.commands, shares)
    write_csv(trials_frame(*table), folder / "trials.csv")
    write_csv(pareto_frame(*table), folder / "pareto.csv")
    write_csv(layers_frame(data.layers), folder / "layers.csv")
    if compared:
        write_csv(families_frame(compared), folder / "families.csv")
        markdown = family_markdown(
            compared,
            data.profile_names,
            data.units,
            title=_families_title(data),
            notes=[_trained_so(data), *(note for note, _ in _notes(data))],
        )
        (folder / "families.md").write_text(markdown, encoding="utf-8", newline="\n")
    if converted:
        write_csv(section.conversions_frame(converted), folder / "conversions.csv")
    page = folder / "report.html"
    text = _render(data, plots, layers, found, compared, converted)
    page.write_text(text, encoding="utf-8", newline="\n")
    return page


def _families(data: ReportData) -> tuple[Family, ...]:
    if not data.work:
        return ()
    return families(data.records, data.work, data.profile_names, data.variants)


def _families_title(data: ReportData) -> str:
    return f"Families on the topology {data.sweep.architecture}, {data.sweep.data}"


def _trained_so(data: ReportData) -> str:
    """Of which sweep the comparison is, and how its networks were trained."""
    return f"Sweep {data.sweep.name or data.run}: {data.sweep.training}, {data.sweep.budget}."


def _family_plots(data: ReportData, rows: Sequence[Family]) -> Iterator[ShownFigure]:
    if not rows or not data.profile_names:
        return
    profile = data.profile_names[0]
    unit, points = family_points(rows, profile, data.units)
    if not points:
        return
    title = "Test accuracy against energy, by family"
    figure = draw_families(
        points,
        variants=data.variants,
        x_label=f"Energy per inference on {profile} ({unit})",
        title=title,
        notes=[note for note, _ in _notes(data)],
    )
    caption = (
        "Means over seeds; bars reach one sample standard deviation to either side. "
        f"Full: of its family the best on validation data. {_trained_so(data)}"
    )
    if len(points) < len(rows):
        caption += f" Not drawn, for want of a value: {len(rows) - len(points)} designs."
    yield ShownFigure("families", "families", title, figure, caption)


def _conversion_plots(data: ReportData, converted: Sequence[Source]) -> Iterator[ShownFigure]:
    shown = converted[: section.MOST_SOURCES]
    labels = list(dict.fromkeys(one.label for source in shown for one in source.conversions))
    for place, source in enumerate(shown):
        facts = section.plot(source, labels)
        figure = draw_curves(facts, [*data.data_notes, *section.marks(source)])
        caption = (
            "Means over trainings; a band reaches one sample standard deviation to either side. "
            f"{_trained_so(data)}"
        )
        key = f"conversion-{place}"
        yield ShownFigure(key, key, facts.title, figure, caption)


def _conversion(place: int, source: Source, data: ReportData) -> dict[str, Any]:
    return {
        "title": section.title(source),
        "summary": f"{section.summary(source)} {section.opponent(source)}",
        "figure": f"conversion-{place}",
        "sheets": list(section.sheets(source, data.profile_names, data.units)),
        "legend": section.legend(source),
        "problems": section.problems(source),
        "notes": section.notes(source),
        "knobs": [(name, format_knob(value)) for name, value in source.knobs.items()],
    }


def _plots(data: ReportData) -> Iterator[ShownFigure]:
    points = front(data.records, data.objectives)
    notes = [note for note, _ in _notes(data)]
    if not points:
        return
    if len(data.objectives) > 1:
        facts = front_facts(
            data.records,
            data.objectives,
            data.units,
            variants=data.variants,
            baselines={baseline.name: baseline.values for baseline in data.baselines},
        )
        y, x = data.objectives[:2]
        title = f"{y.label[:1].upper()}{y.label[1:]} against {x.label[:1].lower()}{x.label[1:]}"
        caption = (
            "Full colour: not dominated. Pale: dominated. "
            "Points too close to another are named in the table alone."
        )
        if len(data.objectives) > 2:
            caption += " The line is the front of the two objectives drawn here."
        if facts.not_drawn:
            caption += f" Not drawn, for want of a value: {facts.not_drawn} complete points."
        if facts.points:
            figure = draw_front(facts, title=title, notes=notes)
            yield ShownFigure("front", "front", title, figure, caption)
    if not data.work:  # nothing is searched where every design is trained
        yield _history_plot(data, notes)
    lines = parallel_facts(data.records, data.objectives, data.units, variants=data.variants)
    title = "Knobs and objectives of the front"
    caption = "One line a point. Objectives have their better end on top."
    if lines.constant:
        caption += f" The same for all: {', '.join(lines.constant)}."
    figure = draw_parallel(lines, title=title, notes=notes)
    yield ShownFigure("parallel", "parallel", title, figure, caption)


def _history_plot(data: ReportData, notes: list[str]) -> ShownFigure:
    history = history_facts(data.records, data.objectives, data.units)
    caption = (
        f"Volume of what the front dominates, {history.label}, "
        f"measured from {', '.join(history.reference)}."
    )
    if history.without_volume:
        caption += f" Without a volume: {history.without_volume} complete points."
    title = "Hypervolume of the front after each trial"
    figure = draw_history(history, title=title, notes=notes)
    return ShownFigure("hypervolume", "hypervolume", title, figure, caption)


def _layer_plots(data: ReportData) -> Iterator[ShownFigure]:
    everything = [part for of in data.layers.values() for rows in of.values() for part in rows]
    components = list(dict.fromkeys(part["component"] for part in everything))
    notes = [note for note, _ in _notes(data)]
    points = front(data.records, data.objectives)
    # then whatever else the caller thought worth a look
    points += tuple(r for r in data.records if r.key in data.layers and r not in points)
    for index, profile in enumerate(data.profile_names):
        for point in points:
            rows = data.layers.get(point.key, {}).get(profile)
            if rows:
                title = f"#{point.name} ({point.variant}) on {profile}"
                facts = layer_facts(title, rows, data.units, components=components)
                whole = (
                    "in total" if point.energy_pj(profile) is not None else "so far (incomplete)"
                )
                yield ShownFigure(
                    f"layers-{point.name}-{index}",
                    f"layers-{point.name}-{profile}",
                    title,
                    draw_layers(facts, notes=notes),
                    f"{facts.total} {whole}; percentages are shares of it.",
                    # fonts make a PDF slow: print quality for the profile of the objective
                    ("svg", "png", "pdf") if index == 0 else ("svg",),
                )


def _limit(objective: Objective, units: EnergyUnits) -> str:
    """`, at most 20 nJ`; nothing where there is no limit."""
    if objective.limit is None:
        return ""
    word = "at least" if objective.goal == "max" else "at most"
    return f", {word} {format_value(objective.limit, objective.unit, units)}"


def _render(
    data: ReportData,
    plots: list[dict[str, Any]],
    layers: list[dict[str, Any]],
    found: Evidence | None,
    compared: Sequence[Family],
    converted: Sequence[Source],
) -> str:
    points = front(data.records, data.objectives)
    shares = None if found is None else found.front_probability
    columns = front_columns(points, data.profile_names, data.units, shares)
    return template("page.html.j2").render(
        data=data,
        summary=summary(data.records, data.objectives, data.units),
        states=state_counts(data.records),
        reasons=reasons(data.records),
        gaps=gaps(data.records, data.profile_names),
        columns=columns,
        limits={one.name: _limit(one, data.units) for one in data.objectives},
        objective_names=[objective.name for objective in data.objectives],
        rows=[
            _row(point, how, data)
            for point, how in zip(points, origins(points, data.records), strict=True)
        ],
        has_test=any(point.test_accuracy is not None for point in points),
        variants=by_variant(data.records, data.objectives, data.variants, data.units),
        styles={variant: _style(variant, data) for variant in data.variants},
        baseline_cells=[_cells(baseline, columns, data.units) for baseline in data.baselines],
        notes=_notes(data),
        evidence=found,
        open_order="" if found is None else open_order(found),
        figures={shown["key"]: shown for shown in plots},
        layers=layers,
        families=compared,
        families_title=_families_title(data),
        family_columns=[
            (heading(column), column.name, column.cells)
            for column in family_columns(compared, data.profile_names, data.units)
        ],
        family_notes=(
            [*family_notes(compared, data.profile_names), _trained_so(data)] if compared else []
        ),
        conversions=[
            _conversion(place, source, data)
            for place, source in enumerate(converted[: section.MOST_SOURCES])
        ],
        conversions_hidden=section.hidden(converted)
        if len(converted) > section.MOST_SOURCES
        else "",
        opponents=[_opponent(opponent, data.units) for opponent in data.opponents],
    )


def template(name: str) -> Template:
    """A page of this room; every text that it is given is escaped."""
    environment = Environment(
        loader=PackageLoader("reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _opponent(opponent: Opponent, units: EnergyUnits) -> dict[str, Any]:
    def energy(value_pj: float | None) -> str:
        return "incomplete" if value_pj is None else units.format(value_pj)

    def rate(value: float | None) -> str:
        return NOTHING if value is None else f"{value:.3g}"

    return {
        "point": opponent.point,
        "profile": opponent.profile,
        "name": opponent.name,
        "energy": energy(opponent.energy_pj),
        "same_numbers": energy(opponent.same_numbers_pj),
        "break_even": opponent.break_even,
        "rate": rate(opponent.rate),
        "accuracy": opponent.accuracy,
        "network_on": opponent.network_on,
        "layers": [(one.layer, one.break_even, rate(one.rate)) for one in opponent.layers],
    }


def _row(point: TrialRecord, how: str, data: ReportData) -> dict[str, Any]:
    accuracy, samples = point.accuracy, (point.metrics.get("validation") or {}).get("samples")
    spread = ""
    if accuracy is not None and samples is not None:
        spread = f"± {100 * margin(accuracy, samples):.1f}"
    return {
        "point": point,
        "origin": how,
        "margin": spread,
        "knobs": [(name, format_knob(value)) for name, value in knob_items(point)],
        "command": data.commands.get(point.key),
    }


def _style(variant: str, data: ReportData) -> dict[str, str]:
    colour, marker = variant_style(variant, data.variants)
    return {"colour": colour, "sign": _SIGNS[marker]}


def _cells(baseline: Baseline, columns: Sequence[Column], units: EnergyUnits) -> list[str]:
    return [format_value(baseline.values.get(c.name), c.unit, units) for c in columns]


def _notes(data: ReportData) -> list[tuple[str, str]]:
    """Notes on the data, each with the points that it concerns: `` means all.

    What holds for a single point, or for its method, stands with the conversions.
    """
    concerned: dict[str, list[Key]] = {note: [] for note in data.data_notes}
    for record in data.records:
        for note in _shared(record) if record.state == "complete" else ():
            concerned.setdefault(note, []).append(record.key)
    return [
        (note, "" if note in data.data_notes else ranges(keys)) for note, keys in concerned.items()
    ]


def _shared(record: TrialRecord) -> list[str]:
    """Notes that hold for more than a point; that a method was inferred does."""
    own = record.own_notes
    return [note for note in record.notes if note not in own or names_reconstruction(note)]
