"""Variant: what a file of this room says about its network family, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dse import catalogue
from dse.design import Design, Knob

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Variant:
    """A network family.

    build : (design, input shape of one sample (C, H, W), number of classes) -> module that maps
        (B, C, H, W) to logits (B, classes). Its attribute `time_steps` is T. Imports torch inside.
    """

    name: str
    title: str
    knobs: tuple[Knob, ...]
    build: Callable[[Design, tuple[int, ...], int], nn.Module]

    def knob(self, name: str) -> Knob | None:
        """The knob of that name, or None."""
        return next((knob for knob in self.knobs if knob.name == name), None)


WIDTH = Knob("width", "float", 1.0, "multiplier of all hidden channels and features", 0.05, 16.0)
DEPTH = Knob("depth", "int", 2, "number of hidden layers (of conv blocks in a conv net)", 1, 8)
LEARNING_RATE = Knob("learning_rate", "float", 0.01, "peak of the one-cycle schedule", 1e-6, 1.0)
COMMON_KNOBS = (WIDTH, DEPTH, LEARNING_RATE)


def names() -> list[str]:
    """The network families: the files of this room."""
    return catalogue.names("dse.variants", without=("family",))


def load(name: str) -> Variant:
    """A network family by name. Raises ConfigError, with the nearest name, if there is none."""
    variant: Variant = catalogue.load("dse.variants", name, "VARIANT", without=("family",))
    return variant
