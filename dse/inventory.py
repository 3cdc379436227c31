"""Inventory: every word that a sweep file may say, gathered from the rooms, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dse import config
from dse.architectures import positions
from dse.config import SweepConfig
from dse.data import splits
from dse.space import Space
from dse.variants import family
from dse.vocabulary import Vocabulary
from energy_models import load_profile


def vocabulary() -> Vocabulary:
    """The network families with their knobs, the topologies, the data sets and the hardware."""
    return Vocabulary(
        variants={name: family.load(name).knobs for name in family.names()},
        architectures=tuple(positions.names()),
        data=tuple(splits.names()),
        hardware=load_profile,
    )


def load_sweep(
    source: str | Path, overrides: Sequence[str] = (), preset: str | None = None
) -> SweepConfig:
    """A sweep by shipped name or file, checked against everything there is.

    Raises ConfigError with every mistake at once.
    """
    return config.load_sweep(source, vocabulary(), overrides, preset)


def space(sweep: SweepConfig) -> Space:
    """The search space of a sweep."""
    knobs = {name: family.load(name).knobs for name in sweep.variants}
    return Space.of(sweep.architecture, knobs, sweep.entries())
