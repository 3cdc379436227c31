"""Run the command `dse` as a user does: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

# hears Ctrl-C as in a terminal, also where the tests run in the background, which ignores it
_MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from dse.cli.main import main; main()"
)
COMMAND = [sys.executable, "-c", _MAIN]


def environment() -> dict[str, str]:
    """One thread, so that two runs add up in the same order."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def dse(*arguments: str, folder: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, started in a folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """The command in the background, in a process group of its own, as a terminal does it."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
