"""A sweep with a preset: a run folder of its own, in which the same command goes on."""

import pytest
from command import dse

from dse import inventory

pytestmark = pytest.mark.slow

SWEEP = """\
name: mine
data: digits
variants: [ann]
architecture: convnet
space: {width: 0.1, depth: 1}
objectives: [accuracy, energy_pj]
hardware: [cmos45-fp32]
budget: {repeats: 3}
presets:
  small: {data.samples: 200, training.epochs: 1, budget: {repeats: 1}}
"""


def test_a_preset_has_a_run_folder_and_goes_on_in_it(tmp_path):
    (tmp_path / "mine.yaml").write_text(SWEEP)
    done = dse("run", "mine.yaml", "--preset", "small", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "mine-small"
    assert [file.name for file in folder.parent.iterdir()] == ["mine-small"]
    written = inventory.load_sweep(folder / "sweep.yaml")
    assert written == inventory.load_sweep(tmp_path / "mine.yaml", preset="small")
    assert (written.training.epochs, written.budget.repeats) == (1, 1)
    again = ["mine.yaml", "--preset", "small"], ["runs/mine-small/sweep.yaml"]
    for arguments in again:
        done = dse("run", *arguments, "--no-report", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "going on with runs/mine-small: 1 trials are there" in done.stderr
    refused = dse("run", "mine.yaml", "--out", "runs/mine-small", folder=tmp_path)
    assert refused.returncode == 2
    assert "holds a run of this sweep with other entries" in refused.stderr
