"""The study of a run in the browser: with the real optuna-dashboard, where it is installed."""

import json
import os
import select
import signal
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from command import dse, start

from dse import inventory
from dse.config import dump_sweep
from dse.runfolder import RunFolder
from dse.storage import open_study

needs_it = pytest.mark.skipif(
    find_spec("optuna_dashboard") is None,
    reason="optuna-dashboard is not installed: pip install '.[dashboard]'",
)


def made(folder: Path, storage: str | None = None) -> RunFolder:
    """A run whose study has one finished trial."""
    config = inventory.load_sweep("smoke")
    run = RunFolder(folder / "runs" / "smoke")
    run.begin(dump_sweep(config), storage=storage)
    study = open_study(run, config, storage)
    study.tell(study.ask(), [0.75, 1234.0])
    return run


@contextmanager
def served(folder: Path, *options: str):
    """The address that the command prints."""
    process = start("dashboard", "smoke", "--port", "0", *options, folder=folder)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else "nothing in a minute"
        assert line.startswith("http://127.0.0.1:"), line + (process.stdout.read() if ready else "")
        yield line.strip()
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)


def got(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()


@needs_it
@pytest.mark.slow
@pytest.mark.parametrize("database", [None, "study.db"])
def test_it_serves_the_study_of_a_run_on_loopback(tmp_path: Path, database: str | None):
    storage = None if database is None else f"sqlite:///{tmp_path / database}"
    made(tmp_path, storage)
    with served(tmp_path) as address:
        assert b"Optuna Dashboard" in got(address)
        root = address.removesuffix("/dashboard/")
        [study] = json.loads(got(f"{root}/api/studies"))["study_summaries"]
        assert study["study_name"].startswith("smoke-")
        assert study["directions"] == ["maximize", "minimize"]
        found = json.loads(got(f"{root}/api/studies/{study['study_id']}?after=0"))
        assert [trial["values"] for trial in found["trials"]] == [[0.75, 1234.0]]


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch):
    made(tmp_path)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "optuna_dashboard.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'optuna_dashboard'\", name='optuna_dashboard')"
    )
    found = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(blocked), found]))
    done = dse("dashboard", "smoke", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "dse dashboard: the package optuna_dashboard is missing: must be installed, with "
        "pip install '.[dashboard]'\n"
    )
    assert dse("dashboard", "nothing", folder=tmp_path).returncode == 2
