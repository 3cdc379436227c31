"""The front in parallel coordinates: every knob that differs, then every objective."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports.pareto import Floats, Objective
from reports.points import Scalar, front, objective_values, variants_of
from reports.record import TrialRecord
from reports.text import EnergyUnits, format_knob, format_value, knob_items

NOT_USED = -0.14  # height of "not used", below the lowest value
CLOSEST = 0.07  # where values are at least so far apart, each is written
LOG_FROM = 8  # the ratio of highest and lowest from which an axis is logarithmic


@dataclass(frozen=True, slots=True)
class ParallelAxis:
    """ticks : (position, text), 0 at the bottom and 1 at the top"""

    label: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class ParallelLine:
    """A front point: its height on each axis."""

    name: str
    variant: str
    positions: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ParallelFacts:
    """The front across its knobs and objectives; objectives have their better end on top.

    constant : knobs that are the same all over the front, as text
    """

    variants: tuple[str, ...]
    axes: tuple[ParallelAxis, ...]
    lines: tuple[ParallelLine, ...]
    constant: tuple[str, ...]


Placed = tuple[ParallelAxis, list[float]]


def parallel_facts(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    units: EnergyUnits,
    *,
    variants: Sequence[str] = (),
) -> ParallelFacts:
    """Knobs of the front that differ, then the objectives; a knob may not apply to a variant."""
    points = front(records, objectives)
    values = objective_values(points, objectives)
    knobs = [dict(knob_items(point)) for point in points]
    names = list(dict.fromkeys(name for row in knobs for name in row))
    constant, placed = [], []
    for name in names:
        column = [row.get(name) for row in knobs]
        if len({format_knob(value) for value in column}) == 1:
            constant.append(f"{name} {format_knob(column[0])}")
        else:
            placed.append(_knob_axis(name, column))
    for index, objective in enumerate(objectives):
        placed.append(_objective_axis(objective, values[:, index], units))
    lines = tuple(
        ParallelLine(point.name, point.variant, tuple(column[i] for _, column in placed))
        for i, point in enumerate(points)
    )
    return ParallelFacts(
        variants_of(records, variants), tuple(axis for axis, _ in placed), lines, tuple(constant)
    )


def _knob_axis(name: str, values: Sequence[Scalar]) -> Placed:
    used = [value for value in values if value is not None]
    numbers = [float(v) for v in used if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(used):
        low, high = min(numbers), max(numbers)
        is_log = low > 0 and high / low >= LOG_FROM
        heights = [_height(number, low, high, is_log=is_log) for number in numbers]
        texts = [format_knob(value) for value in used]
        ticks = dict(zip(texts, heights, strict=True))
        if _closest(ticks.values()) < CLOSEST:
            between = float(f"{_between(low, high, is_log=is_log):.2g}")
            ticks = {
                format_knob(number): _height(number, low, high, is_log=is_log)
                for number in (low, between, high)
            }
    else:
        words = sorted({format_knob(value) for value in used})
        ticks = {word: place / max(1, len(words) - 1) for place, word in enumerate(words)}
        heights = [ticks[format_knob(value)] for value in used]
    found = iter(heights)
    positions = [NOT_USED if value is None else next(found) for value in values]
    if NOT_USED in positions:
        ticks = {"not used": NOT_USED, **ticks}
    return ParallelAxis(
        name.replace("_", " "), tuple((height, text) for text, height in ticks.items())
    ), positions


def _objective_axis(objective: Objective, values: Floats, units: EnergyUnits) -> Placed:
    low, high = float(values.min()), float(values.max())
    is_log = objective.log and low > 0
    bottom, top = (low, high) if objective.goal == "max" else (high, low)
    ticks = {
        format_value(value, objective.unit, units): _height(value, bottom, top, is_log=is_log)
        for value in (bottom, _between(bottom, top, is_log=is_log), top)
    }
    axis = ParallelAxis(objective.label, tuple((height, text) for text, height in ticks.items()))
    return axis, [_height(value, bottom, top, is_log=is_log) for value in values.tolist()]


def _height(value: float, bottom: float, top: float, *, is_log: bool) -> float:
    if bottom == top:
        return 0.5
    if is_log:
        value, bottom, top = math.log(value), math.log(bottom), math.log(top)
    return (value - bottom) / (top - bottom)


def _between(bottom: float, top: float, *, is_log: bool) -> float:
    return math.sqrt(bottom * top) if is_log else (bottom + top) / 2


def _closest(heights: Iterable[float]) -> float:
    ordered = sorted(heights)
    return min((b - a for a, b in pairwise(ordered)), default=1.0)
