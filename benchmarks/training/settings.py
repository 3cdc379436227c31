"""Settings: how the tables are measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.training.steps import Route


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options say.

    seconds : of a table, or None        route : of matrix products in dse, ReLU network and floor
    is_tuned : peers get what their documentation does not give them
    """

    rounds: int
    threads: int = 1
    seconds: float | None = None
    route: Route = "onednn"
    is_tuned: bool = False
    bfloat16: bool = False
