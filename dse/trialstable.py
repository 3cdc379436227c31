"""Trials table: the trials of a run as a data frame, for a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dse import inventory
from dse.errors import RunFolderError
from dse.runfolder import RunFolder
from dse.selection import objectives
from reports.table import trials_frame

if TYPE_CHECKING:
    import pandas as pd


def trials(run: str | Path) -> pd.DataFrame:
    """One row a record of a run folder, with the columns of its `trials.csv`; nothing is trained.

    Units stand in the names of the columns: accuracies are 0 to 1, energies pJ per sample.
    `on_front` is by the objectives and limits of the sweep, on validation data. What is unknown is
    empty. Reads a run that is still under way, too.

    Raises RunFolderError if there is no such run.
    """
    folder = RunFolder(Path(run))
    if not folder.sweep_file.is_file():
        raise RunFolderError(f"{run}: no such run: must be a folder with a sweep.yaml")
    return trials_frame(folder.records(), objectives(inventory.load_sweep(folder.sweep_file)))
