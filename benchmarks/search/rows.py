"""Rows: every point of a run, one line of a CSV file, with the second at which it was known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

import numpy as np

from benchmarks.search.problems import PROFILE
from reports.pareto import Floats, non_dominated
from reports.record import TrialRecord


@dataclass(frozen=True, slots=True)
class About:
    """What all rows of a run have in common. knobs : those that are told"""

    problem: str
    method: str
    seed: int
    knobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A point, or a training that gave none.

    point : `17`, or `17.3` for the third point read from training 17
    cpu_s : processor seconds of the run when the point was known
    accuracy : on validation        test_accuracy : empty for a point that no front ever held
    energy_pj, latency_steps : counted on validation images
    unit_s : how fast the machine was just then, see `clock.Unit`
    knobs : those of the space, as JSON
    """

    problem: str
    method: str
    seed: int
    point: str
    state: str
    cpu_s: float
    accuracy: float | None
    energy_pj: float | None
    latency_steps: int | None
    test_accuracy: float | None
    unit_s: float
    knobs: str

    @classmethod
    def of(cls, record: TrialRecord, about: About, cpu_s: float, unit_s: float) -> Row:
        """A record as a row."""
        known = record.design.get("knobs", {})
        return cls(
            problem=about.problem,
            method=about.method,
            seed=about.seed,
            point=record.name,
            state=record.state,
            cpu_s=round(cpu_s, 4),
            accuracy=record.accuracy,
            energy_pj=record.energy_pj(PROFILE),
            latency_steps=record.metrics.get("latency_steps"),
            test_accuracy=record.test_accuracy,
            unit_s=round(unit_s, 5),
            knobs=json.dumps({name: known[name] for name in about.knobs if name in known}),
        )

    @property
    def costs(self) -> tuple[float, float, float]:
        """Error on validation, energy, latency: all to be small; NaN where there is none."""
        known = (self.accuracy, self.energy_pj, self.latency_steps)
        error, energy_pj, steps = (np.nan if value is None else float(value) for value in known)
        return 1 - error, energy_pj, steps


class Front:
    """The points that were best, on validation, when they came."""

    def __init__(self) -> None:
        self._costs: Floats = np.empty((0, 3))

    def newcomers(self, costs: Sequence[tuple[float, float, float]]) -> list[bool]:
        """Which of these nothing that is known so far dominates; they are known from now on."""
        together = np.vstack([self._costs, np.array(costs, dtype=np.float64).reshape(-1, 3)])
        kept = non_dominated(together, ("min", "min", "min"))
        news = kept[len(self._costs) :]
        self._costs = together[kept]
        return [bool(one) for one in news]


class Sheet:
    """The CSV file of a run under way."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        self._writer.writeheader()

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows, so that a run that is stopped can be looked at."""
        self._writer.writerows(asdict(row) for row in rows)
        self._file.flush()


@contextmanager
def sheet(path: Path) -> Iterator[Sheet]:
    """A new CSV file, which bears its name only when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        yield Sheet(file)
    part.replace(path)


def read(path: Path) -> list[Row]:
    """The rows of a file, in the order in which their points were known."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                problem=row["problem"],
                method=row["method"],
                seed=int(row["seed"]),
                point=row["point"],
                state=row["state"],
                cpu_s=float(row["cpu_s"]),
                accuracy=_number(row["accuracy"]),
                energy_pj=_number(row["energy_pj"]),
                latency_steps=int(row["latency_steps"]) if row["latency_steps"] else None,
                test_accuracy=_number(row["test_accuracy"]),
                unit_s=float(row["unit_s"]),
                knobs=row["knobs"],
            )
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float | None:
    return float(text) if text else None
