"""Positions: a topology as a list of places for layers, before anyone says what a neuron is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dse import catalogue
from dse.errors import BuildFailure

MAX_WEIGHTS = 2**28  # 1 GiB in fp32: beyond it a worker would run out of memory, not train
NO_TOPOLOGIES = ("positions", "shapes", "draft")  # files of this room that describe none


Role = Literal["first", "hidden", "readout"]


@dataclass(frozen=True, slots=True)
class Position:
    """One place of a layer: its synapses, and what surrounds them.

    role : "first" sees the data, "readout" gives the logits, "hidden" is all between
    kernel, padding, stride : of a conv     pool : window and stride of a max-pool, or None
    dropout : share of the inputs of this place that training drops, the same at every step
    average : whether the maps before this place are averaged to (B, C) first
    flatten : whether the inputs of this place are flattened to (B, N) before it
    vote : of a readout: so many neighbouring outputs are averaged to one logit
    """

    kind: Literal["conv", "linear"]
    role: Role
    c_in: int
    c_out: int
    kernel: int = 1
    padding: int = 0
    pool: int | None = None
    flatten: bool = False
    stride: int = 1
    dropout: float = 0.0
    average: bool = False
    vote: int = 1


@dataclass(frozen=True, slots=True)
class Residual:
    """Some places with a way around them.

    body : convs in a chain, none of which pools
    shortcut : a 1x1 conv on the way around, where the body changes the shape; None = nothing there
    """

    body: tuple[Position, ...]
    shortcut: Position | None = None


Place = Position | Residual
Topology = Callable[[tuple[int, ...], int, float, int], Sequence[Place]]


def names() -> list[str]:
    """The architectures: the files of this room that describe a topology."""
    return catalogue.names("dse.architectures", without=NO_TOPOLOGIES)


def load(name: str) -> Topology:
    """`positions` of an architecture. Raises ConfigError, with the nearest name, if there is none.

    It takes (input shape (C, H, W), classes, width, depth), where depth 0 means the architecture's
    own, and raises BuildFailure for sizes that cannot be.
    """
    topology: Topology = catalogue.load(
        "dse.architectures", name, "positions", without=NO_TOPOLOGIES
    )
    return topology


def with_weights(places: Iterable[Place]) -> Iterator[Position]:
    """Every position in the order of computation: of a residual its body, then its shortcut."""
    for place in places:
        if isinstance(place, Position):
            yield place
            continue
        yield from place.body
        if place.shortcut is not None:
            yield place.shortcut


def refuse_bad_sizes(
    architecture: str, input_shape: tuple[int, ...], classes: int, width: float, depth: int
) -> None:
    """Raise BuildFailure, with every mistake, unless a network of these sizes can be described."""
    mistakes = []
    if len(input_shape) != 3 or min(input_shape, default=0) < 1:
        mistakes.append(f"input shape {input_shape}: must be (C, H, W), each at least 1")
    if classes < 2:
        mistakes.append(f"classes {classes}: must be at least 2")
    if not (math.isfinite(width) and width > 0):
        mistakes.append(f"width {width}: must be finite and above 0")
    if depth < 0:
        mistakes.append(f"depth {depth}: must be at least 0")
    if mistakes:
        raise BuildFailure("\n".join(f"{architecture}: {mistake}" for mistake in mistakes))


def refuse_too_large(architecture: str, places: Iterable[Place]) -> None:
    """Raise BuildFailure if the weights of all places together are more than MAX_WEIGHTS."""
    weights = sum(place.c_in * place.c_out * place.kernel**2 for place in with_weights(places))
    if weights > MAX_WEIGHTS:
        raise BuildFailure(
            f"{architecture}: {weights} weights: must be at most {MAX_WEIGHTS}; "
            "lower width or depth"
        )


def scaled(base: int, width: float) -> int:
    """Channels or features of a base size at a width: rounded, and at least 1."""
    return max(1, round(base * width))
