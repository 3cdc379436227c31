"""Sampling: designs of a space without a search, spread evenly over its knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dse.design import Design, KnobValue
from dse.space import Space, suggest


def default_design(space: Space, variant: str) -> Design:
    """The design of a family that comes first: every knob at its default."""
    return suggest(_Given(space.default(variant)), space)


def sample(space: Space, variant: str, count: int) -> list[Design]:
    """Different designs of a family, spread evenly over its knobs, at most so many.

    The additive recurrence of the generalised golden ratio (Roberts, The unreasonable effectiveness
    of quasirandom sequences, 2018): its first points are spread as evenly as all.
    """
    dimensions = len(space.searched(variant))
    ratio = _golden(dimensions) if dimensions else 1.0
    shares = np.array([ratio ** -(1 + index) for index in range(dimensions)])
    points = (0.5 + np.outer(np.arange(count), shares)) % 1.0
    drawn = (suggest(_Drawn(variant, point.tolist()), space) for point in points)
    return list(dict.fromkeys(drawn))


def _golden(dimensions: int) -> float:
    """The root above 1 of x^(d + 1) = x + 1."""
    found = 2.0
    for _ in range(64):
        found = (1.0 + found) ** (1.0 / (dimensions + 1))
    return found


class _Drawn:
    """Proposes a point of the unit cube as values, one coordinate after another."""

    def __init__(self, variant: str, shares: list[float]) -> None:
        self._variant, self._shares = variant, shares

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        share = self._shares.pop(0)
        if log:
            return float(min(max(low * (high / low) ** share, low), high))
        if step is None:
            return low + share * (high - low)
        return low + step * int(share * (round((high - low) / step) + 1))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        if log:
            share = self._shares.pop(0)
            # as Optuna draws them: every whole number has the room of a half on either side
            drawn = (low - 0.5) * ((high + 0.5) / (low - 0.5)) ** share
            return int(min(max(round(drawn), low), high))
        return low + step * int(self._shares.pop(0) * ((high - low) // step + 1))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name == "variant":
            return self._variant
        return choices[int(self._shares.pop(0) * len(choices))]


class _Given:
    """Proposes the values that it was given."""

    def __init__(self, values: Mapping[str, KnobValue]) -> None:
        self._values = values

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._values[name])

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self._values[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._values.get(name, choices[0])
