"""Referee: holds what a run folder and its study say at the end against what the workers did."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search.truth import Start, Truth

MOST_STALLED_S = 2.0
# what may lie in a run folder when nobody works there
_LEFTOVERS = ("**/.*.tmp", "**/checkpoint*", "**/*.lock.rename*")


@dataclass(frozen=True, slots=True)
class Planned:
    """What a round was asked for.

    trials : trainings in all      steps : of the optimiser in one training, in one epoch
    """

    trials: int
    steps: int
    epoch_steps: int
    profile: str = "cmos45-fp32"


def faults(folder: Path, url: str | None, planned: Planned, truth: Truth, kills: int) -> list[str]:
    """Everything that is not as it must be after a round; a line each.

    url : of the storage, None for the journal in the run folder
    kills : workers that were killed
    """
    lines = (folder / "records.jsonl").read_bytes().split(b"\n")
    rows = [json.loads(line) for line in lines[:-1]]
    trials = _trials(folder, url)
    return [
        *(["records.jsonl does not end with a line feed"] if lines[-1] else []),
        *_missing(rows, truth),
        *_miscounted(rows, planned),
        *_steps(planned, truth, kills, given_up(folder)),
        *_zombies(trials),
        *_disagreements(rows, trials, planned),
        *_leftovers(folder),
    ]


def stalls(starts: tuple[Start, ...]) -> list[str]:
    """Processes that were held up on their way to their first trial."""
    return [
        f"process {one.pid} was held up for {one.stall_s:.1f} s before its first step"
        for one in starts
        if one.stall_s > MOST_STALLED_S
    ]


def given_up(folder: Path) -> int:
    """How many trials failed because they took one worker after the other with them."""
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    return sum(_is_given_up(json.loads(line)) for line in lines)


def lost_steps(planned: Planned, truth: Truth, given_up: int) -> int:
    """Steps that were done in vain."""
    return truth.steps - (planned.trials - given_up) * planned.steps


def _is_given_up(row: Mapping[str, Any]) -> bool:
    return row["state"] == "failed" and "were killed while they trained it" in row["reason"]


def _missing(rows: list[dict[str, Any]], truth: Truth) -> Iterator[str]:
    """Records that were acknowledged and are gone, or are no longer what they were."""
    kept = {_key(row): _untested(row) for row in rows}
    for record in truth.records:
        found = kept.get(_key(record))
        if found is None:
            yield f"trial {_key(record)} was finished and is lost"
        elif found != _untested(record):
            yield f"trial {_key(record)} was finished and is another one now"


def _miscounted(rows: list[dict[str, Any]], planned: Planned) -> Iterator[str]:
    numbers = sorted(row["number"] for row in rows if row.get("reading") is None)
    if numbers != list(range(planned.trials)):
        yield f"{len(numbers)} trainings, not {planned.trials}: {numbers}"
    for row in rows:
        if row["state"] != "complete" and not _is_given_up(row):
            yield f"trial {row['number']} is {row['state']}: {row['reason']}"


def _steps(planned: Planned, truth: Truth, kills: int, given_up: int) -> Iterator[str]:
    lost = lost_steps(planned, truth, given_up)
    if lost > kills * planned.epoch_steps + given_up * planned.steps:
        yield f"{lost} steps were lost to {kills} kills, more than an epoch each"
    if lost < 0:
        yield f"{-lost} steps were never done"


def _zombies(trials: list[FrozenTrial]) -> Iterator[str]:
    for trial in trials:
        if not trial.state.is_finished():
            yield f"trial {trial.number} of the study is {trial.state.name} for ever"


def _disagreements(
    rows: list[dict[str, Any]], trials: list[FrozenTrial], planned: Planned
) -> Iterator[str]:
    """Trials of the study that say something else than their records."""
    complete = {t.user_attrs.get("number"): t for t in trials if t.state is TrialState.COMPLETE}
    told = sum(trial.state is TrialState.COMPLETE for trial in trials)
    trained = [row for row in rows if row["state"] == "complete" and row.get("reading") is None]
    if told != len(trained):
        yield f"{told} trials of the study are complete, and {len(trained)} records"
    for row in trained:
        trial = complete.get(row["number"])
        energy = row["energy"][planned.profile]["total_pj"]
        values = [row["metrics"]["validation"]["accuracy"], energy]
        if trial is None or trial.values != values:
            found = None if trial is None else trial.values
            yield f"trial {row['number']}: the study says {found}, its record {values}"


def _leftovers(folder: Path) -> Iterator[str]:
    for pattern in _LEFTOVERS:
        for path in folder.glob(pattern):
            yield f"{path.relative_to(folder)} was left behind"
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield f"{path.relative_to(folder)} is locked still"


def _trials(folder: Path, url: str | None) -> list[FrozenTrial]:
    identity = json.loads((folder / "settings.json").read_text(encoding="utf-8"))["id"]
    if url is None:
        journal = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
        return _only_study(journal, identity).trials
    database = RDBStorage(url)
    try:
        return _only_study(database, identity).trials
    finally:
        database.remove_session()
        database.engine.dispose()


def _only_study(storage: BaseStorage, identity: str) -> optuna.Study:
    names = [s.study_name for s in storage.get_all_studies() if identity in s.study_name]
    if len(names) != 1:
        raise ValueError(f"run {identity}: it must have one study, and has {names}")
    return optuna.load_study(study_name=names[0], storage=storage)


def _key(row: Mapping[str, Any]) -> str:
    reading = row.get("reading")
    return str(row["number"]) if reading is None else f"{row['number']}.{reading}"


def _untested(row: Mapping[str, Any]) -> str:
    """A record without its test accuracy, which is measured at the end."""
    metrics = {name: value for name, value in row["metrics"].items() if name != "test"}
    return json.dumps({**row, "metrics": metrics}, sort_keys=True)
