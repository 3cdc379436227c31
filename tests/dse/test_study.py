"""The study: what is handed out, what is put back, and what counts against the budget."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from dse import inventory, study
from dse.errors import RunFolderError, StorageError
from dse.runfolder import RunFolder
from dse.storage import open_study
from dse.study import Sweep, _Handed, _next, _put_back, begin, finish, work
from dse.trial import Recipe
from reports.record import TrialRecord

OVERRIDES = ("training.epochs=1", "data.samples=200")


def sweep(path, *overrides, storage=None):
    config = inventory.load_sweep("smoke", [*OVERRIDES, *overrides])
    folder = RunFolder(path)
    folder.begin("name: smoke\n", storage=storage)
    return Sweep(folder, Recipe(config), inventory.space(config), storage)


def opened(one):
    return open_study(one.folder, one.config, one.storage)


def states(one):
    return [trial.state for trial in opened(one).trials]


def test_the_default_designs_come_first(tmp_path):
    one = sweep(tmp_path, "budget.trials=9")
    begin(one)
    begin(one)
    with one.folder.worker() as worker:
        study = opened(one)
        for number, variant in enumerate(("ann", "bnn", "snn", "s2nn")):
            job = _next(one, study, worker)
            one.folder.append(
                TrialRecord(
                    job.number,
                    "failed",
                    job.design.variant,
                    job.design.to_dict(),
                    seed=0,
                    reason="not trained here",
                    optuna_number=job.optuna_number,
                )
            )
            assert (job.number, job.design.variant) == (number, variant)
            assert job.design.values["width"] == 0.1


def test_a_trial_that_died_keeps_its_number_and_its_knobs(tmp_path):
    one = sweep(tmp_path)
    begin(one)
    with one.folder.worker() as worker:
        job = _next(one, opened(one), worker)
        assert job.number == 0
    # the worker is gone: the next one gets the same trial
    with one.folder.worker() as worker:
        again = _next(one, opened(one), worker)
    assert (again.number, again.design) == (job.number, job.design)
    assert again.optuna_number != job.optuna_number
    assert states(one)[job.optuna_number] is TrialState.FAIL


def test_knobs_that_were_fixed_but_not_yet_asked_for_are_put_back(tmp_path):
    one = sweep(tmp_path)
    study = opened(one)
    study.enqueue_trial({"variant": "snn"})
    trial = study.ask()
    trial.set_user_attr("number", 7)
    frozen = study.trials[0]
    study.tell(0, state=TrialState.FAIL)
    _put_back(study, frozen)
    waiting = study.trials[-1]
    assert waiting.system_attrs["fixed_params"] == {"variant": "snn"}
    assert waiting.user_attrs == {"number": 7}


def test_what_others_are_training_is_waited_for_and_not_handed_out_twice(tmp_path):
    one = sweep(tmp_path, "budget.trials=1")
    begin(one)
    with one.folder.worker() as first, one.folder.worker() as second:
        job = _next(one, opened(one), first)
        assert job.number == 0
        assert _next(one, opened(one), second) is _Handed.TO_OTHERS
    with one.folder.worker(), one.folder.worker() as second:
        # the first is gone and has a namesake that will not ask: the second takes its trial over
        assert _next(one, opened(one), second) is _Handed.TO_OTHERS
    with one.folder.worker() as second:
        assert _next(one, opened(one), second).number == 0


FINITE = (
    "space.learning_rate=0.01",
    "space.threshold=1.0",
    "space.time_steps={choice: [1, 4]}",
    "variants=[ann, snn]",
)


def record_of(job):
    return TrialRecord(
        job.number,
        "failed",
        job.design.variant,
        job.design.to_dict(),
        seed=0,
        reason="not trained here",
        optuna_number=job.optuna_number,
    )


def known(job):
    return job.number, job.design.variant, job.design.values.get("time_steps")


ROUND = [("ann", None), ("snn", 1), ("snn", 4)]


def test_repeats_train_every_design_once_before_any_again(tmp_path):
    one = sweep(tmp_path, "budget={repeats: 2}", *FINITE)
    begin(one)
    jobs = []
    with one.folder.worker() as worker:
        while isinstance(job := _next(one, opened(one), worker), study._Job):
            jobs.append(job)
            one.folder.append(record_of(job))
    assert job is _Handed.ALL
    assert [known(job) for job in jobs] == [(i, *ROUND[i % 3]) for i in range(6)]


def test_a_repeat_that_died_is_trained_again_and_the_rest_keeps_its_order(tmp_path):
    one = sweep(tmp_path, "budget={repeats: 2}", *FINITE)
    begin(one)
    with one.folder.worker(), one.folder.worker() as second:
        with one.folder.worker() as third:
            assert known(_next(one, opened(one), third)) == (0, *ROUND[0])
            job = _next(one, opened(one), second)
            assert known(job) == (1, *ROUND[1])
            one.folder.append(record_of(job))
        # the third was killed with number 0 in its hands
        found = []
        for _ in range(5):
            job = _next(one, opened(one), second)
            found.append(known(job))
            one.folder.append(record_of(job))
        assert found == [(i, *ROUND[i % 3]) for i in (0, 2, 3, 4, 5)]
        assert _next(one, opened(one), second) is _Handed.ALL


def test_a_repeat_that_was_lost_between_two_writes_is_not_left_out(tmp_path):
    one = sweep(tmp_path, "budget={repeats: 1}", *FINITE)
    begin(one)
    with one.folder.worker() as worker:
        job = _next(one, opened(one), worker)
        # told of as failed, and killed before it was put back: nobody has number 0 any more
        opened(one).tell(job.optuna_number, state=TrialState.FAIL)
        again = _next(one, opened(one), worker)
    assert known(again) == known(job) == (0, *ROUND[0])


def test_others_wait_for_the_last_repeat(tmp_path):
    one = sweep(tmp_path, "budget={repeats: 1}", *FINITE, "variants=[ann]", "space={}")
    begin(one)
    with one.folder.worker() as first, one.folder.worker() as second:
        assert known(_next(one, opened(one), first)) == (0, "ann", None)
        assert _next(one, opened(one), second) is _Handed.TO_OTHERS


@pytest.mark.slow
def test_every_network_of_a_sweep_with_repeats_is_measured_on_test(tmp_path):
    one = sweep(tmp_path, "budget={repeats: 2}", *FINITE, "space.time_steps=1")
    begin(one)
    work(one)
    after = finish(one)
    assert len({record.seed for record in after}) == 4
    assert all(record.test_accuracy is not None for record in after)


@pytest.mark.slow
def test_a_record_that_optuna_was_not_told_of_is_told_later(tmp_path, monkeypatch):
    one = sweep(tmp_path, "budget.trials=1")
    begin(one)
    tell = study._tell
    monkeypatch.setattr(study, "_tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        work(one)
    assert len(one.folder.records()) == 1
    assert states(one)[0] is TrialState.RUNNING
    monkeypatch.setattr(study, "_tell", tell)
    work(one)
    assert len(one.folder.records()) == 1
    assert states(one)[0] is TrialState.COMPLETE
    [record] = one.folder.records()
    trial = opened(one).trials[0]
    assert trial.values == [record.accuracy, record.energy_pj("cmos45-fp32")]


@pytest.mark.slow
def test_only_the_front_and_the_best_are_measured_on_test(tmp_path):
    one = sweep(tmp_path, "budget.trials=7")
    begin(one)
    work(one)
    before = one.folder.records()
    assert [record.metrics["test"] for record in before] == [None] * 7
    # a point that is dominated and not the best must stay unseen
    worst = min(before, key=lambda record: record.accuracy)
    doctored = replace(
        worst,
        energy={name: {**row, "total_pj": 1e9} for name, row in worst.energy.items()},
        metrics={**worst.metrics, "validation": {"accuracy": 0.0, "samples": 40}},
    )
    with one.folder.lock():
        one.folder.replace([doctored])
    after = finish(one)
    tested = [record.number for record in after if record.test_accuracy is not None]
    assert tested
    assert worst.number not in tested
    assert finish(one) == after  # nothing is measured twice


@pytest.mark.slow
def test_a_budget_of_time_is_spent(tmp_path):
    one = sweep(tmp_path, "budget={cpu_hours: 0.0000001}")
    begin(one)
    work(one)
    assert len(one.folder.records()) == 1


def test_two_runs_share_a_database_and_not_their_trials(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    first, second = (sweep(tmp_path / name, storage=url) for name in ("a", "b"))
    for one in (first, second):
        begin(one)
        with one.folder.worker() as worker:
            assert _next(one, opened(one), worker).number == 0
    assert len(opened(first).trials) == len(opened(second).trials) == 1
    assert len(optuna.get_all_study_names(url)) == 2


def test_the_storage_of_a_run_is_not_changed_silently(tmp_path):
    sweep(tmp_path / "a", storage="sqlite:///x.db")
    with pytest.raises(RunFolderError, match=r"sqlite:///x.db, not in its folder"):
        sweep(tmp_path / "a")


def test_a_password_is_not_kept(tmp_path):
    one = sweep(tmp_path, storage="postgresql://me:secret@host/db")
    assert "secret" not in one.folder.settings_file.read_text()


@pytest.mark.parametrize("url", ["foo", "sqlite:////nonexistent/folder/x.db"])
def test_a_storage_that_is_not_there(tmp_path, url):
    with pytest.raises(StorageError, match="cannot be used"):
        begin(sweep(tmp_path, storage=url))
