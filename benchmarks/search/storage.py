"""Storage: what the study costs around a training, by where it is kept.

python -m benchmarks.search.storage --postgres postgresql+psycopg://USER@HOST/DATABASE
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import optuna
import torch

from benchmarks.counting.tables import Table
from benchmarks.machine import processor
from benchmarks.search.clock import processor_s
from benchmarks.search.made import made_record, made_sweep, without_training
from dse import study
from dse.design import Design
from dse.selection import objective_values
from dse.space import suggest
from dse.storage import directions
from dse.sweep import Sweep

MEANING = (
    "Milliseconds of this process for each trial, training aside: taking a design, writing its "
    "record to the disk, telling the storage. Designs are drawn at random. Beside it plain Optuna "
    "with the same storage: ask, five suggestions, tell. Time on the wall is that of the disk as "
    "well; what a database server does in its own process is in it, too."
)


def main() -> None:
    """Read the options, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search.storage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trials", type=int, default=150, help="default 150")
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    parser.add_argument("--markdown", action="store_true", help="for benchmarks/README.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"Optuna {optuna.__version__}, {processor()}\n{MEANING}\n")
    print(storage_table(options.trials, options.postgres).text(is_markdown=options.markdown))


def storage_table(trials: int, postgres: str | None) -> Table:
    """A row for each storage."""
    table = Table(
        f"overhead of a trial, {trials} trials of one worker",
        ("storage", "dse: CPU ms", "dse: wall ms", "Optuna: CPU ms", "Optuna: wall ms"),
    )
    with tempfile.TemporaryDirectory() as place:
        named: list[tuple[str, str | None]] = [
            ("journal", None),
            ("SQLite", f"sqlite:///{place}/ours.db"),
            ("PostgreSQL", postgres),
        ]
        for name, url in named:
            if name == "PostgreSQL" and url is None:
                table.add_sentence(name, "not measured: give --postgres")
                continue
            ours = _around(made_sweep(Path(place) / name, *_sweep(trials), storage=url))
            theirs = _plain(Path(place) / f"{name}-plain", trials, url)
            table.add(name, *(f"{1000 * seconds / trials:.1f}" for seconds in (*ours, *theirs)))
    return table


def _sweep(trials: int) -> tuple[str, ...]:
    return f"budget={{trials: {trials}}}", "search={sampler: random}"


def _around(sweep: Sweep) -> tuple[float, float]:
    """Seconds of the processor and of the wall."""
    study.begin(sweep)
    with without_training(sweep):
        start_s, start_wall_s = processor_s(), time.perf_counter()
        study.work(sweep)
        return processor_s() - start_s, time.perf_counter() - start_wall_s


def _plain(folder: Path, trials: int, url: str | None) -> tuple[float, float]:
    """As `_around`, with Optuna alone. url : None = its journal"""
    sweep = made_sweep(folder, *_sweep(trials))
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "plain.journal"))
    plain = optuna.create_study(
        storage=url or optuna.storages.JournalStorage(backend),
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=directions(sweep.config),
    )
    start_s, start_wall_s = processor_s(), time.perf_counter()
    for number in range(trials):
        trial = plain.ask()
        design: Design = suggest(trial, sweep.space)
        plain.tell(trial, objective_values(made_record(design, number, sweep.config), sweep.config))
    return processor_s() - start_s, time.perf_counter() - start_wall_s


if __name__ == "__main__":
    main()
