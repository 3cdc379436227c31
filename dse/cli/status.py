"""`dse status`: how a sweep stands."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import target as targets
from dse.cli import terminal

if TYPE_CHECKING:
    from dse.runfolder import RunFolder


def status(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="run folder, or its name under runs/")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="URL of the database of a run that hosts share")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--run", metavar="NAME-ID", help="the run in that database")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Trials by state, hypervolume so far, time left; also while the sweep runs elsewhere."""
    with _opened(run, storage, name) as folder:
        _show(folder, as_json)


@contextlib.contextmanager
def _opened(run: str | None, storage: str | None, name: str | None) -> Iterator[RunFolder]:
    """A run folder of this host, or a run of a database, for as long as the block takes."""
    from dse.cli.worker import storage_of

    url = storage_of(run, storage, name)
    if url is None:
        yield targets.open_run(run or "")
        return
    from dse.joining import join

    with tempfile.TemporaryDirectory() as scratch:
        yield join(url, name or "", Path(scratch))


def _show(folder: RunFolder, as_json: bool) -> None:
    from dse import inventory
    from dse.cli.progress import duration, sweep_left_s, trial_left_s, under_way
    from dse.cli.report import front_lines
    from dse.selection import budget_text, front, hypervolume, planned, trainings

    config = inventory.load_begun(folder.sweep_file)
    records = folder.records()
    doing = folder.doing()
    own = [record for record in records if record.parent is None]
    states: Counter[str] = Counter(record.state for record in own)
    made: Counter[str] = Counter(record.point for record in records if record.parent is not None)
    done = len(trainings(records))
    volume = hypervolume(records, config)
    space = inventory.space(config)
    trials = planned(config, space)
    left_s = sweep_left_s(records, config, doing, trials)
    if as_json:
        terminal.as_json(
            {
                "run": str(folder.path),
                "states": dict(states),
                "done": done,
                "made": dict(made),
                "budget": config.budget.model_dump(),
                "planned": trials,
                "front": [record.name for record in front(records, config)],
                "hypervolume": volume,
                "seconds_left": left_s,
                "workers": dict(doing),
            }
        )
        return
    terminal.result(f"{folder.path}: {done} done of {budget_text(config, space)}")
    for state, count in sorted(states.items()):
        terminal.result(f"  {state}: {count}")
    for point, count in sorted(made.items()):
        terminal.result(f"  points {point}: {count}")
    terminal.result(f"workers now: {len(doing)}")
    for worker, job in doing.items():
        trial_s = trial_left_s(job)
        terminal.result(
            f"  {worker}: {under_way(job, config)}, epoch {job['epoch']}/{job['epochs']}"
            + ("" if trial_s is None else f", about {duration(trial_s)} left")
        )
    if volume is not None and config.budget.repeats is None:
        terminal.result(
            f"hypervolume so far: {volume:.4g} (from the worst point seen; energy as log10)"
        )
    if left_s is not None and left_s > 0:
        terminal.result(
            f"time left: about {duration(left_s)}" + ("" if doing else ", once it is run again")
        )
    for line in front_lines(records, config):
        terminal.result(line)
