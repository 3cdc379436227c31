"""Dispatch: what is handed out, what is taken over, and what counts against the budget."""

import os
from dataclasses import replace

import pytest
from optuna.trial import TrialState, create_trial

from dse import dispatch, inventory
from dse.design import Design
from dse.dispatch import MOST_DEATHS, Dispatch, Handed, Job
from dse.errors import RunFolderError
from dse.recipe import Recipe, checkpoint_file
from dse.runfolder import RunFolder
from dse.storage import open_study
from dse.study import begin
from dse.sweep import Sweep
from reports.record import TrialRecord

FINITE = (
    "space.learning_rate=0.01",
    "space.threshold=1.0",
    "space.time_steps={choice: [1, 4]}",
    "variants=[ann, snn]",
)
ROUND = [("ann", None), ("snn", 1), ("snn", 4)]


@pytest.fixture
def sweep_of(tmp_path):
    def made(*overrides):
        config = inventory.load_sweep("smoke", overrides)
        folder = RunFolder(tmp_path)
        folder.begin("name: smoke\n")
        one = Sweep(folder, Recipe(config), inventory.space(config))
        begin(one)
        return one

    return made


def desk(one, worker):
    """As a process of its own has it: a study that was just opened."""
    return Dispatch(one, open_study(one.folder, one.config, one.storage), worker)


def trials(one):
    return open_study(one.folder, one.config, one.storage).trials


def record_of(job, accuracy=None, state="failed"):
    done = accuracy is not None
    return TrialRecord(
        job.number,
        "complete" if done else state,
        job.design.variant,
        job.design.to_dict(),
        seed=0,
        reason=None if done else "not trained here",
        metrics={"validation": {"accuracy": accuracy, "samples": 60}, "test": None} if done else {},
        energy={"cmos45-fp32": {"total_pj": 1e3 * (1 + job.number)}} if done else {},
        times={"total_s": 1.0},
        optuna_number=job.optuna_number,
    )


def known(job):
    return job.number, job.design.variant, job.design.values.get("time_steps")


def drained(one, worker, accuracy=None):
    jobs = []
    while isinstance(job := desk(one, worker).next(), Job):
        jobs.append(job)
        assert desk(one, worker).finish(job, [record_of(job, accuracy)])
    return jobs, job


def test_the_default_designs_come_first(sweep_of):
    one = sweep_of("budget.trials=9")
    begin(one)
    with one.folder.worker() as worker:
        jobs, last = drained(one, worker, 0.5)
    assert last is Handed.ALL
    assert [job.number for job in jobs] == list(range(9))
    assert [job.optuna_number for job in jobs] == list(range(9))
    assert [job.design.variant for job in jobs[:4]] == ["ann", "bnn", "snn", "s2nn"]
    assert len({job.design for job in jobs}) == 9
    assert [trial.state for trial in trials(one)] == [TrialState.COMPLETE] * 9
    assert trials(one)[3].values == [0.5, 4e3]


def test_a_trial_that_died_is_taken_over_as_it_is(sweep_of):
    one = sweep_of()
    with one.folder.worker() as worker:
        job = desk(one, worker).next()
    # the worker is gone: the next one gets the same trial
    with one.folder.worker() as worker:
        assert desk(one, worker).next() == job
        assert desk(one, worker).finish(job, [record_of(job)])
    assert len(trials(one)) == 1


def test_who_was_taken_for_dead_cannot_record_a_second_time(sweep_of):
    one = sweep_of("budget.trials=1")
    with one.folder.worker() as gone:
        job = desk(one, gone).next()
    with one.folder.worker() as worker:
        assert desk(one, worker).next() == job
        assert not desk(one, gone).finish(job, [record_of(job, 0.1)])
        assert desk(one, worker).finish(job, [record_of(job, 0.2)])
        assert not desk(one, worker).finish(job, [record_of(job, 0.3)])
    assert [record.accuracy for record in one.folder.records()] == [0.2]


def test_what_others_are_training_is_waited_for_and_not_handed_out_twice(sweep_of):
    one = sweep_of("budget.trials=1")
    with one.folder.worker() as first, one.folder.worker() as second:
        assert desk(one, first).next().number == 0
        assert desk(one, second).next() is Handed.TO_OTHERS


