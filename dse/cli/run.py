"""`dse run`: run a sweep, or go on with it, and write its report."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import terminal

if TYPE_CHECKING:
    from dse.config import SweepConfig
    from dse.runfolder import RunFolder
    from dse.sweep import Sweep
    from reports.record import TrialRecord


def run(
    sweep: Annotated[
        str, typer.Argument(metavar="SWEEP", help="a shipped sweep, or a file of yours (.yaml)")
    ],
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="changes of that name in the file, before --set"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="run folder; default: runs/NAME, or runs/NAME-PRESET")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes, of one thread each")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="trials in all, over restarts and workers")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=V", help="change one entry")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar=terminal.STORAGE,
            show_envvar=False,
            help="URL of an Optuna storage; default: a file in the run folder",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="folder of the data set; default: download, once")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda; default: auto, or as the run began")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show plan, size of the space and time; train nothing")
    ] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="write no report")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Run a sweep: train its designs, record each, chart the front of accuracy against energy.

    The same command goes on where a stopped run was: no finished trial is lost or done again.
    """
    from dse import inventory
    from dse.runfolder import RunFolder

    given = list(overrides or [])
    if trials is not None:
        given.append(f"budget={{trials: {trials}}}")
    if workers is not None:
        given.append(f"workers={workers}")
    config = inventory.load_sweep(sweep, given, preset)
    # a plan makes no folder, and asks nothing of one that is there
    folder = RunFolder(out or Path("runs") / config.name)
    if not dry_run:
        _refuse_other(folder, config)
    before = folder.settings()
    data_dir = data_dir or (Path(before["data_dir"]) if before.get("data_dir") else None)
    device = device or before.get("device") or "auto"
    # from here on torch is loaded: a mistake in the sweep file has been told before
    from dse.admission import check_data, check_prices
    from dse.cli.target import pick_device
    from dse.finishing import finish
    from dse.recipe import Recipe
    from dse.selection import trainings
    from dse.storage import reach
    from dse.study import begin
    from dse.study import run as run_study
    from dse.sweep import Sweep
    from dse.urls import is_postgresql
    from dse.warmstart import sources

    recipe = Recipe(config, data_dir, pick_device(device))
    prepared = Sweep(folder, recipe, inventory.space(config), storage)
    # missing data, prices, or a database that is not there, are told before a folder is made
    recipe.data()
    check_data(prepared)
    sources(config)
    for line in check_prices(prepared):
        terminal.say(f"incomplete: {line}")
    if dry_run:
        from dse.cli.plan import show_plan

        show_plan(recipe, prepared.space, as_json=as_json)
        return
    if storage is not None:
        reach(storage)
    from dse.config import dump_sweep
    from dse.pricing import fingerprint

    folder.begin(
        dump_sweep(config),
        profiles={name: fingerprint(name) for name in config.hardware},
        own=recipe.fingerprints(),
        data_dir=None if data_dir is None else str(data_dir.resolve()),
        device=device,
        storage=storage,
    )
    is_shared = storage is not None and is_postgresql(storage)
    if is_shared:
        prepared = _shared(prepared)
        folder = prepared.folder
    found = len(trainings(folder.records()))
    if found:
        terminal.say(f"going on with {folder.path}: {found} trials are there")
    from dse.cli import progress
    from dse.cli.worker import at_a_time

    workers = at_a_time(config.workers)
    try:
        for line in begin(prepared):
            terminal.say(line)
        if is_shared:
            _publish(folder)
        with progress.shown(folder, config):
            run_study(prepared, workers)
        _say_used_up(prepared)
        measured = "the front, and the best of each variant,"
        if config.budget.repeats is not None:
            measured = "every trained network"
        terminal.say(f"measuring {measured} on the test data")
        records = finish(prepared, progress.through)
        folder.gather()
    except KeyboardInterrupt:
        kept = len(trainings(folder.records()))
        terminal.say(
            f"stopped; {kept} finished trials are kept in {folder.path}, and of those under way "
            "the last whole epoch"
        )
        terminal.say(f"to go on: {terminal.command(sys.argv[1:])}")
        raise typer.Exit(130) from None
    _end(folder, config, records, no_report, as_json)


def _say_used_up(sweep: Sweep) -> None:
    """A space with fewer designs than the budget has trials ends a sweep early."""
    from dse.dispatch import is_spent

    size = sweep.space.size()
    records = sweep.folder.records()
    if size is None or is_spent(records, 0, sweep):
        return
    refused = sum(one.state == "refused" for one in records)
    if refused == size:
        terminal.say(f"all {size} designs of the space are beyond a limit: nothing was trained")
        return
    beyond = f" but {refused} that are beyond a limit" if refused else ""
    terminal.say(
        f"all {size} designs of the space{beyond} are trained, and none twice: the rest of the "
        "budget is left (`budget: {repeats: N}` trains each N times)"
    )


def _refuse_other(folder: RunFolder, config: SweepConfig) -> None:
    """A run of another sweep in the folder is refused."""
    from dse import inventory
    from dse.errors import TargetError

    if folder.path.exists() and not folder.path.is_dir():
        raise TargetError(f"{folder.path}: is a file; --out must name a folder")
    if not folder.sweep_file.exists():
        return
    free = {"budget", "workers"}
    ours = config.model_dump(exclude=free)
    before = inventory.load_begun(folder.sweep_file)
    theirs = before.model_dump(exclude=free)
    changed = sorted(key for key in ours if ours[key] != theirs[key])
    if (config.budget.repeats is None) != (before.budget.repeats is None):
        changed.append("kind of budget")  # with repeats a number stands for a design
    if changed:
        raise TargetError(
            f"{folder.path}: holds a run of this sweep with other entries: {', '.join(changed)}; "
            "give --out another folder, or remove this one"
        )


def _shared(sweep: Sweep) -> Sweep:
    """The sweep with its folder as the mirror of a run in a database."""
    from dse.joining import share

    assert sweep.storage is not None
    return replace(sweep, folder=share(sweep.folder, sweep.config, sweep.storage))


def _publish(folder: RunFolder) -> None:
    from dse.joining import publish
    from dse.sharedfolder import SharedFolder

    assert isinstance(folder, SharedFolder)
    publish(folder)
    terminal.say(f"on other hosts: dse worker --storage URL --run {folder.run}")


def _end(
    folder: RunFolder,
    config: SweepConfig,
    records: list[TrialRecord],
    no_report: bool,
    as_json: bool,
) -> None:
    from dse.cli import families
    from dse.cli.report import energy_draws, front_lines, report_data
    from dse.selection import front

    page = None
    compared: list[str] = []
    if no_report:
        draws = energy_draws(folder, config, records)
    else:
        from reports.page import write_report

        with folder.lock():
            data = report_data(folder, config, records)
            page = write_report(data, folder.path)
        draws = data.energy_draws
        compared = families.lines(data)
    if as_json:
        terminal.as_json(
            {
                "run": str(folder.path),
                "front": [record.to_dict() for record in front(records, config)],
                "states": {
                    state: sum(record.state == state for record in records)
                    for state in dict.fromkeys(record.state for record in records)
                },
                "report": None if page is None else str(page),
            }
        )
    else:
        for line in (*compared, *front_lines(records, config, draws)):
            terminal.result(line)
        if page is not None:
            terminal.result(f"report: {page}")
    if not any(record.state == "complete" for record in records):
        terminal.say(f"not one trial was completed; the reasons are in {folder.records_file}")
        raise typer.Exit(1)
