"""Contradictions: entries of a sweep file that may be right alone, and are wrong together.

They are looked for in the plain data, so that a mistake in one entry does not hide another. What
depends on an entry that is wrong itself is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args

from dse.training.settings import OptimizerName, ScheduleName, TrainingSettings
from energy_models.yamlfile import Place

_BUDGETS = ("trials", "cpu_hours", "repeats")
_DEFAULTS = {one.name: one.default for one in fields(TrainingSettings)}


def contradictions(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """(place, what is wrong): of a sweep file in whatever shape."""
    training = data.get("training")
    if isinstance(training, dict):
        yield from _training(training)
    budget = data.get("budget")
    if isinstance(budget, dict):
        given = [key for key in _BUDGETS if budget.get(key) is not None]
        is_misspelt = not given and set(budget) - set(_BUDGETS)
        if len(given) != 1 and not is_misspelt:
            yield ("budget",), "must give one of trials, cpu_hours and repeats"
        search = data.get("search")
        is_fixed = isinstance(search, dict) and search.get("deterministic") is True
        if is_fixed and budget.get("cpu_hours") is not None:
            text = "cannot hold with cpu_hours, which buy another number of trials each time"
            yield ("search", "deterministic"), f"{text}. Give trials"

    yield from _idle(data)


def _idle(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Entries that nothing would look at."""
    search, confirm, stopping = (_section(data, key) for key in ("search", "confirm", "stopping"))
    if search.get("batch", 4) != 4 and search.get("deterministic", False) is False:
        yield ("search", "batch"), "changes nothing without deterministic: true. Leave it out"
    if confirm.get("alone") is True and not data.get("share_widths"):
        yield ("confirm", "alone"), "changes nothing without share_widths. Leave it out"
    is_confirmed = confirm.get("alone", False) is not False or confirm.get("epochs", 0) != 0
    if confirm.get("seeds", 1) != 1 and not is_confirmed:
        yield ("confirm", "seeds"), "changes nothing without epochs or alone. Add one of them"
    first, epochs = stopping.get("first", 1), _section(data, "training").get("epochs", 12)
    is_known = isinstance(data.get("stopping"), dict) and type(first) is type(epochs) is int
    if is_known and first >= epochs > 0:
        yield ("stopping", "first"), f"{first} is not below the {epochs} epochs of a training"


def _section(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _training(said: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Entries that change nothing: they were meant to change something."""
    optimizer = said.get("optimizer", _DEFAULTS["optimizer"])
    schedule = said.get("schedule", _DEFAULTS["schedule"])
    augment = said.get("augment", [])
    is_sgd = optimizer == "sgd" or optimizer not in get_args(OptimizerName)
    is_warm = schedule != "one-cycle" or schedule not in get_args(ScheduleName)
    augment = augment if isinstance(augment, list) else ["shift", "cutout"]
    needs = {
        "momentum": ("optimizer: sgd", is_sgd),
        "nesterov": ("optimizer: sgd", is_sgd),
        "warmup": ("schedule: cosine or constant", is_warm),
        "shift_pixels": ("augment: [shift]", "shift" in augment),
        "cutout_pixels": ("augment: [cutout]", "cutout" in augment),
    }
    for name, (other, is_there) in needs.items():
        if name in said and said[name] != _DEFAULTS[name] and not is_there:
            text = f"changes nothing without {other}. Leave it out, or add that"
            yield ("training", name), text
    if optimizer == "sgd" and said.get("nesterov", True) is True and said.get("momentum") == 0:
        yield ("training", "nesterov"), "needs a momentum above 0. Write nesterov: false"
