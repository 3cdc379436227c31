"""Figures of a comparison of converted networks: curves against T or energy, errors by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.conversion import PARTS, LayerError
from reports.figures import COLOURS, MARKERS, STYLE, WIDTH_INCH, canvas, log_ticks

_LINES = ("-", "--", ":")
_TICKS = 8
_COLUMNS = 3  # of panels
_NARROWEST = 1.6  # decades or octaves of a logarithmic axis are not drawn below this ratio


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of points.

    place : among all methods, it decides colour, mark and dashes
    spread : how far a band reaches to either side of each point; empty for no band
    """

    label: str
    place: int
    points: tuple[tuple[float, float], ...]
    spread: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over a logarithmic axis.

    steps : T read, the ticks of an axis of time; empty for an axis of energy
    level : of the ANN, a line across      mark : of the ANN, a star      ann : what it is called
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    steps: tuple[int, ...] = ()
    level: float | None = None
    mark: tuple[float, float] | None = None
    ann: str = "ANN"


@dataclass(frozen=True, slots=True)
class Panel:
    """Errors of the layers of a method."""

    label: str
    layers: tuple[LayerError, ...]


def draw_curves(plot: Plot, notes: Sequence[str] = ()) -> Figure:
    """Points joined in their order, a line a method."""
    with mpl.rc_context(STYLE):
        rows = math.ceil((len(plot.curves) + 1) / 4)
        figure, panel, axes = canvas(3.4 + 0.2 * rows, plot.title, notes)
        axes.grid(True, which="major")
        if plot.level is not None:
            axes.axhline(plot.level, color="black", lw=0.9, ls=(0, (5, 2)), label=plot.ann)
        if plot.mark is not None:
            style: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "ms": 11}
            axes.plot(*plot.mark, "*", label=plot.ann, zorder=5, **style)
        for curve in plot.curves:
            places = tuple(zip(*curve.points, strict=True)) or ((), ())
            axes.plot(*places, label=curve.label, **_line(curve.place))
            if curve.spread:
                _band(axes, curve)
        _x_axis(axes, plot)
        axes.set(xlabel=plot.x_label, ylabel=plot.y_label)
        panel.legend(loc="outside lower center", ncols=4)
        return figure


def draw_errors(panels: Sequence[Panel], title: str, notes: Sequence[str] = ()) -> Figure:
    """A panel a method: root mean square of each part of the error, layer after layer."""
    with mpl.rc_context(STYLE):
        columns = min(_COLUMNS, len(panels))
        rows = math.ceil(len(panels) / columns)
        figure = Figure(figsize=(WIDTH_INCH, 0.9 + 1.7 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        figure.suptitle(title, fontsize=10, fontweight="bold", x=0.012, ha="left")
        for axes, panel in zip(grid.flat, panels, strict=False):
            _errors(axes, panel)
        grid[0, 0].set_ylim(bottom=0)  # of all of them, which share it
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("rms error / activation", fontsize=8)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
        return figure


def _band(axes: Axes, curve: Curve) -> None:
    x, y = zip(*curve.points, strict=True)
    low = [value - sd for value, sd in zip(y, curve.spread, strict=True)]
    high = [value + sd for value, sd in zip(y, curve.spread, strict=True)]
    axes.fill_between(x, low, high, color=_line(curve.place)["color"], alpha=0.15, lw=0)


def _errors(axes: Axes, panel: Panel) -> None:
    axes.grid(True)
    places = range(1, len(panel.layers) + 1)
    for index, part in enumerate(("total", *PARTS)):
        heights = [_share(layer, part) for layer in panel.layers]
        style = _line(index) | ({"color": "black", "lw": 1.6} if part == "total" else {})
        axes.plot(places, heights, label="whole error" if part == "total" else part, **style)
    axes.set_title(panel.label, fontsize=8.5)
    axes.set_xlabel("layer of neurons", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _share(layer: LayerError, part: str) -> float:
    return layer.rms[part] / layer.activation_rms if layer.activation_rms else 0.0


def _line(place: int) -> dict[str, Any]:
    """Eight colours and marks, and then again with dashes."""
    turn, index = divmod(place, len(COLOURS))
    return {
        "color": COLOURS[index],
        "marker": MARKERS[(index + turn) % len(MARKERS)],
        "ls": _LINES[turn % len(_LINES)],
        "ms": 4,
        "lw": 1.2,
    }


def _x_axis(axes: Axes, plot: Plot) -> None:
    if plot.steps:
        axes.set_xscale("log", base=2)
        ticks = plot.steps
        if len(ticks) > _TICKS:
            ticks = tuple(t for t in ticks if t & (t - 1) == 0) or ticks[:: len(ticks) // _TICKS]
        axes.xaxis.set_major_locator(FixedLocator(list(map(float, ticks))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return
    values = [x for curve in plot.curves for x, _ in curve.points]
    values += [] if plot.mark is None else [plot.mark[0]]
    if values and min(values) > 0 and max(values) / min(values) > _NARROWEST:
        axes.set_xscale("log")
        log_ticks(axes.xaxis, max(values) / min(values))
