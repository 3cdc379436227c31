"""Records as tidy data frames: trials, the front, energy by layer. The pandas door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from reports.families import WORK, Family, Mean
from reports.pareto import Objective
from reports.points import ENERGY, KNOB, LayersOfPoints, Scalar, columns, flat, front
from reports.record import Key, TrialRecord


def trials_frame(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    commands: Mapping[Key, str] | None = None,
    front_probability: Mapping[Key, float] | None = None,
) -> pd.DataFrame:
    """One row a record, in order of its key; units stand in the column names.

    `on_front` says who is not dominated; `command` makes the point again. Empty = unknown.
    front_probability : key -> probability, a column of its own; None leaves the column out
    """
    chosen = {record.key for record in front(records, objectives)}
    shares = front_probability or {}
    added = () if front_probability is None else ("front_probability",)
    rows: list[dict[str, Scalar]] = [
        {
            **flat(record),
            "on_front": record.key in chosen,
            "front_probability": shares.get(record.key),
            "command": (commands or {}).get(record.key),
        }
        for record in sorted(records, key=lambda record: record.key)
    ]
    return frame(rows, (*columns(records), "on_front", *added, "command"))


def pareto_frame(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    commands: Mapping[Key, str] | None = None,
    front_probability: Mapping[Key, float] | None = None,
) -> pd.DataFrame:
    """The rows of the front, the best of the first objective first; columns of the trials."""
    trials = trials_frame(records, objectives, commands, front_probability)
    places = {key: place for place, key in enumerate(sorted(record.key for record in records))}
    ordered = trials.iloc[[places[record.key] for record in front(records, objectives)]]
    return ordered.drop(columns="on_front").reset_index(drop=True)


def layers_frame(layers: LayersOfPoints) -> pd.DataFrame:
    """One row a point, profile, layer and component: number, reading, profile, ..., energy_pj."""
    rows: list[dict[str, Scalar]] = [
        {
            "number": number,
            "reading": reading or None,
            "profile": profile,
            "layer": row["layer"],
            "component": row["component"],
            "energy_pj": row["energy_pj"],
        }
        for (number, reading), profiles in layers.items()
        for profile, parts in profiles.items()
        for row in parts
    ]
    return frame(rows, ("number", "reading", "profile", "layer", "component", "energy_pj"))


def families_frame(rows: Sequence[Family]) -> pd.DataFrame:
    """One row a design: means over seeds, `..._sd` their sample standard deviations."""
    cells = [_family(row) for row in rows]
    return frame(cells, tuple(dict.fromkeys(_names(cells))))


def _family(row: Family) -> dict[str, Scalar]:
    means: dict[str, Mean | None] = {
        "test_accuracy": row.test,
        "validation_accuracy": row.validation,
        **{name: row.work[name] for name in WORK},
        **{f"{ENERGY}{profile}": mean for profile, mean in row.energy_pj.items()},
        "train_s": row.train_s,
    }
    cells: dict[str, Scalar] = {
        "variant": row.variant,
        "selected": row.is_selected,
        "seeds": len(row.numbers),
        "unfinished": row.unfinished,
        "numbers": " ".join(map(str, row.numbers)),
        **{f"{KNOB}{name}": value for name, value in row.knobs.items()},
    }
    return {**cells, **with_spreads(means), "energy_ratio": row.ratio}


def with_spreads(means: Mapping[str, Mean | None]) -> dict[str, Scalar]:
    """Each mean under its name, its sample standard deviation under `NAME_sd`."""
    cells: dict[str, Scalar] = {}
    for name, mean in means.items():
        cells[name] = None if mean is None else mean.value
        cells[f"{name}_sd"] = None if mean is None else mean.sd
    return cells


def _names(rows: Sequence[Mapping[str, Scalar]]) -> list[str]:
    """All columns, knobs of every family before what was measured."""
    names = [name for row in rows for name in row]
    before = ["variant", "selected", "seeds", "unfinished", "numbers"]
    return [*before, *(name for name in names if name.startswith(KNOB)), *names]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """The same bytes for the same frame: UTF-8, comma, LF, shortest exact decimals."""
    frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def frame(rows: Sequence[Mapping[str, Scalar]], names: Sequence[str]) -> pd.DataFrame:
    """Rows with these columns, each of the type of its values; what a row lacks is empty."""
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pd.DataFrame(
        {name: pd.Series(values, dtype=_dtype(values)) for name, values in columns.items()}
    )


def _dtype(values: Sequence[Scalar]) -> str:
    """A nullable type, so that integers with gaps stay integers; object for a mixture."""
    kinds = {type(value) for value in values if value is not None}
    for allowed, dtype in (
        ({bool}, "boolean"),
        ({int}, "Int64"),
        ({int, float}, "Float64"),
        ({str}, "string"),
    ):
        if kinds and kinds <= allowed:
            return dtype
    return "object"
