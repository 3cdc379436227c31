"""Progress of a sweep on standard error: a live view in a terminal, a line a trial elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import track
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dse import inventory
from dse.cli import terminal
from dse.config import SweepConfig
from dse.runfolder import RunFolder
from dse.selection import best_of_each_variant, planned, seconds_left, trainings
from energy_models.units import format_energy
from reports.record import TrialRecord
from reports.text import format_knob

_EVERY_S = 0.5


@contextmanager
def shown(folder: RunFolder, config: SweepConfig) -> Iterator[None]:
    """Show how the sweep stands while the block runs; it reads the run folder only."""
    trials = planned(config, inventory.space(config))
    watch = _Lines(folder, config, trials)
    if terminal.ERRORS.is_terminal:
        with Live(
            get_renderable=lambda: _view(folder, config, trials),
            console=terminal.ERRORS,
            refresh_per_second=1 / _EVERY_S,
            transient=True,
        ):
            yield
        watch.look()
        return
    stop = threading.Event()
    thread = threading.Thread(target=watch.until, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        watch.look()


def through(records: Iterable[TrialRecord], total: int, what: str) -> Iterable[TrialRecord]:
    """Go through so many records; a bar in a terminal."""
    return track(
        records,
        total=total,
        description=what,
        console=terminal.ERRORS,
        transient=True,
        disable=not terminal.ERRORS.is_terminal,
    )


class _Lines:
    """Prints a line for every record that is new."""

    def __init__(self, folder: RunFolder, config: SweepConfig, trials: int | None) -> None:
        self._folder, self._config, self._trials = folder, config, trials
        self._seen = {record.key for record in folder.records()}

    def until(self, stop: threading.Event) -> None:
        """Look again and again."""
        while not stop.wait(_EVERY_S):
            self.look()

    def look(self) -> None:
        """Print what is new."""
        records = self._folder.records()
        for record in records:
            if record.parent is None and record.key not in self._seen:
                self._seen.add(record.key)
                left_s = sweep_left_s(records, self._config, self._folder.doing(), self._trials)
                done = sum(one.key in self._seen for one in trainings(records))
                terminal.say(_line(record, done, self._config, self._trials, left_s))


def _line(
    record: TrialRecord, done: int, config: SweepConfig, trials: int | None, left_s: float | None
) -> str:
    of = f" of {trials}" if trials else ""
    left = f"; about {duration(left_s)} left" if left_s else ""
    return f"[{done}{of}] {recorded(record, config)}: {_outcome(record, config)}{left}"


def designation(number: int, variant: str, knobs: Mapping[str, Any], config: SweepConfig) -> str:
    """`#3 snn time_steps=1`: a trial; with repeats also by what its design differs in its family.

    In a search nearly every knob differs, and the line would be long.
    """
    searched = {} if config.budget.repeats is None else inventory.space(config).searched(variant)
    own = (f"{name}={format_knob(knobs[name])}" for name in searched if name in knobs)
    return " ".join((f"#{number}", variant, *own))


def under_way(job: Mapping[str, Any], config: SweepConfig) -> str:
    """The designation of a trial that a worker tells of."""
    return designation(job["number"], job["variant"], job.get("knobs", {}), config)


def recorded(record: TrialRecord, config: SweepConfig) -> str:
    """The designation of a record."""
    return designation(record.number, record.variant, record.design.get("knobs", {}), config)


def _outcome(record: TrialRecord, config: SweepConfig) -> str:
    if record.state != "complete":
        return f"{record.state}: {record.reason}"
    energy_pj = record.energy_pj(config.hardware[0])
    price = "energy incomplete" if energy_pj is None else format_energy(energy_pj)
    accuracy = f"{100 * (record.accuracy or 0):.1f} %"
    return f"{accuracy} on validation, {price}, {record.times['total_s']:.1f} s"


def _view(folder: RunFolder, config: SweepConfig, trials: int | None) -> Group:
    records = folder.records()
    doing = folder.doing()
    done = len(trainings(records))
    failed = sum(record.state == "failed" for record in records)
    left_s = sweep_left_s(records, config, doing, trials)
    left = "" if left_s is None else f", about {duration(left_s)} left"
    head = Text(f"{config.name}: {done}{f' of {trials}' if trials else ''} trials{left}")
    if failed:
        head.append(f", {failed} failed", style="yellow")
    running = Table.grid(padding=(0, 2))
    for worker, job in doing.items():
        running.add_row(
            Text(worker, style="dim"),
            Text(under_way(job, config)),
            Text(f"epoch {job['epoch']}/{job['epochs']}"),
            ProgressBar(total=job["epochs"], completed=job["epoch"], width=12),
            Text(_so_far(job)),
        )
    best = Table.grid(padding=(0, 2))
    for record in best_of_each_variant(records, config.hardware[0]):
        best.add_row(
            Text("best", style="dim"),
            Text(recorded(record, config)),
            Text(_outcome(record, config)),
        )
    if trials:
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=trials, completed=done, width=60))
        return Group(head, bar, running, best)
    return Group(head, running, best)


def _so_far(job: Mapping[str, Any]) -> str:
    """What a trial under way has reached; nothing before its first epoch."""
    if not job["epoch"]:
        return ""
    parts = [f"loss {job['train_loss']:.3f}", f"{100 * job['validation_accuracy']:.1f} %"]
    rates = job["spike_rates"].values()
    if rates:
        parts.append(f"{100 * sum(rates) / len(rates):.1f} % spike")
    left_s = trial_left_s(job)
    if left_s is not None:
        parts.append(f"about {duration(left_s)} left")
    return ", ".join(parts)


def trial_left_s(job: Mapping[str, Any]) -> float | None:
    """Estimated time to the end of a training under way; None before its first epoch."""
    if not job["epoch"]:
        return None
    return max(0.0, float(job["seconds_left"] + job["at"] - time.time()))


def sweep_left_s(
    records: Sequence[TrialRecord],
    config: SweepConfig,
    doing: Mapping[str, Mapping[str, Any]],
    trials: int | None,
) -> float | None:
    """Estimated time to the end of the budget.

    From the trials that are done; before there is one, from the epochs of those under way. None
    before there is any.
    trials : how many are planned in all, None where the budget is a time
    """
    left_s = seconds_left(records, config, len(doing), trials)
    known = [job for job in doing.values() if 0 < job["epoch"] < job["epochs"]]
    if left_s is not None or not known:
        return left_s
    if trials is None:
        return float(3600 * (config.budget.cpu_hours or 0.0) / len(doing))
    whole_s = [_trial_s(job) for job in known]
    done_s = sum(whole_s) - sum(trial_left_s(job) or 0.0 for job in known)
    all_s = sum(whole_s) / len(known) * trials
    return max(0.0, all_s - done_s) / len(doing)


def _trial_s(job: Mapping[str, Any]) -> float:
    """Estimated time of a whole training that is between its first epoch and its last."""
    return float(job["seconds_left"] * job["epochs"] / (job["epochs"] - job["epoch"]))


def duration(seconds: float) -> str:
    """`1 h 5 min`, `2 min 3 s`, `40 s`, `0.4 s`."""
    if 0 < seconds < 0.95:
        return f"{seconds:.1g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
