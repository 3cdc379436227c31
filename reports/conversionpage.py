"""The report of a conversion: one HTML file that opens offline, two CSV tables, its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from reports import conversiontable as tables
from reports.conversion import Comparison, MethodReadings, Reading
from reports.conversionfigures import Curve, Panel, Plot, draw_curves, draw_errors
from reports.page import ShownFigure, template
from reports.table import write_csv
from reports.text import NOTHING, EnergyUnits, format_percent, significant

_KINDS = ("svg", "png")  # fonts make a PDF slow


def write_conversion(comparison: Comparison, folder: Path, units: EnergyUnits) -> Path:
    """Write `conversion.html`, its three CSV tables and `figures/`; returns the page.

    The same comparison gives the same bytes. Files of an earlier report are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(tables.readings_frame(comparison), folder / "conversion.csv")
    write_csv(tables.layers_frame(comparison), folder / "layers.csv")
    write_csv(tables.errors_frame(comparison), folder / "errors.csv")
    figures = [shown.save(folder / "figures") for shown in _figures(comparison, units)]
    page = folder / "conversion.html"
    page.write_text(_render(comparison, figures, units), encoding="utf-8", newline="\n")
    return page


def source_lines(comparison: Comparison, units: EnergyUnits) -> list[str]:
    """The ANN, in a few lines."""
    source = comparison.source
    accuracies = ", ".join(
        f"{part} {_percent(value, comparison, part)}"
        for part, value in (("validation", source.validation), ("test", source.test))
    )
    energies = ", ".join(
        f"{name} {NOTHING if value is None else units.format(value)}"
        for name, value in source.energy_pj.items()
    )
    return [
        f"ANN: {source.target} ({source.model}), {source.parameters:,} parameters, "
        f"{len(source.activations)} activations; {accuracies}",
        f"ANN: {significant(source.dense_mac)} MAC in one dense pass; {energies}",
    ]


def _figures(comparison: Comparison, units: EnergyUnits) -> Iterator[ShownFigure]:
    source, steps = comparison.source, comparison.steps
    if not any(method.read() for method in comparison.methods):
        return
    accuracy = "Accuracy on test images (%)"
    by_step = Plot(
        "Accuracy against time steps",
        "Time steps T",
        accuracy,
        _curves(comparison, lambda one: one.time_steps, _test),
        steps,
        level=None if source.test is None else 100 * source.test,
    )
    caption = "Methods that share one network are read in one pass; † marks a reconstruction."
    yield _shown("accuracy", by_step.title, draw_curves(by_step), caption)
    for index, profile in enumerate(comparison.hardware):
        known = [
            value
            for method in comparison.methods
            for one in method.read()
            if (value := one.energy_pj.get(profile)) is not None
        ]
        if not known:
            continue
        unit, size = units.choose(max(known))
        ann_pj = source.energy_pj.get(profile)
        by_energy = Plot(
            f"Accuracy against energy, {profile}",
            f"Energy per inference on {profile} ({unit})",
            accuracy,
            _curves(comparison, _energy(profile, size), _test),
            mark=None
            if ann_pj is None or source.test is None
            else (ann_pj / size, 100 * source.test),
        )
        caption = "A line a method, a point a T, in ascending order of T. The star is the ANN."
        figure = draw_curves(by_energy)
        yield ShownFigure(
            f"energy-{index}", f"energy-{profile}", by_energy.title, figure, caption, _KINDS
        )
    spikes = Plot(
        "Spikes per neuron against time steps",
        "Time steps T",
        "Spikes per neuron and inference",
        _curves(comparison, lambda one: one.time_steps, lambda one: one.spikes_per_neuron),
        steps,
    )
    caption = "Of the neurons in the place of activations; those that code the data are left out."
    yield _shown("spikes", spikes.title, draw_curves(spikes), caption)
    time_steps = tables.typical_step(steps)
    panels = [
        Panel(method.label, one.layers)
        for method in comparison.methods
        for one in method.read()
        if one.time_steps == time_steps
    ]
    if panels:
        title = f"What layers miss of the activations, T = {time_steps}"
        caption = (
            "Root mean square over neurons and images, as a share of that of the activations. "
            "Parts may cancel, so they do not add up here; for every neuron they do. The same at "
            "each T stands in errors.csv."
        )
        yield _shown("errors", title, draw_errors(panels, title), caption)


def _shown(key: str, title: str, figure: Figure, caption: str) -> ShownFigure:
    return ShownFigure(key, key, title, figure, caption, _KINDS)


def _curves(
    comparison: Comparison,
    x: Callable[[Reading], float | None],
    y: Callable[[Reading], float | None],
) -> tuple[Curve, ...]:
    curves = []
    for place, method in enumerate(comparison.methods):
        pairs = ((x(one), y(one)) for one in method.read())
        points = tuple((a, b) for a, b in pairs if a is not None and b is not None)
        if points:
            curves.append(Curve(method.label, place, points))
    return tuple(curves)


def _test(one: Reading) -> float | None:
    return None if one.test is None else 100 * one.test


def _energy(profile: str, size: float) -> Callable[[Reading], float | None]:
    def of(one: Reading) -> float | None:
        value = one.energy_pj.get(profile)
        return None if value is None else value / size

    return of


def _render(comparison: Comparison, figures: list[dict[str, object]], units: EnergyUnits) -> str:
    time_steps = tables.typical_step(comparison.steps)
    return template("conversion.html.j2").render(
        comparison=comparison,
        source=source_lines(comparison, units),
        facts=_facts(comparison),
        figures=figures,
        sheets=[
            tables.verdict_sheet(comparison),
            tables.accuracy_sheet(comparison),
            *(tables.energy_sheet(comparison, name, units) for name in comparison.hardware),
        ],
        dashes=list(tables.dashes(comparison)),
        problems=list(comparison.problems()),
        legend=tables.LEGEND,
        methods=[
            (
                tables.readings_sheet(comparison, method, units),
                _errors(comparison, method, time_steps),
            )
            for method in comparison.methods
            if method.read()
        ],
        method_notes=list(tables.method_notes(comparison)),
        reading_notes=tables.reading_notes(comparison),
    )


def _errors(comparison: Comparison, method: MethodReadings, time_steps: int) -> tables.Sheet | None:
    has_layers = any(one.time_steps == time_steps and one.layers for one in method.readings)
    return tables.errors_sheet(method, time_steps) if has_layers else None


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    samples = comparison.samples
    words = ("training", "validation", "test")
    return [
        ("Data", comparison.data),
        ("Images", ", ".join(f"{samples[one]:,} {one}" for one in words)),
        ("Calibrated on", f"{samples['calibration']:,} training images"),
        ("Operations and errors on", f"{samples['counted']:,} validation images"),
        ("Time steps", ", ".join(map(str, comparison.steps))),
        ("Hardware profiles", ", ".join(comparison.hardware)),
        *comparison.settings.items(),
    ]


def _percent(value: float | None, comparison: Comparison, part: str) -> str:
    return NOTHING if value is None else format_percent(value, comparison.samples.get(part))
