"""Measure: steps of all contestants in turns, A B C A B C, in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Step = Callable[[], object]
Clock = Callable[[], float]

_WARM_UPS = 2
_LEAST_S = 0.02  # what one measurement takes at least, by repeating a short step
_FEWEST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a step over the rounds."""

    median_ms: float
    min_ms: float
    rounds: int


def clock_of(threads: int) -> Clock:
    """Processor time of one thread; time of the clock on the wall of more, which share a step."""
    return time.process_time if threads == 1 else time.perf_counter


def in_turns(
    steps: Mapping[str, Step], *, rounds: int, clock: Clock, seconds: float | None = None
) -> dict[str, Timing]:
    """Time of each step, after a warm-up.

    seconds : of the wall; no round begins after them, but three are always made
    """
    end = None if seconds is None else time.perf_counter() + seconds
    repeats = {name: _repeats(step, clock) for name, step in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for number in range(rounds):
        if end is not None and number >= _FEWEST_ROUNDS and time.perf_counter() > end:
            break
        gc.collect()
        turn = number % len(names)  # nobody is always first
        for name in names[turn:] + names[:turn]:
            taken[name].append(_seconds(steps[name], repeats[name], clock))
    return {name: _timing(values) for name, values in taken.items()}


def _repeats(step: Step, clock: Clock) -> int:
    for _ in range(_WARM_UPS):
        step()
    return max(1, round(_LEAST_S / max(_seconds(step, 1, clock), 1e-6)))


def _seconds(step: Step, repeats: int, clock: Clock) -> float:
    start = clock()
    for _ in range(repeats):
        step()
    return (clock() - start) / repeats


def _timing(seconds: list[float]) -> Timing:
    return Timing(1000 * statistics.median(seconds), 1000 * min(seconds), len(seconds))
