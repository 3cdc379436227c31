"""Inventory: every word that a sweep file may say, gathered from the rooms, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dse import config, own
from dse.architectures import positions
from dse.config import SweepConfig
from dse.data import splits
from dse.space import Space
from dse.variants import family
from dse.vocabulary import Vocabulary
from energy_models import load_profile


def vocabulary(*, looks: bool = True) -> Vocabulary:
    """The network families with their knobs, the topologies, the data sets and the hardware.

    looks : at the files of the user's own that a sweep names
    """
    families = {name: family.load(name) for name in family.names()}
    return Vocabulary(
        variants={name: one.knobs for name, one in families.items()},
        architectures=tuple(positions.names()),
        data=tuple(splits.names()),
        hardware=load_profile,
        own=family.load(own.VARIANT).knobs,
        looks=looks,
        readings={name: one.readings for name, one in families.items()},
    )


def load_sweep(
    source: str | Path, overrides: Sequence[str] = (), preset: str | None = None
) -> SweepConfig:
    """A sweep by shipped name or file, checked against everything there is.

    Raises ConfigError with every mistake at once.
    """
    return config.load_sweep(source, vocabulary(), overrides, preset)


def load_begun(source: Path) -> SweepConfig:
    """The sweep of a run folder; data and model of the user's own need not be there any more.

    Raises ConfigError with every mistake at once.
    """
    return config.load_sweep(source, vocabulary(looks=False))


def space(sweep: SweepConfig) -> Space:
    """The search space of a sweep."""
    knobs = {name: family.load(name).knobs for name in sweep.variants}
    if sweep.model is not None:
        known = {knob.name for knob in knobs[own.VARIANT]}
        named = {knob: said for knob, said in sweep.entries().items() if knob not in known}
        knobs[own.VARIANT] += tuple(
            own.knob_of(knob, said[0].domain) for knob, said in named.items()
        )
    return Space.of(sweep.architecture, knobs, sweep.entries())
