"""A real PostgreSQL server for one test module: in a temporary folder, stopped by its pid."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

LONGEST_S = 900  # the server ends then, whatever becomes of the tests


@dataclass
class Server:
    """A running server; `restart` and `stop` are what a test may do to it."""

    folder: Path
    command: list[str]
    owner: dict[str, object]
    host: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://dse@{self.host}:{self.port}/postgres"

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["timeout", str(LONGEST_S), *self.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **self.owner,
        )
        log.close()
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.skip(f"no PostgreSQL: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # ends all sessions, then itself
            self.process.wait(timeout=30)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def server(host: str = "127.0.0.1") -> Iterator[Server]:
    """A server that listens on an address of this machine; skips with the reason if none can."""
    binaries = _binaries()
    if find_spec("psycopg") is None:
        pytest.skip("no driver for PostgreSQL: pip install '.[postgresql]'")
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="dse-postgres-", dir="/tmp"))
    try:
        data = folder / "data"
        data.mkdir(mode=0o700)
        if owner:
            for path in (folder, data):
                shutil.chown(path, owner["user"], owner["group"])
        initdb = [binaries / "initdb", "-D", data, "-U", "dse", "-A", "trust", "-N", "--locale=C"]
        initdb += ["--encoding=UTF8"]
        made = subprocess.run(
            initdb, cwd="/", capture_output=True, text=True, timeout=120, check=False, **owner
        )
        if made.returncode:
            pytest.skip(f"no PostgreSQL: initdb: {made.stderr.strip()[-500:]}")
        with (data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {host}/16 trust\n")
        with socket.socket() as free:
            free.bind((host, 0))
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": host,
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "max_connections": 60,
        }
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        one = Server(folder, command, {"cwd": "/", **owner}, host, port)
        one.start()
        try:
            yield one
        finally:
            one.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = [Path(found).parent] if found else folders
    for folder in folders:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    pytest.skip("no PostgreSQL server on this machine")


def _owner() -> dict[str, object]:
    """The server refuses to be root: then it runs as somebody who may do nothing else."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL may not run as root, and there is no other user")
