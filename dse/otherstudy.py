"""Other study: an Optuna study that was made without dse, as records for a report."""

from __future__ import annotations

import re
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dse.errors import AskedWrongly, StorageError
from dse.storage import reach
from reports.pareto import Objective
from reports.points import AFTER_ENERGY, BEFORE_KNOBS, MEASURED
from reports.record import State, TrialRecord

VARIANT = "study"
NOTE = "every value is what the study holds: dse counted, priced and trained nothing"
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def read(url: str, name: str) -> tuple[tuple[TrialRecord, ...], tuple[Objective, ...]]:
    """The trials of a study that have ended, and its objectives, by their metric names.

    An objective without a name is `value_0`, `value_1`, ...; a parameter is a knob. A category
    that is neither text nor number is written as text.

    Raises StorageError if the storage cannot be reached, AskedWrongly if it has no such study.
    """
    file = re.fullmatch(r"sqlite:///(.+)", url)
    if file is not None and not Path(file[1]).is_file():
        raise StorageError(f"--study {url}: there is no file {file[1]}")
    storage = reach(url)
    known = sorted(study.study_name for study in storage.get_all_studies())
    if name not in known:
        raise AskedWrongly(
            f'--name "{name}": no such study. There are {", ".join(known) or "none"}'
        )
    study = optuna.load_study(study_name=name, storage=storage)
    names = study.metric_names or [f"value_{index}" for index in range(len(study.directions))]
    ours = {*BEFORE_KNOBS, *MEASURED, *AFTER_ENERGY}
    names = [f"{one}_of_study" if one in ours else one for one in names]
    objectives = tuple(
        Objective(one, "max" if direction is StudyDirection.MAXIMIZE else "min", one, "")
        for one, direction in zip(names, study.directions, strict=True)
    )
    ended = (trial for trial in study.get_trials(deepcopy=False) if trial.state in _STATES)
    return tuple(_record(trial, names) for trial in ended), objectives


def _record(trial: FrozenTrial, names: list[str]) -> TrialRecord:
    state = _STATES[trial.state]
    knobs = {
        knob: value if isinstance(value, str | int | float | bool) else str(value)
        for knob, value in trial.params.items()
    }
    return TrialRecord(
        trial.number,
        state,
        VARIANT,
        {"variant": VARIANT, "knobs": knobs},
        seed=0,
        reason=None if state == "complete" else f"{trial.state.name} in the study",
        metrics={"values": dict(zip(names, trial.values or (), strict=False))},
    )
