"""Kills: SIGKILLs workers of sweeps at random moments, and says what that has cost.

python -m benchmarks.search.kills --kills 200 --storage journal sqlite postgresql
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

STORAGES = ("journal", "sqlite", "postgresql")
SWEEP = Path(__file__).with_name("kills.yaml")
TRIALS = 40
EPOCHS, EPOCH_STEPS = 3, 5  # 80 of 100 samples are for training, in batches of 16
# what a child needs is loaded once, so that a killed worker is replaced at once
_LOADED = (
    *("benchmarks.search.truth", "dse.cli.run", "dse.cli.progress", "dse.study", "dse.neurons"),
    *("dse.variants.ann", "dse.variants.snn", "dse.architectures.mlp"),
    *("torch._dynamo", "sklearn.datasets", "sqlalchemy", "sqlalchemy.dialects.sqlite"),
)
_LIFE_S = 1.2  # at most, from the first step of one of those that train to a kill
_EARLY = 0.1  # share of kills that come whether or not one trains yet
_ALL = 0.25  # share of kills that take all workers
_ROUND_S = 1800


@dataclass
class Tally:
    """What came of the kills of one storage.

    given_up : trials that took three workers with them, one after the other
    lost_steps : of the optimiser, that were done in vain
    stalls_s : of each process, on its way to its first trial
    """

    storage: str
    kills: int = 0
    rounds: int = 0
    trials: int = 0
    given_up: int = 0
    lost_steps: int = 0
    seconds: float = 0.0
    stalls_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        worst = max(self.stalls_s, default=0.0)
        epochs = self.lost_steps / EPOCH_STEPS
        return (
            f"{self.storage:<11} {self.kills:>5} {self.rounds:>6} {self.trials:>6} "
            f"{self.given_up:>8} {epochs:>11.1f} {worst:>9.2f} {self.seconds:>7.0f} "
            f"{len(self.faults):>6}"
        )


HEADING = (
    f"{'storage':<11} {'kills':>5} {'rounds':>6} {'trials':>6} "
    f"{'given up':>8} {'epochs lost':>11} {'stall s':>9} {'seconds':>7} {'faults':>6}"
)


def torment(
    kills: int, storage: str, workers: int, seed: int, folder: Path, url: str | None
) -> Tally:
    """Work through sweeps, one after the other, until so many workers were killed.

    url : of the storage, None for the journal in the run folder
    """
    tally = Tally(storage)
    begin_s = time.monotonic()
    dice = random.Random(seed)
    while tally.kills < kills:
        _round(tally, kills, workers, dice, folder / f"{storage}-{tally.rounds}", url)
    tally.seconds = time.monotonic() - begin_s
    return tally


def _round(
    tally: Tally, kills: int, workers: int, dice: random.Random, folder: Path, url: str | None
) -> None:
    """One sweep from its beginning to its end."""
    from benchmarks.search import referee, truth

    folder.mkdir()
    (folder / "truth").mkdir()
    before = tally.kills
    team = _Team(folder, url)
    for _ in range(workers):
        team.start()
    deadline_s = time.monotonic() + _ROUND_S
    is_early = False
    while team.living():
        time.sleep(0.01)
        if time.monotonic() > deadline_s:
            tally.faults.append(f"round {tally.rounds}: not done after {_ROUND_S} s")
            team.kill(team.living())
        if team.is_done() or tally.kills >= kills:
            continue
        if not is_early and not team.training():
            continue
        is_early = dice.random() < _EARLY
        time.sleep(dice.uniform(0, _LIFE_S))
        living = team.living()
        if living and dice.random() > _ALL:
            living = [dice.choice(team.training() or living)]
        tally.kills += team.kill(living)
        for _ in range(0 if team.is_done() else workers - len(team.living())):
            team.start()
    tally.faults += [f"round {tally.rounds}: {line}" for line in team.complaints()]
    found = truth.read(folder / "truth")
    planned = referee.Planned(TRIALS, EPOCHS * EPOCH_STEPS, EPOCH_STEPS)
    starts = tuple(one for one in found.starts if one.pid not in team.late)
    wrong = [
        *referee.faults(folder / "run", url, planned, found, tally.kills - before),
        *referee.stalls(starts),
    ]
    tally.faults += [f"round {tally.rounds}: {line}" for line in wrong]
    tally.stalls_s += [one.stall_s for one in starts]
    given_up = referee.given_up(folder / "run")
    tally.lost_steps += referee.lost_steps(planned, found, given_up)
    tally.given_up += given_up
    tally.trials += TRIALS
    tally.rounds += 1


class NoServer(Exception):
    """No PostgreSQL server can run here; the text says why."""


class _Team:
    """Processes that each run `dse run` on the same folder.

    late : pids that were started when the last trials were handed out, and may wait rightly
    """

    def __init__(self, folder: Path, url: str | None) -> None:
        self._folder = folder
        self._arguments = ["run", str(SWEEP), "--trials", str(TRIALS), "--no-report"]
        self._arguments += ["--out", str(folder / "run")]
        if url is not None:
            self._arguments += ["--storage", url]
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_LOADED))
        self._processes: list[BaseProcess] = []
        self._killed: set[int | None] = set()
        self.late: set[int | None] = set()

    def start(self) -> None:
        """One process more."""
        process = self._context.Process(
            target=_dse, args=(self._arguments, self._folder), daemon=True
        )
        process.start()
        self._processes.append(process)
        if self._recorded() > TRIALS - 8:
            self.late.add(process.pid)

    def living(self) -> list[BaseProcess]:
        """The processes that run."""
        return [process for process in self._processes if process.is_alive()]

    def training(self) -> list[BaseProcess]:
        """The living processes that have come to a training."""
        steps = {p.stem for p in (self._folder / "truth").glob("*.steps") if p.stat().st_size}
        return [process for process in self.living() if str(process.pid) in steps]

    def is_done(self) -> bool:
        """Whether a process has come to the end of the sweep, or of its wits."""
        return any(process.exitcode not in (None, -9) for process in self._processes)

    def kill(self, victims: list[BaseProcess]) -> int:
        """Kill processes at once; how many of them died of it."""
        for process in victims:
            process.kill()
        for process in victims:
            process.join()
        killed = [process for process in victims if process.exitcode == -9]
        self._killed |= {process.pid for process in killed}
        return len(killed)

    def complaints(self) -> Iterator[str]:
        """What processes said that ended with an error of their own."""
        for process in self._processes:
            if process.exitcode != 0 and process.pid not in self._killed:
                said = (self._folder / "truth" / f"{process.pid}.out").read_text(encoding="utf-8")
                yield f"a process ended with {process.exitcode}: {said[-3000:]}"

    def _recorded(self) -> int:
        path = self._folder / "run" / "records.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0


def _dse(arguments: list[str], folder: Path) -> None:
    """The command, in a process whose steps and records are written down."""
    from benchmarks.search import truth
    from dse.cli.main import main as command

    truth.watch(folder / "truth")
    out = os.open(folder / "truth" / f"{os.getpid()}.out", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = ["dse", *arguments]
    command()


@contextmanager
def _storage(name: str, folder: Path) -> Iterator[str | None]:
    if name == "journal":
        yield None
    elif name == "sqlite":
        yield f"sqlite:///{folder}/study.db"
    else:
        with _server() as url:
            yield url


@contextmanager
def _server() -> Iterator[str]:
    """The server of the tests, for as long as it is needed."""
    import pytest

    from tests.witnesses import postgres

    postgres.LONGEST_S = 4 * 3600
    with ExitStack() as stack:
        try:
            one = stack.enter_context(postgres.server())
        except pytest.skip.Exception as reason:
            raise NoServer(str(reason)) from None
        yield one.url.replace("postgresql://", "postgresql+psycopg://")


def main() -> None:
    """Read the options; print a row a storage and every fault; end with 1 if there was one."""
    options = _options()
    os.environ.update(OMP_NUM_THREADS="1", COLUMNS="200")
    # of the killed ones, whose semaphores nobody will miss
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    is_wrong = False
    print(HEADING, flush=True)
    for storage in options.storage:
        with tempfile.TemporaryDirectory(prefix="dse-kills-", dir=options.folder) as folder:
            try:
                with _storage(storage, Path(folder)) as url:
                    tally = torment(
                        options.kills, storage, options.workers, options.seed, Path(folder), url
                    )
            except NoServer as reason:
                print(f"{storage:<11} not run: {reason}", flush=True)
                continue
        print(tally.row(), flush=True)
        for fault in tally.faults:
            print(f"  {fault}", flush=True)
        is_wrong |= bool(tally.faults)
    sys.exit(int(is_wrong))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="of workers, for each storage")
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for the run folders; default: as usual")
    return parser.parse_args()


if __name__ == "__main__":
    main()
