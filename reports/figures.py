"""Draw what the facts say, fit to print and readable in grey. The matplotlib door."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from reports.facts import Axis, FrontFacts, FrontPoint, HistoryFacts, LayerFacts
from reports.families import FamilyPoint
from reports.parallel import NOT_USED, ParallelFacts

# Okabe and Ito, Color Universal Design, 2008, without its yellow, which print loses
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#7f4f24",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "----", "++++", "oooo")

WIDTH_INCH = 7.0  # two columns of a journal page
_INK, _PALE, _GRID = "#22262b", "#b9c0c8", "#e4e7eb"
_CLOSEST = (0.035, 0.035)  # a name needs so much room, in parts of the axes

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,  # journals ask for TrueType
    "svg.fonttype": "none",  # text stays text: small, selectable, editable
    "svg.hashsalt": "dse",  # the same figure, the same bytes
    "text.parse_math": False,  # a name with a dollar sign is a name
}


def variant_style(variant: str, variants: Sequence[str]) -> tuple[str, str]:
    """Colour and marker of a variant: its place among all variants decides."""
    place = variants.index(variant)
    return COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]


def draw_front(facts: FrontFacts, *, title: str, notes: Sequence[str] = ()) -> Figure:
    """The front as a staircase through full-coloured points, dominated points pale."""
    with mpl.rc_context(STYLE):
        figure, panel, axes = canvas(4.4, title, notes)
        axes.grid(True, which="major")
        axes.plot(*zip(*facts.line, strict=True), color=_INK, linewidth=1.1, zorder=2)
        for variant in facts.variants:
            _scatter(axes, facts, variant)
        for baseline in facts.baselines:
            axes.plot(baseline.x, baseline.y, "*", color="white", markeredgecolor=_INK, ms=10)
        _scale(axes, facts)
        _name_points(axes, facts)
        panel.legend(handles=_front_legend(facts), loc="outside lower center", ncols=4)
        return figure


def draw_families(
    points: Sequence[FamilyPoint],
    *,
    variants: Sequence[str],
    x_label: str,
    title: str,
    notes: Sequence[str] = (),
) -> Figure:
    """Test accuracy against energy, a mark a design; bars reach one standard deviation.

    The design that was selected of its family is full, the others are hollow.
    """
    with mpl.rc_context(STYLE):
        figure, panel, axes = canvas(3.8, title, notes)
        axes.grid(True, which="major")
        for point in points:
            colour, marker = variant_style(point.variant, variants)
            face = colour if point.is_selected else "white"
            style: dict[str, Any] = {"mfc": face, "ms": 6, "capsize": 2.5, "elinewidth": 0.9}
            style |= {"xerr": point.energy_sd or None, "yerr": point.accuracy_sd or None}
            place = point.energy, point.accuracy
            axes.errorbar(*place, fmt=marker, color=colour, **style)
            axes.annotate(point.name, place, (6, 5), textcoords="offset points", fontsize=7)
        ends = [p.energy + side * p.energy_sd for p in points for side in (-1, 0, 1)]
        if all(point.energy > 0 for point in points):
            low, high = _limits(Axis("", "min", 1.0, True), [end for end in ends if end > 0])
            axes.set(xscale="log")
            log_ticks(axes.xaxis, high / low)
            axes.set(xlim=(low, high))
        axes.set(xlabel=x_label, ylabel="Test accuracy (%)")
        present = {point.variant for point in points}
        handles = [_handle(variant, variants) for variant in variants if variant in present]
        panel.legend(handles=handles, loc="outside lower center", ncols=4)
        return figure


def draw_history(facts: HistoryFacts, *, title: str, notes: Sequence[str] = ()) -> Figure:
    """Hypervolume after each trial, as steps."""
    with mpl.rc_context(STYLE):
        figure, _, axes = canvas(2.9, title, notes)
        axes.grid(True)
        axes.step(facts.numbers, facts.volumes, where="post", color=COLOURS[0], linewidth=1.6)
        axes.plot(facts.numbers[-1], facts.volumes[-1], "o", color=COLOURS[0], ms=5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="Trial number", ylabel="Hypervolume", ylim=(0, None))
        return figure


def draw_parallel(facts: ParallelFacts, *, title: str, notes: Sequence[str] = ()) -> Figure:
    """One line a front point, one upright axis a knob or objective."""
    with mpl.rc_context(STYLE):
        figure, panel, axes = canvas(3.8, title, notes)
        for line in facts.lines:
            colour, marker = variant_style(line.variant, facts.variants)
            axes.plot(line.positions, color=colour, marker=marker, ms=5, alpha=0.85, lw=1.2)
        for place, axis in enumerate(facts.axes):
            axes.axvline(place, color=_INK, linewidth=0.7, zorder=1)
            for height, text in axis.ticks:
                _tick(axes, place, height, text)
        last = len(facts.axes) - 1
        names = [(line.positions[-1], f"#{line.name}") for line in facts.lines]
        for height, name in _apart(names, 0.05):
            axes.text(last + 0.06, height, name, fontsize=7.5, va="center")
        axes.set(xlim=(-0.35, last + 0.35), ylim=(NOT_USED - 0.08, 1.06))
        axes.set_xticks(
            range(len(facts.axes)), [_wrap(axis.label, 11) for axis in facts.axes], fontsize=7.5
        )
        axes.tick_params(length=0)
        axes.yaxis.set_visible(False)
        axes.spines[:].set_visible(False)
        present = {line.variant for line in facts.lines}
        handles = [_handle(v, facts.variants) for v in facts.variants if v in present]
        panel.legend(handles=handles, loc="outside lower center", ncols=4)
        return figure


def draw_layers(facts: LayerFacts, *, notes: Sequence[str] = ()) -> Figure:
    """Horizontal bars, the first layer on top, components stacked by colour and hatch."""
    with mpl.rc_context(STYLE):
        figure, panel, axes = canvas(1.5 + 0.3 * len(facts.layers), facts.title, notes)
        axes.grid(True, axis="x")
        heights = range(len(facts.layers))
        left = [0.0] * len(facts.layers)
        for place, component in enumerate(facts.components):
            widths = facts.energy[:, place].tolist()
            if any(widths):
                axes.barh(heights, widths, 0.68, left, label=component, **_fill(place))
                left = [a + b for a, b in zip(left, widths, strict=True)]
        for height, end, share in zip(heights, left, facts.shares, strict=True):
            axes.annotate(
                f"{100 * share:.0f} %" if share >= 0.005 or not share else "< 1 %",
                (end, height),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_yticks(heights, [_shorten(layer) for layer in facts.layers])
        axes.set(xlabel=f"Energy per inference ({facts.unit})", ylim=(len(left) - 0.4, -0.6))
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        handles = [
            Patch(label=component, **_fill(place))
            for place, component in enumerate(facts.components)
            if facts.energy[:, place].any()
        ]
        if handles:
            panel.legend(handles=handles, loc="outside lower center", ncols=5)
        return figure


def save(
    figure: Figure, folder: Path, name: str, kinds: Sequence[str] = ("svg", "png", "pdf")
) -> tuple[Path, ...]:
    """Write SVG, PNG (300 dpi) and PDF; the same figure gives the same bytes.

    Characters of the name that do not suit a file become dashes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.+-]+", "-", name)
    nothing: dict[str, dict[str, str | None]] = {
        "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
        "png": {"Software": None},
        "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    }
    paths = []
    with mpl.rc_context(STYLE):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # one layout for all
        for kind in kinds:
            paths.append(folder / f"{stem}.{kind}")
            figure.savefig(paths[-1], dpi=300, metadata=nothing[kind])
    return tuple(paths)


def inline_svg(svg: str, prefix: str) -> str:
    """A saved SVG as an element of a page: no prologue, and every id begins with the prefix."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<!--.*?-->", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{prefix}-', element)
    return re.sub(r'(url\(|href=")#', rf"\1#{prefix}-", element)


def canvas(
    height: float, title: str, notes: Sequence[str]
) -> tuple[Figure, Figure | SubFigure, Axes]:
    """A figure, the part of it that is drawn on, and its axes; notes stand below that part."""
    lines = [line for note in notes for line in _wrap(f"Note: {note}", 115).split("\n")]
    band = 0.14 * len(lines) + 0.06 if lines else 0.0
    figure = Figure(figsize=(WIDTH_INCH, height + band), layout="constrained")
    panel: Figure | SubFigure = figure
    if lines:
        halves: Any = figure.subfigures(2, 1, height_ratios=(height, band))
        panel, below = halves
        below.text(0.012, 1, "\n".join(lines), fontsize=7.5, va="top", style="italic")
    axes = panel.subplots()
    axes.set_title(title)
    return figure, panel, axes


def _scatter(axes: Axes, facts: FrontFacts, variant: str) -> None:
    colour, marker = variant_style(variant, facts.variants)
    for is_on_front, alpha, size in ((False, 0.35, 22), (True, 1.0, 44)):
        points = [p for p in facts.points if (p.variant, p.is_on_front) == (variant, is_on_front)]
        axes.scatter(
            [point.x for point in points],
            [point.y for point in points],
            s=size,
            c=colour,
            marker=marker,
            alpha=alpha,
            edgecolors="white" if is_on_front else "none",
            linewidths=0.6,
            zorder=4 if is_on_front else 3,
        )


def _scale(axes: Axes, facts: FrontFacts) -> None:
    drawn = (*facts.points, *facts.baselines)
    for axis, side, values in (
        (facts.x_axis, "x", [point.x for point in drawn]),
        (facts.y_axis, "y", [point.y for point in drawn]),
    ):
        getattr(axes, f"set_{side}label")(axis.label)
        low, high = _limits(axis, values)
        if axis.is_log:
            getattr(axes, f"set_{side}scale")("log")
            log_ticks(getattr(axes, f"{side}axis"), high / low)
        getattr(axes, f"set_{side}lim")(low, high)


def _limits(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if axis.is_log:
        factor = max((high / low) ** 0.08, 1.25)
        return low / factor, high * factor
    step = 0.08 * (high - low) or max(0.05 * abs(high), 0.5)
    return low - step, high + step


def log_ticks(axis: Any, ratio: float) -> None:
    if ratio < 5:
        axis.set_major_locator(MaxNLocator(5))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 1000 else (1,)))
    axis.set_minor_locator(NullLocator() if ratio < 1000 else LogLocator(subs="auto"))
    number: Callable[[float, int], str] = lambda value, _: f"{value:g}"  # noqa: E731
    axis.set_major_formatter(FuncFormatter(number))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def _name_points(axes: Axes, facts: FrontFacts) -> None:
    # towards the better corner, where no dominated point can be; baselines away from it
    right, up = facts.x_axis.goal == "max", facts.y_axis.goal == "max"
    to_axes = axes.transData + axes.transAxes.inverted()
    front = [point for point in facts.points if point.is_on_front]
    places = [tuple(to_axes.transform((point.x, point.y))) for point in front]
    for index, (point, place) in enumerate(zip(front, places, strict=True)):
        is_first_here = place not in places[:index]
        if is_first_here and not any(_is_in_the_way(place, p, right=right, up=up) for p in places):
            _label(axes, point, f"#{point.name}", (5 if right else -5, 4 if up else -4))
    for point in facts.baselines:
        x, _ = to_axes.transform((point.x, point.y))
        _label(axes, point, point.name, (5 if x < 0.7 else -5, -4 if up else 4))


def _is_in_the_way(
    place: tuple[float, float], other: tuple[float, float], *, right: bool, up: bool
) -> bool:
    """Whether a name beside one point would be read as that of another; parts of the axes."""
    if other == place:
        return False
    sideways = (other[0] - place[0]) * (1 if right else -1)
    upwards = (other[1] - place[1]) * (1 if up else -1)
    is_above = -_CLOSEST[0] < sideways < 2 * _CLOSEST[0] and 0 < upwards < 2 * _CLOSEST[1]
    is_under_the_name = 0 < sideways < 2 * _CLOSEST[0] and -_CLOSEST[1] / 2 < upwards <= 0
    return is_above or is_under_the_name


def _label(axes: Axes, point: FrontPoint, text: str, offset: tuple[float, float]) -> None:
    sideways, upwards = offset
    axes.annotate(
        text,
        (point.x, point.y),
        offset,
        textcoords="offset points",
        ha="left" if sideways > 0 else "right",
        va="bottom" if upwards > 0 else "top",
        fontsize=7.5,
    )


def _front_legend(facts: FrontFacts) -> list[Line2D]:
    present = {point.variant for point in facts.points}
    handles = [_handle(v, facts.variants) for v in facts.variants if v in present]
    handles.append(Line2D([], [], color=_INK, lw=1.1, label="Pareto front"))
    if any(not point.is_on_front for point in facts.points):
        handles.append(Line2D([], [], ls="", marker="o", color=_PALE, ms=5, label="dominated"))
    if facts.baselines:
        style: dict[str, Any] = {
            "ls": "",
            "marker": "*",
            "color": "white",
            "markeredgecolor": _INK,
            "ms": 10,
        }
        handles.append(Line2D([], [], label="baseline", **style))
    return handles


def _handle(variant: str, variants: Sequence[str]) -> Line2D:
    colour, marker = variant_style(variant, variants)
    return Line2D([], [], ls="", marker=marker, color=colour, ms=6, label=variant)


def _tick(axes: Axes, place: int, height: float, text: str) -> None:
    axes.plot(place, height, "_", color=_INK, ms=6, zorder=1)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    axes.text(
        place - 0.05, height, _shorten(text, 12), fontsize=7.5, ha="right", va="center", bbox=box
    )


def _apart(names: Sequence[tuple[float, str]], gap: float) -> list[tuple[float, str]]:
    moved: list[tuple[float, str]] = []
    for height, name in sorted(names):
        lowest = moved[-1][0] + gap if moved else height
        moved.append((max(height, lowest), name))
    return moved


def _fill(place: int) -> dict[str, Any]:
    colour, hatch = COLOURS[place % len(COLOURS)], HATCHES[place % len(HATCHES)]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.5}


def _wrap(text: str, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _shorten(text: str, length: int = 30) -> str:
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"