def test_a_training_that_kills_its_workers_is_given_up_by_name(sweep_of):
    one = sweep_of("budget.trials=2")
    for _ in range(MOST_DEATHS):
        with one.folder.worker() as worker:
            assert desk(one, worker).next().number == 0
    with one.folder.worker() as worker:
        assert desk(one, worker).next().number == 1
    [record] = one.folder.records()
    assert (record.number, record.state) == (0, "failed")
    assert "3 workers in turn were killed" in record.reason


def test_a_training_that_gets_on_between_deaths_is_not_given_up(sweep_of):
    one = sweep_of("budget.trials=2")
    saved = checkpoint_file(one.folder.path, 0)
    saved.parent.mkdir(parents=True)
    for epoch in range(3 * MOST_DEATHS):
        with one.folder.worker() as worker:
            assert desk(one, worker).next().number == 0
            saved.write_text("an epoch")
            os.utime(saved, (epoch, epoch))


def test_a_trial_that_somebody_else_put_into_the_study_is_not_ours(sweep_of):
    one = sweep_of("budget.trials=1")
    study = open_study(one.folder, one.config, one.storage)
    study.add_trial(create_trial(state=TrialState.RUNNING, params={}, distributions={}))
    with one.folder.worker() as worker:
        assert desk(one, worker).next().number == 0
    assert [trial.state for trial in trials(one)] == [TrialState.FAIL, TrialState.RUNNING]


def test_no_design_is_trained_twice_and_a_space_that_is_empty_ends_the_sweep(sweep_of):
    one = sweep_of("budget.trials=20", *FINITE)
    with one.folder.worker() as worker:
        jobs, last = drained(one, worker, 0.5)
    assert last is Handed.ALL
    assert sorted(known(job)[1:] for job in jobs) == sorted(ROUND)


def test_repeats_train_every_design_once_before_any_again(sweep_of):
    one = sweep_of("budget={repeats: 2}", *FINITE)
    with one.folder.worker() as worker:
        jobs, last = drained(one, worker)
    assert last is Handed.ALL
    assert [known(job) for job in jobs] == [(i, *ROUND[i % 3]) for i in range(6)]


def test_a_repeat_that_died_is_trained_again_and_the_rest_keeps_its_order(sweep_of):
    one = sweep_of("budget={repeats: 2}", *FINITE)
    with one.folder.worker() as second:
        with one.folder.worker() as third:
            assert known(desk(one, third).next()) == (0, *ROUND[0])
            job = desk(one, second).next()
            assert known(job) == (1, *ROUND[1])
            assert desk(one, second).finish(job, [record_of(job)])
        # the third was killed with number 0 in its hands
        jobs, last = drained(one, second)
    assert [known(job) for job in jobs] == [(i, *ROUND[i % 3]) for i in (0, 2, 3, 4, 5)]
    assert last is Handed.ALL


def test_others_wait_for_the_last_repeat(sweep_of):
    one = sweep_of("budget={repeats: 1}", *FINITE, "variants=[ann]", "space={}")
    with one.folder.worker() as first, one.folder.worker() as second:
        assert known(desk(one, first).next()) == (0, "ann", None)
        assert desk(one, second).next() is Handed.TO_OTHERS


def test_a_batch_is_proposed_from_earlier_batches_whoever_trains_it(sweep_of):
    tables = []
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        one = sweep_of("budget.trials=24", "search={deterministic: true, batch: 4}")
        for path in (one.folder.records_file, one.folder.journal_file):
            path.unlink(missing_ok=True)
        begin(one)
        with one.folder.worker() as first, one.folder.worker() as second:
            for _ in range(6):
                jobs = [desk(one, first).next() for _ in range(4)]
                assert desk(one, second).next() is Handed.TO_OTHERS
                for place in order:
                    job = jobs[place]
                    finished = record_of(job, 0.1 * (job.number % 7))
                    assert desk(one, first).finish(job, [finished])
        tables.append([record.design for record in one.folder.records()])
    assert tables[0] == tables[1]
    assert len(tables[0]) == 24


def test_a_batch_does_not_depend_on_who_is_ready_first(sweep_of):
    one = sweep_of("budget.trials=12", "search={deterministic: true, batch: 4}")
    with one.folder.worker() as worker:
        alone, _ = drained(one, worker, 0.5)
    for path in (one.folder.records_file, one.folder.journal_file):
        path.unlink()
    begin(one)
    with one.folder.worker() as worker:
        together = []
        for _ in range(3):
            jobs = [desk(one, worker).next() for _ in range(4)]
            for job in jobs:
                desk(one, worker).finish(job, [record_of(job, 0.5)])
            together += jobs
    assert [job.design for job in together] == [job.design for job in alone]
    assert all(isinstance(job.design, Design) for job in alone)


