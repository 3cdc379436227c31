"""Two hosts without a common disk: network namespaces, a real PostgreSQL server, killed groups."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
from command import COMMAND, dse, environment
from postgres import server

from dse import inventory, presence, study
from dse.database import Database
from dse.joining import publish, share
from dse.runfolder import RunFolder
from dse.urls import driver_url

pytestmark = pytest.mark.slow
IS_FETCHED = ".fetch(" in Path(study.__file__).read_text()
IS_DETERMINISTIC = any(
    "search.deterministic" in path.read_text() for path in Path(study.__file__).parent.glob("*.py")
)
WAITS = pytest.mark.skipif(not IS_FETCHED, reason="the study does not fetch trials of others yet")
WAITS_FOR_BATCHES = pytest.mark.skipif(
    not IS_DETERMINISTIC, reason="the study does not propose in batches yet"
)
TRIALS = 8
SWEEP = ("--trials", str(TRIALS), "--set", "training.epochs=30", "--set", "data.samples=600")


@dataclass
class Host:
    """A network namespace with a folder; its processes reach the server, and nothing else."""

    namespace: str
    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`dse` there, in a group of processes of its own."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "output").open("a") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *COMMAND, *arguments],
                cwd=self.folder,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """The power goes: every process of the group ends at once."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def said(self) -> str:
        return (self.folder / "output").read_text()


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"network namespaces are not permitted here: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def network():
    """Two namespaces, each with a cable to a bridge at 10.231.7.1."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces are not permitted here: needs root")
    tag = f"{os.getpid() % 100000}"
    bridge, names = f"dsebr{tag}", [f"dse{tag}a", f"dse{tag}b"]
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", "10.231.7.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for index, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}0", "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.231.7.{index + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)


@pytest.fixture(scope="module")
def postgresql(network):
    with server("10.231.7.1") as one:
        yield one


@pytest.fixture
def hosts(network, postgresql, tmp_path):
    started = [Host(name, tmp_path / which) for name, which in zip(network, "ab", strict=True)]
    with Database(postgresql.url).session() as session:
        session.exec_driver_sql("DROP SCHEMA public CASCADE")
        session.exec_driver_sql("CREATE SCHEMA public")
    yield started
    for host in started:
        host.kill()


def records(folder):
    path = folder / "run" / "records.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(holds, process, host, within_s=120):
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, host.said()
        assert process.poll() is None, host.said()
        time.sleep(0.1)


def begin(host, url, *more):
    options = ("smoke", *SWEEP, "--storage", url, "--out", "run", *more)
    process = host.start("run", *options)
    wait_for(lambda: "on other hosts: dse worker" in host.said(), process, host)
    return process


def join(host, url, workers="1"):
    options = ("--storage", url, "--run", "smoke", "--out", "run", "--workers", workers)
    process = host.start("worker", *options)
    wait_for(lambda: "joined run" in host.said(), process, host)
    return process


def end(process, host, within_s=240):
    assert process.wait(timeout=within_s) == 0, host.said()


def check_whole(folder, url):
    """N records, each number once; nobody is left under way."""
    rows = [row for row in records(folder) if row.get("reading") is None]
    assert sorted(row["number"] for row in rows) == list(range(TRIALS))
    storage = optuna.storages.RDBStorage(driver_url(url))
    [name] = optuna.get_all_study_names(storage)
    states = [
        trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials
    ]
    storage.engine.dispose()
    assert "RUNNING" not in states
    return rows


def table(folder):
    """The table of the report, apart from times, hosts and paths."""
    header, *lines = (folder / "run" / "trials.csv").read_text().splitlines()
    left_out = {
        index
        for index, name in enumerate(header.split(","))
        if name in ("worker", "started", "optuna_number") or name.endswith("_s")
    }
    return [
        [cell for index, cell in enumerate(line.split(",")) if index not in left_out]
        for line in (header, *lines)
    ]


@WAITS
def test_two_hosts_share_a_run(hosts, postgresql):
    first, second = hosts
    beginning = begin(first, postgresql.url)
    helping = join(second, postgresql.url)
    end(beginning, first)
    end(helping, second)
    rows = check_whole(first.folder, postgresql.url)
    assert len({row["worker"] for row in rows}) == 2
    assert (first.folder / "run" / "report.html").exists()
    # what the other host trained was measured on the test data and counted in the report here
    assert all((first.folder / "run" / row["counts_file"]).exists() for row in rows)
    shown = dse("status", "--storage", postgresql.url, "--run", "smoke", folder=second.folder)
    assert f"{TRIALS} done" in shown.stdout, shown.stderr


@WAITS
@pytest.mark.parametrize("killed", [0, 1])
def test_a_run_survives_the_death_of_a_group(hosts, postgresql, killed):
    first, second = hosts
    processes = [begin(first, postgresql.url), join(second, postgresql.url, workers="2")]
    victim, other = hosts[killed], hosts[1 - killed]
    wait_for(lambda: len(records(other.folder)) >= 2, processes[1 - killed], other)
    victim.kill()
    end(processes[1 - killed], other)
    if killed == 0:  # whoever is left may end the run, from a folder that only joined
        ending = other.start("run", "smoke", *SWEEP, "--storage", postgresql.url, "--out", "run")
        end(ending, other)
    check_whole(other.folder, postgresql.url)
    assert (other.folder / "run" / "report.html").exists()


@WAITS
@WAITS_FOR_BATCHES
def test_two_hosts_and_a_death_give_the_table_of_one_host(hosts, postgresql, tmp_path):
    same = ("--set", "search.deterministic=true")
    alone = dse("run", "smoke", *SWEEP, *same, "--out", "run", folder=tmp_path, timeout_s=300)
    assert alone.returncode == 0, alone.stderr
    first, second = hosts
    beginning = begin(first, postgresql.url, *same)
    join(second, postgresql.url)
    wait_for(lambda: len(records(first.folder)) >= 2, beginning, first)
    second.kill()
    end(beginning, first)
    check_whole(first.folder, postgresql.url)
    assert table(first.folder) == table(tmp_path)


HOLD = """
import sys, time
from pathlib import Path
from dse.joining import join
folder = join(sys.argv[1], sys.argv[2], Path("held"))
with folder.worker() as worker, folder.lock():
    print(worker, flush=True)
    time.sleep(120)
"""


def test_a_host_that_is_cut_off_is_dead_in_time_and_its_lock_free(hosts, postgresql, tmp_path):
    config = inventory.load_sweep("smoke")
    folder = RunFolder(tmp_path / "run")
    folder.begin("name: smoke\n", storage=postgresql.url)
    ours = share(folder, config, postgresql.url)
    publish(ours)
    host = hosts[1]
    host.folder.mkdir()
    held = [sys.executable, "-c", HOLD, postgresql.url, ours.run]
    command = ["ip", "netns", "exec", host.namespace, *held]
    with subprocess.Popen(
        command, cwd=host.folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        worker = process.stdout.readline().strip()
        try:
            assert ours.is_alive(worker)
            ip("link", "set", f"{host.namespace}0", "down")
            start = time.monotonic()
            with ours.lock():
                waited_s = time.monotonic() - start
            while ours.is_alive(worker):
                assert time.monotonic() - start < presence.DEAD_AFTER_S + 5
                time.sleep(0.2)
            dead_s = time.monotonic() - start
        finally:
            ip("link", "set", f"{host.namespace}0", "up")
            process.kill()
    ours.database.engine.dispose()
    print(f"the lock was free after {waited_s:.1f} s, the worker dead after {dead_s:.1f} s")
    assert waited_s < 25
