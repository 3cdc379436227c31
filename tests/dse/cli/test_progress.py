"""What is shown of a sweep under way: epochs, and the time that is left."""

import io
import time

import pytest
from rich.console import Console

from dse import inventory
from dse.cli import progress
from dse.design import Design
from dse.dispatch import Job
from dse.runfolder import RunFolder
from dse.study import _doing
from dse.training.loop import EpochResult
from reports.record import TrialRecord

JOB = Job(0, 3, Design.of("snn", "mlp", {}))
RESULT = EpochResult(2, 0.5, 0.875, 100.0, 0.01, 10.0, 30.0, {"a": 0.1, "b": 0.3})


def config(*overrides: str):
    return inventory.load_sweep("smoke", ["training.epochs=5", *overrides])


def drawn(folder: RunFolder) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(progress._view(folder, config(), 4))
    return console.file.getvalue()


def test_a_trial_under_way_shows_how_it_does_and_the_time_that_is_left(tmp_path) -> None:
    folder = RunFolder(tmp_path)
    with folder.worker() as worker:
        folder.say(worker, _doing(JOB, config(), None))
        before = drawn(folder)
        folder.say(worker, _doing(JOB, config(), RESULT))
        after = drawn(folder)
    assert "#3 snn" in before
    assert "epoch 0/5" in before
    assert "left" not in before
    assert "epoch 2/5" in after
    assert "loss 0.500, 87.5 %, 20.0 % spike, about 30 s left" in after
    # 4 trials of 50 s, 20 s of them done
    assert "smoke: 0 of 4 trials, about 3 min 0 s left" in after


def test_with_repeats_a_trial_is_named_by_what_sets_its_design_apart() -> None:
    knobs = {"time_steps": 1, "width": 0.5, "threshold": 1.0}
    repeats = config("space={width: 0.5, time_steps: {choice: [1, 2]}}", "budget={repeats: 2}")
    assert progress.designation(3, "snn", knobs, repeats) == "#3 snn time_steps=1"
    assert progress.designation(0, "ann", {"width": 0.5}, repeats) == "#0 ann"
    search = config("space={width: 0.5, time_steps: {choice: [1, 2]}}")
    assert progress.designation(3, "snn", knobs, search) == "#3 snn"
    record = TrialRecord(3, "failed", "snn", {"knobs": knobs}, 0, reason="no price")
    assert progress._line(record, 4, repeats, 6, None) == (
        "[4 of 6] #3 snn time_steps=1: failed: no price"
    )
    job = _doing(Job(0, 3, Design.of("snn", "mlp", knobs)), repeats, None)
    assert progress.under_way(job, repeats) == "#3 snn time_steps=1"


def test_time_left_of_a_trial_runs_down_between_its_epochs() -> None:
    job = {**_doing(JOB, config(), RESULT), "at": time.time() - 12}
    assert progress.trial_left_s(job) == pytest.approx(18, abs=1)
    assert progress.trial_left_s({**job, "at": 0}) == 0
    assert progress.trial_left_s(_doing(JOB, config(), None)) is None


def test_time_left_of_a_sweep_before_its_first_record() -> None:
    job = {**_doing(JOB, config(), RESULT), "at": time.time()}
    assert progress.sweep_left_s([], config(), {}, 4) is None
    assert progress.sweep_left_s([], config(), {"a": _doing(JOB, config(), None)}, 4) is None
    assert progress.sweep_left_s([], config(), {"a": job}, 4) == pytest.approx(180, abs=1)
    # two workers: 200 s of work, 40 s of it done
    assert progress.sweep_left_s([], config(), {"a": job, "b": job}, 4) == pytest.approx(80, abs=1)
    hours = config("budget={cpu_hours: 1}")
    assert progress.sweep_left_s([], hours, {"a": job}, None) == pytest.approx(3600, abs=1)


def test_a_refused_design_does_not_count_in_the_lines(tmp_path, capsys) -> None:
    folder = RunFolder(tmp_path)
    lines = progress._Lines(folder, config(), 4)
    design = {"variant": "ann", "architecture": "mlp", "knobs": {}}
    for number, state in enumerate(("refused", "failed")):
        one = TrialRecord(number, state, "ann", design, 0, reason="why", times={"total_s": 1.0})
        folder.append(one)
    lines.look()
    said = capsys.readouterr().err
    assert "[0 of 4] #0 ann: refused: why" in said
    assert "[1 of 4] #1 ann: failed: why" in said
