"""Admission: a sweep whose objective has no price for what a variant does is not begun."""

from __future__ import annotations

from dse.errors import ConfigError, TrialFailure
from dse.pricing import by_reason
from dse.study import default_design
from dse.sweep import Sweep
from dse.trial import unpriced


def check_prices(sweep: Sweep) -> list[str]:
    """Refuse a sweep whose objective has no price for what a variant does, before any training.

    Each variant's default design is counted untrained. Returns a line for every profile that is no
    objective and prices a variant in part only.

    Raises ConfigError with every variant and profile.
    """
    config = sweep.config
    needed = {one.hardware for one in config.objectives if one.hardware is not None}
    refused: list[str] = []
    told: list[str] = []
    for variant in config.variants:
        try:
            found = unpriced(default_design(sweep, variant), sweep.recipe)
        except TrialFailure:
            continue  # it will be a failed trial, with its reason
        for profile, texts in found.items():
            line = f'hardware "{profile}" cannot price variant {variant}: {by_reason(texts)}'
            (refused if profile in needed else told).append(line)
    if refused:
        raise ConfigError(refused)
    return told
