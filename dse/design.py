"""Design and Knob: one point of the search space before it is built, and what can be turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

KnobValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Knob:
    """One number or choice of a network family that a sweep may turn.

    low, high : the values that make sense, inclusive; a sweep file beyond them is refused
    choices : the words of a choice
    """

    name: str
    kind: Literal["int", "float", "choice"]
    default: KnobValue
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Design:
    """A network family, its topology, and the value of every knob that the family has.

    variant : name of a file of `dse/variants`         architecture : of `dse/architectures`
    knobs : (name, value), sorted by name
    """

    variant: str
    architecture: str
    knobs: tuple[tuple[str, KnobValue], ...] = ()

    @classmethod
    def of(cls, variant: str, architecture: str, knobs: Mapping[str, KnobValue]) -> Design:
        """A design from a mapping of knobs, in any order."""
        return cls(variant, architecture, tuple(sorted(knobs.items())))

    @property
    def values(self) -> dict[str, KnobValue]:
        """The knobs by name."""
        return dict(self.knobs)

    def to_dict(self) -> dict[str, Any]:
        """What a record keeps."""
        return {
            "variant": self.variant,
            "architecture": self.architecture,
            "knobs": self.values,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Design:
        """Read what `to_dict` wrote."""
        return cls.of(row["variant"], row["architecture"], row["knobs"])
