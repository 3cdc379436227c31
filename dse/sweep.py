"""Sweep: a sweep file with its data, its space, and the place where it is kept."""

from __future__ import annotations

from dataclasses import dataclass

from dse.config import SweepConfig
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.space import Space


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep and where it is kept.

    storage : URL of an Optuna storage; None = the journal in the run folder
    """

    folder: RunFolder
    recipe: Recipe
    space: Space
    storage: str | None = None

    @property
    def config(self) -> SweepConfig:
        """The sweep file."""
        return self.recipe.config
