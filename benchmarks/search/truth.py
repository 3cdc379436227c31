"""Truth: what workers did, written down beside the run folder by the workers themselves.

Nothing of `dse` reads or writes these files, so they show what the run folder should hold.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dse.runfolder import RunFolder
from reports.record import TrialRecord

FOLDER = "DSE_TRUTH"  # the variable of the environment that names the folder


@dataclass(frozen=True, slots=True)
class Start:
    """How a process came to its first training step.

    pid : of the process       wall_s : since it was started
    blocked_s : of these, neither computing nor waiting for a free core: locks, sleep, disk
    slowdown : how much longer computing took than it would on a core of its own
    """

    pid: int
    wall_s: float
    blocked_s: float
    slowdown: float

    @property
    def stall_s(self) -> float:
        """Seconds blocked, on a machine that is free: who holds a lock is as slow as we are."""
        return self.blocked_s / self.slowdown


@dataclass(frozen=True, slots=True)
class Truth:
    """What all processes of a round wrote down.

    steps : of optimisers, in all processes        records : lines that `append` has acknowledged
    """

    steps: int
    records: tuple[dict[str, Any], ...]
    starts: tuple[Start, ...]


def watch(folder: Path) -> None:
    """Write down what this process does from now on: its steps and the records it has written."""
    begin = _clocks()
    mine = os.getpid()
    log = os.open(folder / f"{mine}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    counter = os.open(folder / f"{mine}.steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    step, append = torch.optim.AdamW.step, RunFolder.append
    is_first = True

    def counted(self: torch.optim.AdamW, *arguments: Any, **named: Any) -> Any:
        nonlocal is_first
        if os.getpid() != mine:
            return step(self, *arguments, **named)
        if is_first:
            is_first = False
            wall_s, computed_s, queued_s = (
                now - then for now, then in zip(_clocks(), begin, strict=True)
            )
            start = {
                "pid": mine,
                "wall_s": wall_s,
                "blocked_s": wall_s - computed_s - queued_s,
                "slowdown": (computed_s + queued_s) / computed_s,
            }
            os.write(log, _line(start))
        # before the step: one that a kill interrupts counts as done
        os.write(counter, b".")
        return step(self, *arguments, **named)

    def acknowledged(self: RunFolder, *records: TrialRecord) -> None:
        append(self, *records)
        os.write(log, b"".join(_line({"record": record.to_dict()}) for record in records))
        os.fsync(log)

    torch.optim.AdamW.step = counted  # type: ignore[assignment,method-assign]
    RunFolder.append = acknowledged  # type: ignore[method-assign]


def read(folder: Path) -> Truth:
    """What the processes wrote down; a line that a kill has cut off is left out."""
    records, starts = [], []
    for path in sorted(folder.glob("*.log")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            if "record" in row:
                records.append(row["record"])
            else:
                starts.append(Start(**row))
    steps = sum(path.stat().st_size for path in folder.glob("*.steps"))
    return Truth(steps, tuple(records), tuple(starts))


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _clocks() -> tuple[float, float, float]:
    """Seconds of the clock, of this thread on a core, and of it waiting for a core."""
    text = Path("/proc/thread-self/schedstat").read_text(encoding="ascii")
    computed_ns, queued_ns, _ = map(int, text.split())
    return time.monotonic(), computed_ns / 1e9, queued_ns / 1e9