STOPPING = ("stopping={first: 1, factor: 2}", "budget.trials=14", "training.epochs=4")


def standing(epoch, accuracy, energy_pj):
    """What a training measures of itself at a rung."""
    return {
        "metrics": {"validation": {"accuracy": accuracy, "samples": 60}, "epochs": epoch},
        "energy": {"cmos45-fp32": {"total_pj": energy_pj}},
    }


def stopped_record(job, epoch, accuracy, energy_pj):
    found = standing(epoch, accuracy, energy_pj)
    return replace(record_of(job, state="stopped"), **found)


def test_a_training_that_was_stopped_is_promoted_when_the_others_turn_out_worse(sweep_of):
    one = sweep_of(*STOPPING)
    checkpoint = checkpoint_file(one.folder.path, 10)
    with one.folder.worker() as worker:
        for number in range(11):
            job = desk(one, worker).next()
            # as good as each other, but the last one worse than all at the same price
            accuracy = 0.1 if number == 10 else 0.5 + 0.01 * number
            reason = desk(one, worker).judge(job)(1, lambda a=accuracy: standing(1, a, 1e3))
            assert (reason is not None) == (number == 10)
            if reason is None:
                assert desk(one, worker).finish(job, [record_of(job, accuracy)])
            else:
                checkpoint.parent.mkdir(parents=True)
                checkpoint.write_text("its first epoch")
                assert desk(one, worker).finish(job, [stopped_record(job, 1, accuracy, 1e3)])
        assert checkpoint.exists()
        assert trials(one)[10].state is TrialState.PRUNED
        # the next ones are far dearer and worse: number 10 is now in the better half
        for number in range(11, 14):
            job = desk(one, worker).next()
            if job.number == 10:
                break
            desk(one, worker).judge(job)(1, lambda: standing(1, 0.01, 1e3))
            assert desk(one, worker).finish(job, [record_of(job, 0.01)])
            assert job.number == number


def test_a_promoted_training_goes_on_under_its_number_and_is_recorded_once(sweep_of):
    one = sweep_of(*STOPPING)
    with one.folder.worker() as worker:
        jobs = [desk(one, worker).next() for _ in range(14)]
        for job in jobs[:12]:
            accuracy = 0.9 if job.number == 0 else 0.3 - 0.01 * job.number
            desk(one, worker).judge(job)(1, lambda a=accuracy: standing(1, a, 1e3))
            state = stopped_record(job, 1, accuracy, 1e3) if job.number == 0 else record_of(job)
            assert desk(one, worker).finish(job, [state])
        promoted = desk(one, worker).next()
        assert (promoted.number, promoted.passed) == (0, 1)
        assert promoted.optuna_number == 14
        # what it is let through once does not stop it again
        assert desk(one, worker).judge(promoted)(1, lambda: standing(1, 0.0, 1e9)) is None
        assert desk(one, worker).next() is Handed.TO_OTHERS  # nobody promotes it twice
    with one.folder.worker() as worker:  # killed while it went on
        assert desk(one, worker).next() == promoted
        assert desk(one, worker).finish(promoted, [record_of(promoted, 0.95)])
        for job in jobs[12:]:
            again = desk(one, worker).next()
            assert again == job
            assert desk(one, worker).finish(again, [record_of(again)])
        assert desk(one, worker).next() is Handed.ALL
    records = one.folder.records()
    assert [record.number for record in records] == list(range(14))
    assert records[0].accuracy == 0.95


ONE_EACH = ("space={width: 0.1, depth: 1}",)
LIMITED = "objectives=[accuracy, {name: energy_pj, limit: 6000}]"


def test_what_a_limit_forbids_is_refused_and_costs_no_trial(sweep_of):
    one = sweep_of(LIMITED, "budget.trials=3")
    with one.folder.worker() as worker:
        jobs, last = drained(one, worker, 0.5)
    assert last is Handed.ALL
    records = one.folder.records()
    refused = [record for record in records if record.state == "refused"]
    assert len(jobs) == 3
    # the real-valued network costs more than that whatever it learns; it comes first
    assert {record.variant for record in refused} >= {"ann"}
    assert all("above the limit of 6 nJ" in record.reason for record in refused)
    assert [record.number for record in records] == list(range(3 + len(refused)))
    assert len(trials(one)) == 3


