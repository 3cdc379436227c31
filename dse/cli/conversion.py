"""What is asked of `dse convert`: methods, steps, hardware and places, checked before any work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dse import own
from dse.cli import target as targets
from dse.cli.pricelist import profile_names
from dse.errors import HardwareError, TargetError
from energy_models.errors import nearest

if TYPE_CHECKING:
    from dse.conversion.methods import Method

DOCUMENT = "conversion.json"
_MOST_STEPS = 4096


def name(target: str) -> str:
    """`net` of `folder/net.py:build`, `mine` of `package.mine:build`, `r-17` of `runs/r#17`."""
    if targets.is_point(target):
        return Path(target.replace("#", "-")).name
    place, colon, _ = target.rpartition(":")
    if not colon:
        raise TargetError(
            f'target "{target}": must be a model of yours, as file.py:callable or '
            "package.module:callable, or a point, as RUN#17"
        )
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def methods(
    names: str,
    threshold: str | None,
    percentile: float | None,
    initial: str | None,
    coding: str | None,
    epochs: int | None,
) -> tuple[Method, ...]:
    """The methods that are asked for, with their parts replaced.

    Raises TargetError, with every mistake.
    """
    from dse.conversion import methods as known

    wanted = [one.strip() for one in names.split(",")]
    if "all" in wanted:
        wanted += known.METHODS
        wanted.remove("all")
    problems = [
        f'--method "{one}": unknown.{nearest(one, [*known.METHODS, "all"])}'
        for one in dict.fromkeys(wanted)
        if one not in known.METHODS
    ]
    # "unit" is for looking at kinds of operations, not for networks
    rules = tuple(one for one in get_args(known.Threshold) if one != "unit")
    parts = {
        "threshold": ("--threshold-rule", threshold, rules),
        "initial": ("--initial", initial, get_args(known.Initial)),
        "coding": ("--coding", coding, get_args(known.Coding)),
    }
    problems += [
        f'{option} "{value}": unknown.{nearest(value, allowed)}'
        for option, value, allowed in parts.values()
        if value is not None and value not in allowed
    ]
    if percentile is not None and not 0 < percentile <= 100:
        problems.append(f"--percentile {percentile:g}: must be above 0 and at most 100")
    if problems:
        raise TargetError("\n".join(problems))
    changes = {name: value for name, (_, value, _) in parts.items() if value is not None}
    found = [
        replace(known.METHODS[one], **changes)  # type: ignore[arg-type]  # checked above
        for one in dict.fromkeys(wanted)
    ]
    if percentile is not None:
        found = _where(found, "--percentile", lambda one: _with_percentile(one, percentile))
    if epochs is not None:
        found = _where(found, "--epochs", lambda one: _of_epochs(one, epochs))
    return tuple(found)


def _where(
    found: Sequence[Method], option: str, change: Callable[[Method], Method | None]
) -> list[Method]:
    """Methods changed where an option speaks of them; TargetError where it does of none."""
    changed = [change(one) for one in found]
    if not any(changed):
        names = ", ".join(one.name for one in found)
        raise TargetError(f"{option}: {names}: no such part, so that it would change nothing")
    return [new or old for new, old in zip(changed, found, strict=True)]


def _with_percentile(method: Method, percentile: float) -> Method | None:
    """A method with this percentile, None if its thresholds follow none."""
    return replace(method, percentile=percentile) if method.has_percentile else None


def _of_epochs(method: Method, epochs: int) -> Method | None:
    """A method that trains on for so long, None if it does not train."""
    names = ("noisy_epochs", "tuning_epochs")
    trains = {name: epochs for name in names if getattr(method, name) > 0}
    return replace(method, **trains) if trains else None  # type: ignore[arg-type]


def steps(text: str) -> tuple[int, ...]:
    """`1..32`, `1,2,4,8`, or both together, ascending. Raises TargetError."""
    found: set[int] = set()
    for part in text.split(","):
        low, dots, high = part.partition("..")
        try:
            first = int(low)
            last = int(high) if dots else first
        except ValueError:
            raise TargetError(
                f'--steps "{text}": must be whole numbers of time steps, as 8, 1,2,4,8 or 1..32'
            ) from None
        if not 1 <= first <= last <= _MOST_STEPS:
            raise TargetError(
                f'--steps "{text}": {part.strip()}: must go upwards from 1, and not beyond '
                f"{_MOST_STEPS}"
            )
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def hardware(names: str) -> tuple[str, ...]:
    from energy_models import load_profile
    from energy_models.errors import ProfileError

    found = profile_names(names)
    try:
        for name in found:
            load_profile(name)
    except ProfileError as error:
        raise HardwareError(f"--hardware: {error}") from error
    return found


def check_places(target: str, data: str | None, weights: Path | None) -> None:
    """Look for files before anything is run."""
    from dse.data import splits

    if targets.is_point(target):
        if data is not None or weights is not None:
            raise TargetError(
                f"{target}: has its own: --data and --weights are for a model of yours"
            )
        return
    if data is None:
        raise TargetError(
            f"{target}: what shall it run on? Give --data NAME: {', '.join(splits.names())}, or a "
            "file.npz of yours"
        )
    if own.is_file(data):
        problem = own.data_problem(data)
        if problem is not None:
            raise TargetError(f"--data {problem}")
    elif data not in splits.names():
        raise TargetError(
            f'--data "{data}": must be a data set or a file.npz.{nearest(data, splits.names())}'
        )
    if weights is not None and not weights.is_file():
        raise TargetError(f"--weights {weights}: no such file")


def refuse_foreign(folder: Path) -> None:
    """Raise TargetError for a place not to write in, or with anything but an old conversion."""
    from reports.conversion import KIND

    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise TargetError(f"--out {folder}: cannot be made: {there} must be a folder to write in")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        is_ours = isinstance(document, dict) and document.get("kind") == KIND
    except (OSError, ValueError, RecursionError):
        is_ours = False
    if not is_ours:
        raise TargetError(
            f"--out {folder}: is there, and is no conversion: its {DOCUMENT} is missing or "
            "another's. Give another folder; nothing was written"
        )
