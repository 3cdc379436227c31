"""The run folder: where everything that happened in a sweep is kept, safe from a killed process."""

from __future__ import annotations

import functools
import json
import os
import platform
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from dse.errors import RunFolderError
from dse.recordfile import RecordFile, record_file
from dse.safefile import (
    append_whole,
    kernel_lock,
    remove_leftovers,
    repair_tail,
    try_lock,
    write_atomically,
)
from dse.urls import without_password
from energy_models import ModelCounts
from energy_models.errors import CountsError
from energy_models.truncation import truncated
from reports.record import TrialRecord

_Result = TypeVar("_Result")
_PACKAGES = ("dse", "torch", "optuna", "numpy", "scikit-learn", "fvcore")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`runs/NAME/`: the sweep, its records, and what each trial left."""

    path: Path

    @property
    def sweep_file(self) -> Path:
        """The sweep with all defaults filled in."""
        return self.path / "sweep.yaml"

    @property
    def settings_file(self) -> Path:
        """The id of the run, and what its command line said beside the sweep."""
        return self.path / "settings.json"

    @property
    def records_file(self) -> Path:
        """One JSON line a point."""
        return self.path / "records.jsonl"

    @property
    def warm_file(self) -> Path:
        """Points of earlier runs that the sampler is told first."""
        return self.path / "warm.jsonl"

    @property
    def journal_file(self) -> Path:
        """The Optuna storage, unless another one was asked for."""
        return self.path / "study.journal"

    @property
    def lock_file(self) -> Path:
        """Locked while trials are handed out and records are written."""
        return self.path / ".lock"

    @property
    def workers(self) -> Path:
        """One file a living worker, locked as long as it lives; it says what the worker does."""
        return self.path / "workers"

    def trial(self, number: int) -> Path:
        """The folder of one trial: weights and counts."""
        return self.path / "trials" / str(number)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process of this machine out; the kernel frees it when a holder dies."""
        with kernel_lock(self.lock_file):
            yield

    def locked(self, action: Callable[[], _Result]) -> _Result:
        """Do something under the lock, so that it may be done again should a database be lost."""
        with self.lock():
            return action()

    def fetch(self, number: int) -> None:
        """Have the files of a trial here, whoever made them; here they always are."""

    def send(self, number: int) -> None:
        """Let others have the files of a trial; who shares this folder has them."""

    def gather(self) -> None:
        """Have here all that a report reads; here it always is."""

    def begin(
        self,
        sweep_yaml: str,
        profiles: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
        **settings: str | None,
    ) -> None:
        """Make the folder, or take up one that was begun with the same sweep.

        The caller has compared the sweep with the one that is here.
        profiles : hardware profile -> fingerprint of its numbers
        own : `data` and `model` of the user's own -> fingerprint
        settings : what the command line said, for the next command: data_dir, device, storage;
            and the id of a run that was begun elsewhere

        Raises RunFolderError if the folder cannot be made, is kept in another storage, was priced
        with other numbers, or trained on other data or code.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.workers.mkdir(exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be made: {error.strerror}") from error
        with self.lock():  # two commands that begin at once are one run
            self._begin(sweep_yaml, profiles or {}, own or {}, settings)

    def _begin(
        self,
        sweep_yaml: str,
        profiles: Mapping[str, str],
        own: Mapping[str, str],
        settings: dict[str, str | None],
    ) -> None:
        storage = settings.get("storage")
        settings["storage"] = None if storage is None else without_password(storage)
        known = self.settings()
        if known and known["storage"] != settings["storage"]:
            raise RunFolderError(
                f"{self.path}: this run keeps its study in {known['storage'] or 'its folder'}, not "
                f"in {settings['storage'] or 'its folder'}; give the same --storage as before"
            )
        self.refuse_changed(profiles, own)
        settings["id"] = known.get("id") or settings.get("id") or uuid.uuid4().hex[:12]
        environment = self.path / "environment.json"
        for path in (self.settings_file, self.sweep_file, self.records_file, environment):
            remove_leftovers(path)  # of commands that were killed
        document = {**settings, "profiles": dict(profiles), "own": dict(own)}
        write_atomically(self.settings_file, json.dumps(document, indent=2) + "\n")
        write_atomically(self.sweep_file, sweep_yaml)
        if not environment.exists():
            write_atomically(environment, json.dumps(environment_here(), indent=2) + "\n")

    def refuse_changed(
        self, profiles: Mapping[str, str], own: Mapping[str, str] | None = None
    ) -> None:
        """Raise RunFolderError for profiles, data or a model that are not those of the run."""
        settings = self.settings()
        trained = settings.get("own", {})
        other = [
            name for name, print_ in (own or {}).items() if trained.get(name, print_) != print_
        ]
        if other:
            raise RunFolderError(
                f"{self.path}: the {' and the '.join(other)} of this run changed since it "
                "was begun; give --out another folder, or put back what was there"
            )
        priced = settings.get("profiles", {})
        changed = [name for name, print_ in profiles.items() if priced.get(name, print_) != print_]
        if changed:
            raise RunFolderError(
                f"{self.path}: {', '.join(changed)} has changed since this run was priced; "
                f"`dse report {self.path} --hardware {','.join(changed)}` prices its counts again"
            )

    def settings(self) -> dict[str, Any]:
        """`id`, `data_dir`, `device`, `storage` (without its password), `profiles`, `own`.

        Empty for a new folder.
        """
        found: dict[str, Any] = (
            _read_json(self.settings_file) if self.settings_file.exists() else {}
        )
        return found

    def environment(self) -> Mapping[str, Any]:
        """What the sweep ran on."""
        found: Mapping[str, Any] = _read_json(self.path / "environment.json")
        return found

    def records(self) -> list[TrialRecord]:
        """All records, by number; what was cut off while it was written is left out.

        Only what is new is read, so it may be asked often. Raises RunFolderError if a line is
        damaged.
        """
        return record_file(self.records_file).records()

    def append(self, *records: TrialRecord) -> None:
        """Add a training with its points, or points of one that is there; all of them or none.

        They are on the disk when this returns. The caller holds the lock. Raises RunFolderError if
        the disk does not take them; the file is then as it was.
        """
        repair_tail(self.records_file)
        if not record_file(self.records_file).is_clean():
            self.replace(())
        # a training makes its points valid, so it is written last
        ordered = sorted(records, key=lambda record: (record.reading is None, record.key))
        try:
            append_whole(self.records_file, b"".join(map(_line, ordered)))
        except OSError as error:
            numbers = ", ".join(sorted({str(record.number) for record in records}))
            raise RunFolderError(
                f"{self.records_file}: the record of trial {numbers} cannot be written: "
                f"{error.strerror or error}: there must be room, and leave to write; all that was "
                "written before is whole"
            ) from error

    def replace(self, changed: Sequence[TrialRecord]) -> None:
        """Put records in the place of those with the same key. The caller holds the lock."""
        # read anew: somebody may have mended a line by hand
        by_key = {record.key: record for record in RecordFile(self.records_file).records()}
        by_key.update({record.key: record for record in changed})
        text = b"".join(_line(record) for record in by_key.values())
        write_atomically(self.records_file, text)

    def counts(self, record: TrialRecord) -> ModelCounts:
        """The counts of a record; of its first time steps, where several points share a file.

        Raises RunFolderError if it has none, or if the file is gone, or is of another network.
        """
        if record.counts_file is None:
            raise RunFolderError(f"{self.path}: trial {record.name} has no counts")
        path = self.path / record.counts_file
        try:
            written = path.stat().st_mtime_ns
            whole = _counts_in(path, written)
            steps = record.metrics.get("latency_steps", whole.time_steps)
            return truncated(whole, steps)
        except (OSError, CountsError) as error:
            raise RunFolderError(f"{path}: cannot be read: {error}") from error

    @contextmanager
    def worker(self) -> Iterator[str]:
        """Be a worker of this run, under a name that nobody ever had; freed when we die."""
        self.workers.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
        with self.lock():
            for path in self.workers.iterdir():  # of workers that were killed
                if not self.is_alive(path.name):
                    path.unlink(missing_ok=True)  # unless it ended by itself just now
            file = (self.workers / name).open("a+")
            try_lock(file.fileno())
        with file:
            try:
                yield name
            finally:
                (self.workers / name).unlink(missing_ok=True)

    def is_alive(self, worker: str) -> bool:
        """Whether a worker of this machine still runs."""
        try:
            with (self.workers / worker).open("r+") as file:
                return not try_lock(file.fileno())
        except FileNotFoundError:
            return False

    def say(self, worker: str, doing: Mapping[str, Any]) -> None:
        """Let the others see what a worker does. It is only for display."""
        with suppress(OSError):  # a full disk must not end a training for it
            (self.workers / worker).write_text(json.dumps(doing), encoding="utf-8")

    def doing(self) -> dict[str, Mapping[str, Any]]:
        """What the living workers do."""
        found = {}
        for path in sorted(self.workers.iterdir()) if self.workers.exists() else ():
            try:
                text = path.read_text(encoding="utf-8")
                if text and self.is_alive(path.name):
                    found[path.name] = json.loads(text)
            except (FileNotFoundError, ValueError):
                continue  # it ended just now, or was caught while it was writing
        return found


@functools.lru_cache(maxsize=4)
def _counts_in(path: Path, written_ns: int) -> ModelCounts:
    """The document that was written then; points of one training stand beside one another."""
    return ModelCounts.from_dict(_read_json(path))


def _line(record: TrialRecord) -> bytes:
    return json.dumps(record.to_dict(), allow_nan=False).encode() + b"\n"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error


def environment_here() -> dict[str, Any]:
    """Versions, system and machine of this process."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "versions": versions,
    }
