"""TrialRecord: the sheet that passes from the engine to the report, one JSON line a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from reports.errors import RecordError

SCHEMA = 1

Key = tuple[int, int]
"""Number of a training, and of the point read from it (0: itself)."""

Point = Literal["trained", "read", "fine-tuned"]
State = Literal["complete", "stopped", "failed", "refused"]
STATES: tuple[str, ...] = ("complete", "stopped", "failed", "refused")


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One point of a sweep: what was tried, how it was measured, and what came out.

    number : of the training, ours, from 0; it stays with the trial over restarts
    parent : number of the training whose weights were read, None for a training of its own; a
        point with a parent bears its number
    reading : which of the points of that training, from 1; None for the training itself
    state : `complete`, `stopped` (early), `failed` (see reason) or `refused` (before training)
    design : {"variant", "architecture", "knobs": {name: value}}
    metrics : {"validation": {"accuracy", "samples"} | None, "test": the same | None,
        "latency_steps", "parameters", "spikes" (per sample), "epochs" (of a stopped training)}; a
        part that does not exist is absent; "values" {name: value} are what another tool measured
    energy : profile -> {"total_pj": x | None, "complete", "missing": [..], "partial_pj"}
    counts_file : path of the count document, relative to the run folder
    times : {"started": ISO 8601, "train_s", "evaluate_s", "count_s", "total_s"}
    worker : name of the process that made it, HOST-INDEX
    computed : what decides the last digits of a training: {"products": who multiplied matrices,
        "neurons": which build of the neuron kernel}; empty where nothing was trained
    notes : what must stand beside every figure of this record (approximate data, assumptions)
    """

    number: int
    state: State
    variant: str
    design: Mapping[str, Any]
    seed: int
    parent: int | None = None
    reading: int | None = None
    point: Point = "trained"
    reason: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    energy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counts_file: str | None = None
    times: Mapping[str, Any] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    worker: str | None = None
    optuna_number: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`17` for a training, `17.3` for a point read from it, as it is written after `RUN#`."""
        return str(self.number) if self.reading is None else f"{self.number}.{self.reading}"

    @property
    def key(self) -> Key:
        """What no other record of the run has, in the order of the table."""
        return self.number, self.reading or 0

    @property
    def is_confirmation(self) -> bool:
        """Whether it was made to confirm another point: fine-tuned, or trained by itself."""
        return self.parent is not None and self.point != "read"

    @property
    def own_notes(self) -> tuple[str, ...]:
        """Notes on this point alone, by what made it of a trained network: its family comes first.

        Others hold for more: for the data, for how it was trained.
        """
        return tuple(note for note in self.notes if note.startswith(f"{self.variant}: "))

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy, 0 to 1."""
        return _accuracy(self.metrics.get("validation"))

    @property
    def test_accuracy(self) -> float | None:
        """Test accuracy, 0 to 1; None unless the point was chosen for the report."""
        return _accuracy(self.metrics.get("test"))

    def energy_pj(self, profile: str) -> float | None:
        """Total energy per sample on a profile; None if unknown or incomplete."""
        row = self.energy.get(profile)
        return None if row is None else row["total_pj"]

    def to_dict(self) -> dict[str, Any]:
        """One line of `records.jsonl`."""
        return {"schema": SCHEMA, **asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> TrialRecord:
        """Read one line of `records.jsonl`.

        Raises RecordError if it is of another schema, or if a field is missing or unknown.
        """
        if not isinstance(row, Mapping):
            raise RecordError(f"trial record: it is {type(row).__name__}; it must be an object")
        schema = row.get("schema")
        if schema != SCHEMA:
            raise RecordError(f"trial record: schema is {schema!r}; this version reads {SCHEMA}")
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(row) - known - {"schema"})
        missing = sorted({"number", "state", "variant", "design", "seed"} - set(row))
        if unknown or missing:
            raise RecordError(
                f"trial record {row.get('number')}: unknown fields {unknown}, missing {missing}"
            )
        if row["state"] not in STATES:
            raise RecordError(
                f"trial record {row['number']}: state is {row['state']!r}; "
                f"it must be one of {', '.join(STATES)}"
            )
        values = {name: row[name] for name in known if name in row}
        return cls(**{**values, "notes": tuple(values.get("notes", ()))})


def _accuracy(part: Mapping[str, Any] | None) -> float | None:
    return None if part is None else float(part["accuracy"])
