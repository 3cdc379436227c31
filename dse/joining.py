"""Joining: a run is published in a database, and found there by workers of other hosts."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from dse import presence
from dse.artifacts import DatabaseArtifacts
from dse.config import SweepConfig
from dse.database import Database, unusable
from dse.errors import StorageError, TargetError
from dse.runfolder import RunFolder, environment_here
from dse.safefile import write_atomically
from dse.sharedfolder import SharedFolder

_RUNS = "runs/"
_FILES = ("sweep.yaml", "settings.json", "environment.json")
_WARM = "warm.jsonl"


def share(folder: RunFolder, config: SweepConfig, url: str) -> SharedFolder:
    """A folder that was begun here, as the mirror of its run in a database.

    Raises StorageError if the database cannot be used.
    """
    database = _prepared(url)
    return SharedFolder(folder.path, database, f"{config.name}-{folder.settings()['id']}")


def publish(folder: SharedFolder) -> None:
    """Let other hosts find a run: they may join from now on."""
    for name in (*_FILES, *([_WARM] if folder.warm_file.exists() else ())):
        folder.artifacts.write(f"{folder.run}/{name}", io.BytesIO(_content(folder, name)))
    folder.artifacts.write(_RUNS + folder.run, io.BytesIO())


def join(url: str, run: str, path: Path | None, **settings: str | None) -> SharedFolder:
    """A run of a database, with a folder for it on this host.

    run : NAME-ID, or NAME or ID if only one run has it
    path : folder, made or taken up; None = runs/NAME
    settings : what differs from host to host: data_dir, device

    Raises TargetError if there is no such run, or if another one is in the folder; StorageError if
    the database cannot be used, or if this host would come to other numbers.
    """
    database = _prepared(url)
    name = find(database, run)
    artifacts = DatabaseArtifacts(database)
    sweep, theirs, environment = (artifacts.read(f"{name}/{file}").decode() for file in _FILES)
    known = json.loads(theirs)
    path = path or Path("runs") / name.removesuffix(f"-{known['id']}")
    folder = RunFolder(path)
    if folder.path.exists() and not folder.path.is_dir():
        raise TargetError(f"{folder.path}: is a file; --out must name a folder")
    before = folder.settings()
    if before and before["id"] != known["id"]:
        raise TargetError(f"{folder.path}: holds another run; give --out another folder")
    settings = {key: value or before.get(key) for key, value in settings.items()}
    own = known.get("own")
    folder.begin(sweep, known["profiles"], own, storage=url, id=known["id"], **settings)
    if artifacts.names(f"{name}/{_WARM}"):
        write_atomically(folder.warm_file, artifacts.read(f"{name}/{_WARM}"))
    note = compared(json.loads(environment), environment_here(), sweep)
    return replace(SharedFolder(folder.path, database, name), note=note)


def find(database: Database, run: str) -> str:
    """The whole name of a run in a database.

    Raises TargetError if there is none, or more than one.
    """
    names = [name.removeprefix(_RUNS) for name in DatabaseArtifacts(database).names(_RUNS)]
    found = [name for name in names if run in (name, *_halves(name))]
    if len(found) == 1:
        return found[0]
    where = repr(database)
    if found:
        raise TargetError(f'run "{run}": {where} has {len(found)} of them: {", ".join(found)}')
    have = f"it has {', '.join(names)}" if names else "it has none; `dse run` publishes one"
    raise TargetError(f'run "{run}": is not in {where}; {have}')


def compared(theirs: Mapping[str, Any], ours: Mapping[str, Any], sweep: str) -> str | None:
    """What must stand beside the records of a host that is not like the one that began the run.

    sweep : its text. Raises StorageError if the numbers of this host would not belong to the run:
    another version of dse counts and prices otherwise; another PyTorch breaks a promise of the
    same bits.
    """
    then, now = theirs["versions"], ours["versions"]
    if then["dse"] != now["dse"]:
        raise StorageError(
            f"this host has dse {now['dse']}; the run was begun with {then['dse']}, which may "
            "count and price otherwise: install that version here"
        )
    changed = [
        f"{name} {now[name]} instead of {then[name]}"
        for name in ("torch", "numpy", "optuna")
        if then.get(name) != now.get(name)
    ]
    if changed and "deterministic: true" in sweep:
        raise StorageError(
            f"this host has {', '.join(changed)}: the sweep is deterministic, and the numbers "
            "would differ in their last digits: install the same versions here"
        )
    if theirs["machine"] != ours["machine"]:
        changed.append(f"a processor {ours['machine']} instead of {theirs['machine']}")
    return f"made on a host with {', '.join(changed)}" if changed else None


def _prepared(url: str) -> Database:
    """The database with our tables. Raises StorageError if it cannot be used."""
    database = Database(url)
    if not database.is_postgresql:
        raise StorageError(f"{database!r}: only a PostgreSQL database is shared by hosts")
    database.check()
    try:
        with database.lock("the tables of dse"):  # two hosts that make them at once would fail
            DatabaseArtifacts(database).prepare()
            presence.prepare(database)
    except SQLAlchemyError as error:
        raise unusable(database.url, error) from error
    return database


def _content(folder: SharedFolder, name: str) -> bytes:
    """A file of the run, without what holds for this host only."""
    content = (folder.path / name).read_bytes()
    if name != "settings.json":
        return content
    settings = {**json.loads(content), "data_dir": None, "device": None, "storage": None}
    return json.dumps(settings).encode()


def _halves(name: str) -> tuple[str, str]:
    title, _, identity = name.rpartition("-")
    return title, identity
