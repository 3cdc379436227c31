"""`dse worker`: help with a sweep that another process began, here or on another host."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import target as targets
from dse.cli import terminal
from dse.errors import TargetError

if TYPE_CHECKING:
    from dse.runfolder import RunFolder


def worker(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="run folder of this machine, or its name")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help=f"URL of the database of the run; default: ${terminal.STORAGE}"),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--run", metavar="NAME-ID", help="the run in that database")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for it on this host; default: runs/NAME")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes, of one thread each")] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(help="folder of the data set here; default: download, once")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; default: auto")] = None,
) -> None:
    """Help with a sweep until its budget is spent: dse worker RUN, or --storage URL --run NAME.

    `dse run` begins a sweep and writes its report; workers may come and go, and may be killed.
    """
    from dse import inventory

    folder, url = _joined(run, storage, name, out, data_dir, device)
    config = inventory.load_begun(folder.sweep_file)
    settings = folder.settings()
    data_dir = data_dir or (Path(settings["data_dir"]) if settings.get("data_dir") else None)
    from dse.cli import progress
    from dse.pricing import fingerprint
    from dse.recipe import Recipe
    from dse.selection import trainings
    from dse.study import run as run_study
    from dse.sweep import Sweep

    folder.refuse_changed({profile: fingerprint(profile) for profile in config.hardware})
    device = targets.pick_device(device or settings.get("device") or "auto")
    sweep = Sweep(folder, Recipe(config, data_dir, device), inventory.space(config), url)
    sweep.recipe.data()  # missing data are told before anything else
    note = getattr(folder, "note", None)
    if note is not None:
        terminal.say(f"beside every record of this host will stand: {note}")
    terminal.say(f"joined {folder.path}: {len(trainings(folder.records()))} trials are there")
    try:
        with progress.shown(folder, config):
            run_study(sweep, at_a_time(workers))
    except KeyboardInterrupt:
        terminal.say("stopped; others go on with what was under way, after its last whole epoch")
        terminal.say(f"to help again: {terminal.command(sys.argv[1:])}")
        raise typer.Exit(130) from None
    terminal.say("the budget is spent; the `dse run` that began the sweep writes the report")


def storage_of(run: str | None, storage: str | None, name: str | None) -> str | None:
    """The URL of the database that is asked for, None for a run folder of this machine.

    Raises TargetError if it is said in no way, or in two.
    """
    url = storage or (os.environ.get(terminal.STORAGE) if run is None else None)
    if run is not None and (storage is not None or name is not None):
        raise TargetError("give a RUN of this machine, or --storage and --run; not both")
    if run is None and (url is None or name is None):
        missing = " and ".join(
            option for option, value in (("--storage", url), ("--run", name)) if value is None
        )
        raise TargetError(
            f"no {missing}: give a RUN of this machine, or --storage URL and --run NAME of a run "
            f"that hosts share; the URL may stand in ${terminal.STORAGE}"
        )
    return url


def at_a_time(workers: int) -> int:
    """How many of so many workers this machine has room for; says it if they are fewer."""
    from dse.processes import cores

    possible = min(workers, cores())
    if possible < workers:
        terminal.say(
            f"{possible} at a time instead of {workers}: so many cores are there, and more "
            "workers would make every one slower"
        )
    if possible > 1:
        terminal.say(f"starting {possible} workers")
    return possible


def _joined(
    run: str | None,
    storage: str | None,
    name: str | None,
    out: Path | None,
    data_dir: Path | None,
    device: str | None,
) -> tuple[RunFolder, str | None]:
    """The folder of the run on this host, and the URL of its study (None: in the folder)."""
    url = storage_of(run, storage, name)
    if url is not None:
        from dse.joining import join

        here = None if data_dir is None else str(data_dir.resolve())
        return join(url, name or "", out, data_dir=here, device=device), url
    if out is not None:
        raise TargetError("--out: a RUN of this machine is its own folder; leave it out")
    folder = targets.open_run(run or "")
    known = folder.settings().get("storage")
    if known is None:
        return folder, None
    from dse.urls import is_postgresql

    if is_postgresql(known) or "***" in known:
        identity = folder.settings()["id"]
        raise TargetError(
            f"{folder.path}: its study is in {known}: join by --storage URL --run {identity} "
            f"--out {folder.path}"
        )
    return folder, known
