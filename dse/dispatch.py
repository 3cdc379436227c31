"""Dispatch: which training a worker gets next, and what becomes of one whose worker died.

A trial under way is a running trial of the Optuna study with a lease: who trains it, and since
when. A worker holds a lock of the kernel, or of the database, as long as it lives; a trial whose
worker is dead is leased to the next one, who goes on at its last epoch. All of it happens under the
lock of the run, so `trials: N` is N over all workers and restarts.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from dse import rungs
from dse.bounds import refusal, refused_record
from dse.design import Design
from dse.errors import RunFolderError
from dse.proposals import Proposal, Proposer
from dse.recipe import checkpoint_file
from dse.seeding import trial_seed
from dse.selection import COUNTED, excesses, objective_values, planned, trainings
from dse.space import suggest
from dse.stopping import Entry, promotable
from dse.sweep import Sweep
from dse.training.resume import discard
from dse.trial import Judge
from dse.warmstart import kept
from reports.record import TrialRecord

# So often a training may take its worker with it, without getting on, before it is given up.
MOST_DEATHS = 3
_MOST_REFUSED = 200  # designs in a row: the rest of the space is hardly better
_RUNG = "rung:"  # followed by an epoch: what a trial of the study keeps of it


class Handed(Enum):
    """Why there is no next design: the budget is spent, or others are training the rest of it."""

    ALL = auto()
    TO_OTHERS = auto()


@dataclass(frozen=True, slots=True)
class Job:
    """A design to train.

    passed : it was stopped after this epoch, and is promoted
    """

    optuna_number: int
    number: int
    design: Design
    passed: int = 0


class Dispatch:
    """Hands out the trainings of a sweep to one worker, and takes their records.

    worker : its name, under which it holds leases
    """

    def __init__(self, sweep: Sweep, study: optuna.Study, worker: str) -> None:
        self._sweep, self._study, self._worker = sweep, study, worker
        self._folder, self._config = sweep.folder, sweep.config
        self._proposer = Proposer(sweep.config, sweep.space, kept(sweep.folder))
        self._handing: int | None = None  # what is handed out, if a lost database cut that off

    def next(self) -> Job | Handed:
        """Take the next design, if the budget has one left."""
        found = None
        while found is None:  # the lock is given up between designs that are refused
            found = self._folder.locked(self._next)
        self._handing = None
        return found

    def finish(self, job: Job, records: Sequence[TrialRecord]) -> bool:
        """Record a training, with the points read from it: on the disk before Optuna is told.

        False if the lease was lost meanwhile, to a worker that took this one for dead: its record
        is the one that counts.
        """
        return self._folder.locked(lambda: self._keep(job, records))

    def judge(self, job: Job) -> Judge:
        """Says of a training at its rungs whether it is stopped, and remembers how it stood."""

        def keep(entry: Entry) -> None:
            name, row = f"{_RUNG}{entry.epoch}", entry.to_dict()
            self._folder.locked(lambda: self._note(job, name, row))

        def known() -> list[Entry]:
            search = self._config.search
            # who was faster must not matter there
            end = job.number - job.number % search.batch if search.deterministic else None
            entries = self._folder.locked(self._entries)
            return [one for one in entries if end is None or one.number < end]

        return rungs.judge(job.number, self._config, known, keep, job.passed)

    def _next(self) -> Job | Handed | None:
        """None if a design was refused, and another one must be asked for."""
        records = self._folder.records()
        living, dead = self._reconcile(records)
        for trial in sorted(dead, key=_number):  # what a dead worker held goes first
            job = self._take_over(trial)
            if job is not None:
                return job
            records = self._folder.records()
        return self._new(records, living)

    def _keep(self, job: Job, records: Sequence[TrialRecord]) -> bool:
        if self._ours(job) is None:
            return False
        if job.passed:  # it has a record, of when it was stopped
            self._folder.replace(records)
        else:
            self._folder.append(*records)
        self._close(records[0])
        return True

    def renew(self, job: Job, epoch: int) -> None:
        """Say that a training gets on; nothing if it was taken over meanwhile."""

        def again() -> None:
            trial = self._ours(job)
            if trial is not None:
                self._lease(trial, epoch=epoch)

        self._folder.locked(again)

    def _ours(self, job: Job) -> FrozenTrial | None:
        """The trial of a job, if its lease is still with this worker."""
        trial = self._study.get_trials(deepcopy=False)[job.optuna_number]
        is_ours = _lease(trial).get("worker") == self._worker
        return trial if is_ours and trial.state is TrialState.RUNNING else None

    def _note(self, job: Job, name: str, row: dict[str, Any]) -> None:
        trial = self._ours(job)
        if trial is not None:
            optuna.Trial(self._study, trial._trial_id).set_user_attr(name, row)

    def _reconcile(
        self, records: Sequence[TrialRecord]
    ) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
        """Bring the study up to the records; trials of living workers, and of dead ones."""
        recorded = {record.optuna_number: record for record in records if record.reading is None}
        living, dead = [], []
        for trial in self._running():
            worker = _lease(trial).get("worker")
            if trial.number in recorded:
                self._close(recorded[trial.number])
            elif worker is None:  # not handed out by us
                self._study.tell(trial.number, state=TrialState.FAIL)
            elif worker == self._worker and _number(trial) == self._handing:
                dead.append(trial)  # nobody trains it
            elif self._folder.is_alive(worker):
                living.append(trial)
            else:
                dead.append(trial)
        return living, dead

    def _take_over(self, trial: FrozenTrial) -> Job | None:
        """Go on with a trial whose worker died; None if it has killed too many."""
        number, lease = _number(trial), _lease(trial)
        design = suggest(optuna.trial.FixedTrial(trial.params), self._sweep.space)
        progress = [lease.get("epoch", 0), self._saved(number)]
        is_stuck = progress == lease.get("progress", [0, None])
        deaths = lease.get("deaths", 0) + 1 if is_stuck else 1
        if deaths >= MOST_DEATHS:
            reason = (
                f"ResourceFailure: {deaths} workers in turn were killed while they trained it, "
                "none of which got on: it may need more memory than there is"
            )
            record = self._without_training(design, number, trial, "failed", reason)
            if trial.user_attrs.get("passed"):  # it has a record, of when it was stopped
                self._folder.replace([record])
            else:
                self._folder.append(record)
            self._close(record)
            return None
        self._handing = number
        self._lease(trial, deaths=deaths, progress=progress)
        return Job(trial.number, number, design, trial.user_attrs.get("passed", 0))

    def _promoted(
        self, records: Sequence[TrialRecord], living: Sequence[FrozenTrial]
    ) -> Job | None:
        """Go on with a training that was stopped and is now among the best of its rung."""
        rule = rungs.rule(self._config)
        if rule is None or self._config.search.deterministic:
            return None  # a promotion depends on who was faster
        stopped = {r.number: r for r in records if r.state == "stopped"}
        for trial in living:
            stopped.pop(_number(trial), None)
        for number in promotable(self._entries(), stopped, rule) if stopped else ():
            record = stopped[number]
            params = self._sweep.space.parameters(Design.from_dict(record.design))
            if params is not None:
                proposal = self._proposer.of(params)
                return self._hand_out(number, proposal, passed=record.metrics["epochs"])
        return None

    def _new(
        self, records: Sequence[TrialRecord], living: Sequence[FrozenTrial]
    ) -> Job | Handed | None:
        """A design that nobody has had; None if the one that came next was refused."""
        sweep, budget = self._sweep, self._config.budget
        counted = {record.number for record in records if record.state in COUNTED}
        spent = is_spent(records, len({_number(trial) for trial in living} - counted), sweep)
        # a promotion is no further training, but it takes time
        promoted = None if spent and budget.cpu_hours else self._promoted(records, living)
        if promoted is not None:
            return promoted
        if spent:
            return Handed.TO_OTHERS if living else Handed.ALL
        taken = {record.number for record in records} | set(map(_number, living))
        number = max(taken, default=-1) + 1
        proposal: Proposal | None
        if budget.repeats is not None:
            number = next(free for free in itertools.count() if free not in taken)
            # a number stands for a design and a repeat
            params = sweep.space.nth(number % (sweep.space.size() or 1))
            proposal = self._proposer.of(params)
        else:
            _refuse_no_room(records)
            known, others = self._in_sight(number, records, living)
            if known is None:
                return Handed.TO_OTHERS
            proposal = self._proposer.propose(number, known, others)
        if proposal is None:  # the space has no other design
            return Handed.TO_OTHERS if living else Handed.ALL
        reason = refusal(proposal.design, sweep.recipe)
        if reason is None:
            return self._hand_out(number, proposal)
        self._folder.append(
            refused_record(proposal.design, number, reason, sweep.recipe, worker=self._worker)
        )
        return None

    def _in_sight(
        self, number: int, records: Sequence[TrialRecord], living: Sequence[FrozenTrial]
    ) -> tuple[Sequence[TrialRecord] | None, list[Design]]:
        """The records by which a number is proposed, None if not all are there; what runs.

        In deterministic mode: those of earlier batches; and of the own batch every design, whether
        it is trained by now or not.
        """
        running = {_number(trial): self._design(trial) for trial in living}
        if not self._config.search.deterministic:
            return records, list(running.values())
        batch = self._config.search.batch
        start = number - number % batch
        if any(other < start for other in running):
            return None, []
        own = {r.number: Design.from_dict(r.design) for r in records if r.reading is None}
        same = {other: design for other, design in (own | running).items() if other >= start}
        known = [record for record in records if record.number < start]
        return known, [same[other] for other in sorted(same)]

    def _hand_out(self, number: int, proposal: Proposal, passed: int = 0) -> Job:
        self._handing = number
        # one operation of the storage: a killed process leaves a whole trial or none
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(proposal.params),
                distributions=dict(proposal.distributions),
                user_attrs={"number": number, "passed": passed, "lease": self._own_lease()},
            )
        )
        trial = next(trial for trial in reversed(self._running()) if _number(trial) == number)
        return Job(trial.number, number, proposal.design, passed)

    def _entries(self) -> list[Entry]:
        """How trainings stood at their rungs: kept with the trials, so under any storage."""
        return [
            Entry.from_dict(row)
            for trial in self._study.get_trials(deepcopy=False)
            for name, row in trial.user_attrs.items()
            if name.startswith(_RUNG)
        ]

    def _running(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _design(self, trial: FrozenTrial) -> Design:
        return suggest(optuna.trial.FixedTrial(trial.params), self._sweep.space)

    def _saved(self, number: int) -> int | None:
        """When the last epoch of a training was saved."""
        try:
            return checkpoint_file(self._folder.path, number).stat().st_mtime_ns
        except OSError:
            return None

    def _own_lease(self) -> dict[str, Any]:
        return {"worker": self._worker, "at": time.time()}

    def _lease(self, trial: FrozenTrial, **more: Any) -> None:
        """Say whose a trial is, and what is known of it."""
        lease = {**_lease(trial), **more, **self._own_lease()}
        optuna.Trial(self._study, trial._trial_id).set_user_attr("lease", lease)

    def _without_training(
        self, design: Design, number: int, trial: FrozenTrial, state: Any, reason: str
    ) -> TrialRecord:
        return TrialRecord(
            number=number,
            state=state,
            variant=design.variant,
            design=design.to_dict(),
            seed=trial_seed(self._config.seed, number),
            reason=reason,
            times={"started": datetime.now(UTC).isoformat(timespec="seconds"), "total_s": 0.0},
            worker=self._worker,
            optuna_number=trial.number,
        )

    def _close(self, record: TrialRecord) -> None:
        """A training that is recorded needs its checkpoint only if it may be taken up again."""
        if record.state != "stopped":
            discard(checkpoint_file(self._folder.path, record.number))
        self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        """Tell Optuna of a record that is on the disk."""
        study, number = self._study, record.optuna_number
        if number is None:
            raise RunFolderError(f"trial {record.name}: its record names no trial of the study")
        values = objective_values(record, self._config)
        if record.state == "stopped":
            study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
            return
        if record.state != "complete" or not all(map(math.isfinite, values)):
            study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
            return
        frozen = study.get_trials(deepcopy=False)[number]
        for name, excess in excesses(record, self._config).items():
            optuna.Trial(study, frozen._trial_id).set_constraint(name, excess)
        study.tell(number, values, skip_if_finished=True)


def is_spent(records: Sequence[TrialRecord], running: int, sweep: Sweep) -> bool:
    """Whether the budget has no room for another training, beside those that are running."""
    config, trials = sweep.config, planned(sweep.config, sweep.space)
    counted = trainings(records)
    spent_s = sum(r.times["total_s"] for r in records)
    if config.budget.repeats is not None:  # a number is a design and a repeat, whatever came of it
        counted = [r for r in records if r.reading is None and r.number < (trials or 0)]
    if trials is not None:
        return len(counted) + running >= trials
    return bool(spent_s >= 3600 * (config.budget.cpu_hours or 0.0))


def _refuse_no_room(records: Sequence[TrialRecord]) -> None:
    last = [record for record in records if record.reading is None][-_MOST_REFUSED:]
    if len(last) == _MOST_REFUSED and all(record.state == "refused" for record in last):
        raise RunFolderError(
            f"{_MOST_REFUSED} designs in a row are beyond a limit before any training, the last "
            f"one because {last[-1].reason}: the limits of the objectives must leave room"
        )


def _number(trial: FrozenTrial) -> int:
    return int(trial.user_attrs["number"])


def _lease(trial: FrozenTrial) -> dict[str, Any]:
    """{"worker", "at": seconds since 1970, "epoch", "deaths", "progress"}; empty if not ours."""
    if "number" not in trial.user_attrs:
        return {}
    return dict(trial.user_attrs.get("lease", {}))
