"""The study: what is trained, told and measured, and where it is kept."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from dse import inventory
from dse.dispatch import Dispatch
from dse.errors import RunFolderError, StorageError
from dse.finishing import finish
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.storage import open_study
from dse.study import begin, work
from dse.sweep import Sweep

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


REPEATS = (
    "budget={repeats: 2}",
    "space.learning_rate=0.01",
    "space.threshold=1.0",
    "space.time_steps=1",
    "variants=[ann, snn]",
)


@pytest.mark.slow
def test_every_network_of_a_sweep_with_repeats_is_measured_on_test(tmp_path):
    one = sweep(tmp_path, *REPEATS)
    begin(one)
    work(one)
    after = finish(one)
    assert len({record.seed for record in after}) == 4
    assert all(record.test_accuracy is not None for record in after)


@pytest.mark.slow
def test_a_record_that_optuna_was_not_told_of_is_told_later(tmp_path, monkeypatch):
    one = sweep(tmp_path, "budget.trials=1")
    begin(one)
    tell = Dispatch._tell
    monkeypatch.setattr(Dispatch, "_tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        work(one)
    assert len(one.folder.records()) == 1
    assert states(one)[0] is TrialState.RUNNING
    monkeypatch.setattr(Dispatch, "_tell", tell)
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
    variants = [record.variant for record in before]
    others = [record for record in before if variants.count(record.variant) > 1]
    worst = min(others, key=lambda record: record.accuracy)
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
            assert Dispatch(one, opened(one), worker).next().number == 0
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
