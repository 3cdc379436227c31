"""A sweep over data and a model of the user's own: the example of docs/own.md, and mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import dse, environment

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "own.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the example, by the name that their first line gives."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["make_data.py", "net.py", "mine.yaml"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    subprocess.run([sys.executable, "make_data.py"], cwd=tmp_path, env=environment(), check=True)
    return tmp_path


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]


def test_the_example_runs_goes_on_and_is_made_again(folder: Path, tmp_path: Path) -> None:
    done = dse("run", "mine.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "mine"
    found = records(run)
    assert [one["state"] for one in found] == ["complete"] * 4
    assert {one["variant"] for one in found} == {"own"}
    assert {tuple(sorted(one["design"]["knobs"])) for one in found} == {
        ("activation", "depth", "hidden", "learning_rate")
    }
    assert all("no test part" in one["notes"][0] for one in found)
    assert any(one["metrics"]["test"] for one in found)
    assert max(one["metrics"]["validation"]["accuracy"] for one in found) > 0.8
    # from elsewhere: the run folder knows where everything is
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    again = dse("rerun", f"{run}#1", folder=elsewhere)
    assert again.returncode == 0, again.stderr + again.stdout
    more = dse(
        "run", "../mine.yaml", "--trials", "5", "--out", str(run), "--no-report", folder=elsewhere
    )
    assert more.returncode == 0, more.stderr
    assert len(records(run)) == 5
    # other code, other data: not gone on with, and the report still works
    net = (folder / "net.py").read_text()
    (folder / "net.py").write_text(net + "\n")
    changed = dse("run", "mine.yaml", "--trials", "6", folder=folder)
    assert changed.returncode == 1
    assert "the model of this run changed since it was begun" in changed.stderr
    (folder / "net.py").write_text(net)
    arrays = dict(np.load(folder / "mine.npz"))
    np.savez(folder / "mine.npz", **{**arrays, "train_labels": arrays["train_labels"][::-1]})
    changed = dse("run", "mine.yaml", "--trials", "6", folder=folder)
    assert changed.returncode == 1
    assert "the data of this run changed since it was begun" in changed.stderr
    (folder / "mine.npz").unlink()
    (folder / "net.py").unlink()
    assert dse("report", "mine", folder=folder).returncode == 0


def test_a_first_model_that_cannot_be_built_stops_before_any_training(folder: Path) -> None:
    net = (folder / "net.py").read_text()
    (folder / "net.py").write_text(net.replace("features = channels", "features = 1 + channels"))
    done = dse("run", "mine.yaml", folder=folder)
    assert done.returncode == 2
    assert re.search(r"model: \S*net\.py.*: RuntimeError: mat1 and mat2 shapes", done.stderr)
    assert not (folder / "runs").exists()


def test_a_later_one_is_a_failed_trial_with_its_line(folder: Path) -> None:
    text = (folder / "net.py").read_text()
    line = text.splitlines().index("    for _ in range(depth):") + 1
    text = text.replace("    for _ in range(depth):", "    1 / (depth - 2); assert depth\n", 1)
    (folder / "net.py").write_text(text.replace("        act =", "    if True:\n        act ="))
    sweep = (folder / "mine.yaml").read_text().replace("{range: [1, 2]}", "{choice: [1, 2]}")
    (folder / "mine.yaml").write_text(sweep.replace("{log_range: [8, 128]}", "{choice: [8, 16]}"))
    done = dse("run", "mine.yaml", "--set", "budget={repeats: 1}", folder=folder)
    assert done.returncode == 0, done.stderr
    found = records(folder / "runs" / "mine")
    assert len(found) == 8
    failed = [one for one in found if one["state"] == "failed"]
    assert {one["design"]["knobs"]["depth"] for one in failed} == {2}
    reason = f"BuildFailure: {folder.resolve()}/net.py:{line}: ZeroDivisionError: division by zero"
    assert {one["reason"] for one in failed} == {reason}


EVENTS = """\
name: events
data: events.npz
variants: [{variants}]
architecture: convnet
space:
  width: 0.25
  {knobs}
objectives: [accuracy, energy_pj]
hardware: [cmos45-fp32]
budget: {{trials: 2}}
training: {{epochs: 2, augment: [shift]}}
"""


@pytest.fixture
def events(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    images = random.integers(0, 3, (80, 5, 2, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "events.npz", train_images=images, train_labels=np.arange(80) % 4)
    return tmp_path


def test_frames_of_events_are_swept(events: Path) -> None:
    text = EVENTS.format(variants="snn", knobs="time_steps: {choice: [2, 5]}")
    (events / "events.yaml").write_text(text)
    done = dse("run", "events.yaml", "--set", "workers=2", folder=events)
    assert done.returncode == 0, done.stderr
    for one in records(events / "runs" / "events"):
        assert one["state"] == "complete", one["reason"]
        steps = one["design"]["knobs"]["time_steps"]
        counts = json.loads((events / "runs" / "events" / one["counts_file"]).read_text())
        first = counts["layers"][0]
        # 4 channels of 3x3 taps over 2 channels, at 8x8 places and every step; 0, 1 and 2 events
        assert first["dense_graded"] + first["dense_ac"] == steps * 4 * 9 * 2 * 8 * 8
        assert first["mac"] == 0


def test_what_frames_of_events_do_not_go_with_is_told_at_once(events: Path) -> None:
    text = EVENTS.format(variants="ann, snn", knobs="encoding: {choice: [direct, poisson]}")
    (events / "events.yaml").write_text(text)
    done = dse("run", "events.yaml", folder=events)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "variants: ann takes images, and events has 5 frames of events a sample. Leave it out, or "
        "give data with the frames added up",
        "space: time_steps is missing: snn sees the first so many of the 5 frames of events. Write "
        "time_steps: 5",
        "space: encoding: only direct takes the values of events, which go from 0 to 2; the others "
        "take 0 to 1",
    ]
    (events / "events.yaml").write_text(
        EVENTS.format(variants="snn", knobs="time_steps: {range: [1, 8]}")
    )
    done = dse("run", "events.yaml", folder=events)
    assert done.returncode == 2
    assert done.stderr == (
        "space: time_steps: goes beyond the 5 frames of events for snn. Write 5 at most\n"
    )
