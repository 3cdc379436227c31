"""The trials of a run as a data frame."""

from pathlib import Path

import pytest

import dse
from dse import inventory
from dse.config import dump_sweep
from dse.errors import RunFolderError
from dse.runfolder import RunFolder
from reports.record import TrialRecord


def test_a_row_a_record_with_knobs_values_and_the_front(tmp_path: Path):
    folder = RunFolder(tmp_path / "mine")
    folder.begin(dump_sweep(inventory.load_sweep("smoke")))
    for number, accuracy in enumerate((0.5, 0.9)):
        folder.append(
            TrialRecord(
                number,
                "complete",
                "ann",
                {"variant": "ann", "architecture": "mlp", "knobs": {"width": 0.5}},
                seed=number,
                metrics={"validation": {"accuracy": accuracy, "samples": 10}, "test": None},
                energy={"cmos45-fp32": {"total_pj": 10.0}},
            )
        )
    table = dse.trials(folder.path)
    assert table["validation_accuracy"].tolist() == [0.5, 0.9]
    assert table["energy_pj_cmos45-fp32"].tolist() == [10.0, 10.0]
    assert table["knob_width"].tolist() == [0.5, 0.5]
    assert table["on_front"].tolist() == [False, True]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(RunFolderError, match="must be a folder with a sweep"):
        dse.trials(tmp_path)