def test_limits_that_leave_no_room_are_said(sweep_of):
    space = "space={learning_rate: {log_range: [0.005, 0.02]}}"
    one = sweep_of(LIMITED.replace("6000", "1"), "variants=[ann]", space)
    with one.folder.worker() as worker, pytest.raises(RunFolderError, match="must leave room"):
        desk(one, worker).next()


def test_every_design_of_a_sweep_with_repeats_is_refused_or_trained(sweep_of):
    one = sweep_of(LIMITED, "budget={repeats: 2}", "variants=[ann, s2nn]", *ONE_EACH)
    with one.folder.worker() as worker:
        jobs, last = drained(one, worker)
    assert last is Handed.ALL
    records = one.folder.records()
    assert [record.number for record in records] == list(range(4))
    assert {record.variant for record in records if record.state == "refused"} == {"ann"}
    assert [job.design.variant for job in jobs] == ["s2nn", "s2nn"]


def test_refused_designs_of_a_sweep_with_repeats_do_not_end_it(sweep_of, monkeypatch):
    monkeypatch.setattr(dispatch, "_MOST_REFUSED", 1)
    one = sweep_of(LIMITED, "budget={repeats: 3}", "variants=[ann, s2nn]", *ONE_EACH)
    with one.folder.worker() as worker:
        jobs, last = drained(one, worker)
    assert last is Handed.ALL
    assert [job.design.variant for job in jobs] == ["s2nn"] * 3


def test_a_worker_that_was_taken_for_dead_leaves_the_trial_alone(sweep_of):
    one = sweep_of(*STOPPING)
    with one.folder.worker() as gone:
        job = desk(one, gone).next()
    with one.folder.worker() as worker:
        assert desk(one, worker).next() == job
        desk(one, gone).renew(job, 2)
        desk(one, gone).judge(job)(1, lambda: standing(1, 0.1, 1e3))
        [trial] = trials(one)
        assert trial.user_attrs["lease"]["worker"] == worker
        assert "rung:1" not in trial.user_attrs
        assert desk(one, worker).finish(job, [record_of(job, 0.2)])
        desk(one, gone).renew(job, 3)  # nor does it fall over a trial that is done


class Shaky(RunFolder):
    """A folder whose database is lost after what was done under its lock."""

    def locked(self, action):
        with self.lock():
            action()
        with self.lock():
            return action()


def test_what_was_handed_out_as_the_database_was_lost_is_trained(sweep_of):
    one = sweep_of("budget.trials=1")
    shaky = replace(one, folder=Shaky(one.folder.path))
    with one.folder.worker() as worker:
        job = desk(shaky, worker).next()
        assert isinstance(job, Job)
        assert desk(one, worker).finish(job, [record_of(job)])
        assert desk(one, worker).next() is Handed.ALL
    assert len(trials(one)) == 1


def test_a_promoted_training_that_kills_its_workers_has_one_record(sweep_of):
    one = sweep_of(*STOPPING)
    with one.folder.worker() as worker:
        jobs = [desk(one, worker).next() for _ in range(12)]
        for job in jobs:
            accuracy = 0.9 if job.number == 0 else 0.3 - 0.01 * job.number
            desk(one, worker).judge(job)(1, lambda a=accuracy: standing(1, a, 1e3))
            state = stopped_record(job, 1, accuracy, 1e3) if job.number == 0 else record_of(job)
            assert desk(one, worker).finish(job, [state])
    for _ in range(MOST_DEATHS):
        with one.folder.worker() as worker:
            assert desk(one, worker).next().number == 0
    with one.folder.worker() as worker:
        assert desk(one, worker).next().number == 12
    lines = one.folder.records_file.read_text().splitlines()
    assert len(lines) == 12
    assert one.folder.records()[0].state == "failed"


def test_a_budget_of_time_has_none_for_promotions_once_it_is_spent(sweep_of):
    one = sweep_of(*STOPPING[::2], "budget={cpu_hours: 0.00334}")  # 12 s
    with one.folder.worker() as worker:
        jobs = [desk(one, worker).next() for _ in range(12)]
        for job in jobs:
            accuracy = 0.9 if job.number == 0 else 0.3 - 0.01 * job.number
            desk(one, worker).judge(job)(1, lambda a=accuracy: standing(1, a, 1e3))
            state = stopped_record(job, 1, accuracy, 1e3) if job.number == 0 else record_of(job)
            assert desk(one, worker).finish(job, [replace(state, times={"total_s": 1.1})])
        assert desk(one, worker).next() is Handed.ALL
