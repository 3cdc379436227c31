"""What each figure shows, computed before anything is drawn.

Values are already in the unit of their axis, positions already on their scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.errors import ReportDataError
from reports.pareto import (
    Floats,
    Goal,
    Objective,
    hypervolume_history,
    non_dominated,
    reference_point,
    restore,
    transform,
)
from reports.points import LayerRow, objective_values, on_front, variants_of
from reports.record import TrialRecord
from reports.text import EnergyUnits, format_value


@dataclass(frozen=True, slots=True)
class Axis:
    """label : with its unit      scale : what stored values are multiplied by"""

    label: str
    goal: Goal
    scale: float
    is_log: bool


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A complete point, or a baseline, in the units of the axes."""

    name: str
    variant: str
    x: float
    y: float
    is_on_front: bool


@dataclass(frozen=True, slots=True)
class FrontFacts:
    """Two objectives against each other.

    variants : all of the sweep, in its order: they decide colours and markers
    line : corners of the staircase that separates the dominated region
    not_drawn : complete points without a value for an axis
    """

    x_axis: Axis
    y_axis: Axis
    variants: tuple[str, ...]
    points: tuple[FrontPoint, ...]
    baselines: tuple[FrontPoint, ...]
    line: tuple[tuple[float, float], ...]
    not_drawn: int


@dataclass(frozen=True, slots=True)
class HistoryFacts:
    """Hypervolume after each trial.

    reference : the corner, as text, one entry an objective
    without_volume : complete points without a (logarithm of a) value for every objective
    """

    numbers: tuple[int, ...]
    volumes: tuple[float, ...]
    label: str
    reference: tuple[str, ...]
    without_volume: int


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """Energy of a point by layer and component.

    energy : (layers, components) in `unit`      total : with its unit
    shares : of the total, one a layer, 0 to 1
    """

    title: str
    layers: tuple[str, ...]
    components: tuple[str, ...]
    energy: Floats
    shares: tuple[float, ...]
    unit: str
    total: str


def axis_of(objective: Objective, values: Floats, units: EnergyUnits) -> Axis:
    """The axis of an objective: percent for fractions, a fitting prefix for energies."""
    unit, scale = objective.unit, 1.0
    if unit == "%":
        scale = 100.0
    elif unit == "pJ":
        seen = values[np.isfinite(values)]
        unit, size_pj = units.choose(float(np.median(seen)) if len(seen) else 0.0)
        scale = 1 / size_pj
    label = f"{objective.label} ({unit})" if unit else objective.label
    return Axis(label, objective.goal, scale, objective.log)


def front_facts(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    units: EnergyUnits,
    *,
    variants: Sequence[str] = (),
    baselines: Mapping[str, Mapping[str, float | None]] | None = None,
) -> FrontFacts:
    """The second objective along x, the first along y.

    With more than two objectives, points of the whole front stay in full colour, while the line
    is the front of the two that are drawn.
    baselines : name -> column of the trials table -> value, stored units
    """
    if len(objectives) < 2:
        raise ReportDataError("front figure: two objectives are needed, one is given")
    values = objective_values(records, objectives)
    is_on_front = on_front(values, objectives)
    y_axis, x_axis = (axis_of(objectives[i], values[:, i], units) for i in (0, 1))
    points = tuple(
        FrontPoint(
            record.name, record.variant, x * x_axis.scale, y * y_axis.scale, bool(is_on_front[i])
        )
        for i, (record, (y, x)) in enumerate(zip(records, values[:, :2], strict=True))
        if _can_draw(x, x_axis) and _can_draw(y, y_axis)
    )
    complete = sum(record.state == "complete" for record in records)
    return FrontFacts(
        x_axis,
        y_axis,
        variants_of(records, variants),
        points,
        _baselines(baselines or {}, objectives, x_axis, y_axis),
        _staircase(points, x_axis.goal, y_axis.goal),
        complete - len(points),
    )


def history_facts(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], units: EnergyUnits
) -> HistoryFacts:
    """Hypervolume in order of the trial's number; a trial without values adds nothing.

    Raises ReportDataError if no complete point has a value for every objective.
    """
    ordered = sorted(records, key=lambda record: record.key)
    stored = objective_values(ordered, objectives)
    taken, goals = transform(stored, objectives), [o.goal for o in objectives]
    corner = reference_point(taken, goals)
    complete = sum(record.state == "complete" for record in ordered)
    return HistoryFacts(
        numbers=tuple(record.number for record in ordered),
        volumes=tuple(float(v) for v in hypervolume_history(taken, goals, corner)),
        label=" × ".join(f"log₁₀ {o.label}" if o.log else o.label for o in objectives),
        reference=tuple(
            f"{o.label} {format_value(float(c), o.unit, units)}"
            for o, c in zip(objectives, restore(corner[None], objectives)[0], strict=True)
        ),
        without_volume=complete - int(np.isfinite(taken).all(axis=1).sum()),
    )


def layer_facts(
    title: str,
    rows: Sequence[LayerRow],
    units: EnergyUnits,
    *,
    components: Sequence[str] = (),
) -> LayerFacts:
    """Layers and components in the order in which they first appear; equal names add up.

    components : an order shared by several figures, so that a colour means the same in each
    """
    layers = tuple(dict.fromkeys(row["layer"] for row in rows))
    kinds = tuple(dict.fromkeys([*components, *(row["component"] for row in rows)]))
    energy_pj = np.zeros((len(layers), len(kinds)))
    for row in rows:
        energy_pj[layers.index(row["layer"]), kinds.index(row["component"])] += row["energy_pj"]
    by_layer = energy_pj.sum(axis=1)
    total_pj = math.fsum(by_layer)
    unit, size_pj = units.choose(float(by_layer.max(initial=0.0)))
    return LayerFacts(
        title,
        layers,
        kinds,
        energy_pj / size_pj,
        tuple(float(e / total_pj) if total_pj else 0.0 for e in by_layer),
        unit,
        units.format(total_pj),
    )


def _can_draw(value: float, axis: Axis) -> bool:
    return math.isfinite(value) and not (axis.is_log and value <= 0)


def _baselines(
    baselines: Mapping[str, Mapping[str, float | None]],
    objectives: Sequence[Objective],
    x_axis: Axis,
    y_axis: Axis,
) -> tuple[FrontPoint, ...]:
    drawn = []
    for name, values in baselines.items():
        y, x = (values.get(objective.name) for objective in objectives[:2])
        if x is not None and y is not None and _can_draw(x, x_axis) and _can_draw(y, y_axis):
            drawn.append(FrontPoint(name, "", x * x_axis.scale, y * y_axis.scale, False))
    return tuple(drawn)


def _staircase(
    points: Sequence[FrontPoint], x_goal: Goal, y_goal: Goal
) -> tuple[tuple[float, float], ...]:
    """From the best x along the front to the best y, then on to the worst x seen."""
    if not points:
        return ()
    values = np.array([(point.x, point.y) for point in points])
    kept = values[non_dominated(values, [x_goal, y_goal])]
    from_best_x = sorted({(x, y) for x, y in kept.tolist()}, reverse=x_goal == "max")
    corners = [from_best_x[0]]
    for x, y in from_best_x[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    worst = float(values[:, 0].min() if x_goal == "max" else values[:, 0].max())
    return (*corners, (worst, corners[-1][1]))
