"""Warm start: points of earlier runs, which the sampler is told before the first trial.

They are copied into the run folder when the run begins, so that what is proposed later does not
depend on what becomes of the earlier runs. They count neither as trials nor for the front.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from dse import sweepfile
from dse.config import SweepConfig
from dse.design import Design
from dse.errors import RunFolderError, TargetError
from dse.pricing import price
from dse.runfolder import RunFolder
from dse.safefile import write_atomically
from dse.space import Space
from reports.errors import RecordError
from reports.record import TrialRecord


def gather(config: SweepConfig, space: Space) -> tuple[list[TrialRecord], list[str]]:
    """The points that fit the space, numbered anew, and a line for each run about what was taken.

    A run that was priced on other profiles has its counts priced again.
    Raises TargetError if there is no such run.
    """
    found: list[TrialRecord] = []
    told: list[str] = []
    for folder in sources(config):
        records = [record for record in folder.records() if record.state == "complete"]
        trainings = [
            record
            for record in records
            if record.reading is None
            and space.parameters(Design.from_dict(record.design)) is not None
        ]
        first = sum(record.reading is None for record in found)
        new = {record.number: number for number, record in enumerate(trainings, first)}
        taken = [
            replace(
                record,
                number=new[record.number],
                parent=None if record.parent is None else new[record.number],
                energy=_energy(record, folder, config),
            )
            for record in records
            if record.number in new
        ]
        found += taken
        all_trainings = sum(record.reading is None for record in records)
        told.append(
            f"warm start: {len(trainings)} of {all_trainings} trainings of {folder.path} are "
            f"designs of this space{_differences(folder, config)}"
        )
    return found, told


def sources(config: SweepConfig) -> list[RunFolder]:
    """The earlier runs. Raises TargetError if there is no such run."""
    found = []
    for run in config.warm_start:
        folders = [RunFolder(Path(run)), RunFolder(Path("runs") / run)]
        there = [folder for folder in folders if folder.sweep_file.is_file()]
        if not there:
            raise TargetError(
                f'warm_start "{run}": there is no run there: must be a run folder, or the name of '
                "one under runs/"
            )
        found.append(there[0])
    return found


def keep(folder: RunFolder, config: SweepConfig, space: Space) -> list[str]:
    """Copy the points of earlier runs into a run folder, once; what to tell of them."""
    if not config.warm_start or folder.warm_file.exists():
        return []
    found, told = gather(config, space)
    lines = [json.dumps(record.to_dict(), allow_nan=False) + "\n" for record in found]
    write_atomically(folder.warm_file, "".join(lines))
    return told


def kept(folder: RunFolder) -> list[TrialRecord]:
    """The points of earlier runs that a run was begun with.

    Raises RunFolderError if they cannot be read.
    """
    if not folder.warm_file.exists():
        return []
    try:
        lines = folder.warm_file.read_text(encoding="utf-8").splitlines()
        return [TrialRecord.from_dict(json.loads(line)) for line in lines]
    except (OSError, ValueError, RecordError) as error:
        raise RunFolderError(f"{folder.warm_file}: cannot be read: {error}") from error


def _energy(record: TrialRecord, folder: RunFolder, config: SweepConfig) -> dict[str, Any]:
    missing = [name for name in config.hardware if name not in record.energy]
    energy = dict(record.energy)
    if not missing:
        return energy
    return energy | price(folder.counts(record), missing)


def _differences(folder: RunFolder, config: SweepConfig) -> str:
    """What makes its accuracies others than those of this sweep, in words; empty if nothing."""
    theirs, _ = sweepfile.read(folder.sweep_file)
    both = config.model_dump(include={"data", "training"}, exclude_none=True)
    ours = json.loads(json.dumps(both))
    changed = [key for key in ("data", "training") if theirs.get(key) != ours[key]]
    if not changed:
        return ""
    verb = "differ" if len(changed) > 1 else "differs"
    return f"; its {' and '.join(changed)} {verb}, so its accuracies are hints only"
