"""Scale: what ten thousand records cost: their report, and the next proposal.

python -m benchmarks.search.scale
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch

from benchmarks.counting.tables import Table
from benchmarks.machine import processor
from benchmarks.search.clock import processor_s
from benchmarks.search.made import fill, made_sweep, without_training
from dse import study
from dse.sweep import Sweep

MEANING = (
    "Records made up, each training with a count document of its own. report: a process of `dse "
    "report`, with its imports. proposal: from the record of one trial to the next training, by "
    "one worker of `dse run` with TPE, the median of some; the first also reads all records."
)
_PROPOSALS = 6


def main() -> None:
    """Read the options, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--records", type=int, default=10_000, help="default 10000")
    parser.add_argument(
        "--readings", type=int, nargs="+", default=[0, 7], help="of each training; default 0 and 7"
    )
    parser.add_argument("--markdown", action="store_true", help="for benchmarks/README.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}\n{MEANING}\n")
    table = scale_table(options.records, options.readings)
    print(table.text(is_markdown=options.markdown))


def scale_table(records: int, readings: list[int]) -> Table:
    """A row for each number of readings of a training."""
    table = Table(
        f"{records:,} records",
        (
            "trainings x points of each",
            "report: CPU s",
            "report: peak MB",
            "first proposal: CPU s",
            "proposal: CPU s",
        ),
    )
    for each in readings:
        trainings = records // (each + 1)
        with tempfile.TemporaryDirectory() as place:
            budget = f"budget={{trials: {trainings + _PROPOSALS}}}"
            sweep = made_sweep(Path(place) / "run", budget)
            fill(sweep, trainings, each)
            name = f"{trainings:,} x {each + 1}"
            try:
                report_s, peak_mb = report_cost(sweep.folder.path)
            except RuntimeError as error:
                table.add_sentence(name, str(error))
                continue
            study.begin(sweep)
            first_s, *later_s = proposal_costs(sweep)
        costs = f"{report_s:.1f}", f"{peak_mb:.0f}", f"{first_s:.2f}", f"{median(later_s):.3f}"
        table.add(name, *costs)
    return table


def report_cost(folder: Path) -> tuple[float, float]:
    """Processor seconds of `dse report`, and the most memory it held, in MB.

    Raises RuntimeError, with the last line that it said, if it fails.
    """
    command = [sys.executable, "-c", "from dse.cli.main import main; main()", "report", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"fails: {said.decode().strip().splitlines()[-1]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def proposal_costs(sweep: Sweep) -> list[float]:
    """Processor seconds up to each training that the budget still has room for."""
    marks = [processor_s()]
    with without_training(sweep, lambda: marks.append(processor_s())):
        study.work(sweep)
    return [after - before for before, after in itertools.pairwise(marks)]


if __name__ == "__main__":
    main()
