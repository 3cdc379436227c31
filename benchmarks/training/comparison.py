"""Comparison: a table of milliseconds a step, and of what dse is beside each."""

from __future__ import annotations

from benchmarks.counting.tables import Table
from benchmarks.training.contestants import (
    ANN,
    DSE,
    FLOOR,
    RELU,
    NotAvailable,
    contestants,
    families,
    prepare,
)
from benchmarks.training.goals import FAMILIES, Goal, Part, goal
from benchmarks.training.measure import Step, Timing, clock_of, in_turns
from benchmarks.training.plain import floor
from benchmarks.training.settings import Settings
from benchmarks.training.steps import Contestant, Habits
from benchmarks.training.works import Work

MEANING = (
    "Milliseconds a step, the median over the rounds and the least; all contestants in turns in "
    "one process. 'over dse' is the time of a line over that of dse, from medians and from least "
    "times. Goals are this project's own, held against the least times, with the farther goal in "
    "brackets: 'of it' says that the ratio is the other way round, dse over the line. Floor: "
    "convolutions and fully connected layers alone on dense data, first layer and readout on N "
    "samples, the others on T * N, with their backward passes and the optimiser."
)
FAMILIES_MEANING = (
    "One step, batch-norm in all; each line over the eager ReLU network of plain PyTorch (channels "
    "last, fused Adam), and over dse's own ReLU network. The binary network pools before "
    "its signs, so a quarter of them are made."
)
_VERBS = {"train": "training", "infer": "inference"}
_HEADER = ("", "median", "least", "over dse", "over dse, least", "goal")
_FAMILIES_HEADER = ("", "median", "least", "over ReLU", "least", "goal", "over dse ann", "goal")


def comparison_table(work: Work, time_steps: int, part: Part, settings: Settings) -> Table:
    """Training or inference of one network."""
    listed = contestants(
        work,
        time_steps,
        route=settings.route,
        is_tuned=settings.is_tuned,
        bfloat16=settings.bfloat16,
    )
    steps, refused = _steps(listed, work, part)
    bottom = floor(work, time_steps, Habits(route=settings.route, bfloat16=settings.bfloat16))
    steps[FLOOR] = bottom.train if part == "train" else bottom.infer
    timings = _timed(steps, settings)
    kind = "bfloat16 in dse and floor, fp32 elsewhere" if settings.bfloat16 else "fp32"
    title = f"{work.name}, {_VERBS[part]}, T = {time_steps}, batch {work.batch}, {kind}"
    table = Table(f"{title}, {timings[FLOOR].rounds} rounds", _HEADER)
    best = _fastest_jelly(timings)
    for name in [*(c.name for c in listed if c.name != DSE), FLOOR, DSE]:
        if name in refused:
            table.add_sentence(name, refused[name])
            continue
        found = goal(name, work.name, time_steps, part, bfloat16=settings.bfloat16)
        is_aim = not name.startswith("SpikingJelly") or name == best
        table.add(*_row(name, timings, found if is_aim else None))
    return table


def families_table(work: Work, part: Part, settings: Settings) -> Table:
    """Networks of one step beside the ordinary one."""
    listed = families(work, route=settings.route)
    steps, refused = _steps(listed, work, part)
    timings = _timed(steps, settings)
    title = f"{work.name}, {_VERBS[part]}, batch {work.batch}, {timings[RELU].rounds} rounds"
    table = Table(title, _FAMILIES_HEADER)
    for contestant in listed:
        if contestant.name in refused:
            table.add_sentence(contestant.name, refused[contestant.name])
        else:
            table.add(*_families_row(contestant.name, timings, part))
    return table


def _steps(
    listed: list[Contestant], work: Work, part: Part
) -> tuple[dict[str, Step], dict[str, str]]:
    """The steps of those that can, and why the others cannot."""
    steps: dict[str, Step] = {}
    refused: dict[str, str] = {}
    for contestant in listed:
        try:
            ready = prepare(contestant, work)
        except NotAvailable as reason:
            refused[contestant.name] = str(reason)
        else:
            steps[contestant.name] = ready.train if part == "train" else ready.infer
    return steps, refused


def _timed(steps: dict[str, Step], settings: Settings) -> dict[str, Timing]:
    clock = clock_of(settings.threads)
    return in_turns(steps, rounds=settings.rounds, clock=clock, seconds=settings.seconds)


def _row(name: str, timings: dict[str, Timing], found: Goal | None) -> tuple[str, ...]:
    cells = (name, *_times(timings[name]))
    if DSE not in timings:
        return (*cells, "", "", "")
    median, least = _ratio(timings, name, DSE)
    return (*cells, f"{median:.2f}", f"{least:.2f}", found.text(least) if found else "")


def _families_row(name: str, timings: dict[str, Timing], part: Part) -> tuple[str, ...]:
    eager, fused = FAMILIES.get(name, (None, None)) if part == "train" else (None, None)
    median, least = _ratio(timings, name, RELU)
    reached = eager.text(1 / least) if eager else ""
    cells = (name, *_times(timings[name]), f"{median:.2f}", f"{least:.2f}", reached)
    if ANN not in timings:
        return (*cells, "", "")
    _, over_ann = _ratio(timings, name, ANN)
    return (*cells, f"{over_ann:.2f}", fused.text(1 / over_ann) if fused else "")


def _times(timing: Timing) -> tuple[str, str]:
    return f"{timing.median_ms:.2f}", f"({timing.min_ms:.2f})"


def _ratio(timings: dict[str, Timing], name: str, other: str) -> tuple[float, float]:
    """Of medians, and of least times."""
    mine, theirs = timings[name], timings[other]
    return mine.median_ms / theirs.median_ms, mine.min_ms / theirs.min_ms


def _fastest_jelly(timings: dict[str, Timing]) -> str | None:
    """The goal is against its faster way."""
    names = [name for name in timings if name.startswith("SpikingJelly")]
    return min(names, key=lambda name: timings[name].min_ms, default=None)
