"""A worker that is killed in the middle of an epoch: its trial ends with the same bits."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment

pytestmark = pytest.mark.slow

EPOCHS, STEPS = 6, 7  # 240 training samples in batches of 32
KILLED_IN = 4  # this epoch, in its third step
# The command, in which the optimiser counts its steps and may kill the process at one of them.
DSE = """
import os, signal, sys
import torch

fatal = int(sys.argv.pop(1))
steps = 0
step = torch.optim.AdamW.step

def counted(self, closure=None):
    global steps
    steps += 1
    if steps == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, closure)

torch.optim.AdamW.step = counted
from dse.cli.main import main
try:
    main()
finally:
    print("steps", steps, file=sys.stderr)
"""


def run(folder: Path, fatal: int = 0) -> subprocess.CompletedProcess[str]:
    options = ("--trials", "1", "--set", f"training.epochs={EPOCHS}", "--no-report")
    tricks = ("--set", "training.augment=[shift]", "--set", "training.mixup=0.2")
    command = (sys.executable, "-c", DSE, str(fatal), "run", "smoke", *options, *tricks)
    return subprocess.run(
        [*command, "--set", "variants=[snn, s2nn]"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def record(folder: Path) -> dict[str, object]:
    [line] = (folder / "runs/smoke/records.jsonl").read_text().splitlines()
    return json.loads(line)


def timeless(row: dict[str, object]) -> dict[str, object]:
    """Without times and notes, and without the number that Optuna gave: the kill has used one."""
    return {k: v for k, v in row.items() if k not in ("times", "notes", "worker")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert f"steps {EPOCHS * STEPS}" in done.stderr
    return folder


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_trial_goes_on_after_its_last_whole_epoch(
    tmp_path: Path, whole: Path, is_damaged: bool
) -> None:
    died = run(tmp_path, fatal=(KILLED_IN - 1) * STEPS + 3)
    assert died.returncode == -signal.SIGKILL
    trial = tmp_path / "runs/smoke/trials/0"
    assert [path.name for path in trial.iterdir()] == ["checkpoint.safetensors"]
    if is_damaged:
        content = (trial / "checkpoint.safetensors").read_bytes()
        (trial / "checkpoint.safetensors").write_bytes(content[:-1])

    again = run(tmp_path)
    assert again.returncode == 0, again.stderr
    epochs = EPOCHS if is_damaged else EPOCHS - KILLED_IN + 1
    assert f"steps {epochs * STEPS}" in again.stderr
    for name in ("weights.safetensors", "counts.json"):
        expected = (whole / "runs/smoke/trials/0" / name).read_bytes()
        assert (trial / name).read_bytes() == expected
    assert not (trial / "checkpoint.safetensors").exists()
    first, second = record(whole), record(tmp_path)
    assert timeless(first) == timeless(second)
    notes = [note for note in second["notes"] if note not in first["notes"]]
    if is_damaged:
        assert notes[0].startswith("trained from the start: its checkpoint was not used: damaged")
        assert "the training starts over" in again.stderr
    else:
        assert notes == []
