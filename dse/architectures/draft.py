"""Draft: a topology while it is written down, which knows the shape that leaves its last place.

All convolutions but those on the way around a block are 3x3 with a padding of 1, as in Simonyan and
Zisserman, ICLR 2015, so that maps of any size, one pixel included, can enter every topology.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dse.architectures.positions import (
    Place,
    Position,
    Residual,
    Role,
    refuse_bad_sizes,
    refuse_too_large,
)
from dse.architectures.shapes import Shape, leaving

POOL = 2


class Draft:
    """Places one after another. Raises BuildFailure, with every mistake, for impossible sizes.

    places : so far      shape : (C, H, W) or (N,) of one sample, as it leaves the last of them
    """

    def __init__(
        self, architecture: str, input_shape: Shape, classes: int, width: float, depth: int
    ) -> None:
        refuse_bad_sizes(architecture, input_shape, classes, width, depth)
        self.architecture = architecture
        self.classes = classes
        self.places: list[Place] = []
        self.shape = input_shape

    def convs(self, c_out: int, count: int, *, pool: bool = True) -> None:
        """A stage: `count` convolutions to c_out channels, and a 2x2 max-pool after the last.

        A map with a side of 1 is not pooled any more; odd sides lose their last row or column.
        """
        for left in reversed(range(count)):
            pools = pool and left == 0 and min(self.shape[1:]) >= POOL
            self._add(self._conv(self.shape[0], c_out, pool=POOL if pools else None))

    def blocks(self, c_out: int, count: int, *, halve: bool) -> None:
        """A stage: `count` residual blocks of two convolutions to c_out channels.

        halve : the first has a stride of 2; a side of 1 stays 1
        Where a block changes the shape, a 1x1 convolution of the same stride goes around it.
        """
        for block in range(count):
            c_in, stride = self.shape[0], 2 if halve and block == 0 else 1
            first = self._conv(c_in, c_out, stride=stride)
            shortcut = None
            if leaving(first, self.shape) != self.shape:
                shortcut = Position("conv", "hidden", c_in, c_out, stride=stride)
            self._add(Residual((first, self._conv(c_out, c_out)), shortcut))

    def linear(self, features: int, *, dropout: float = 0.0) -> None:
        """A hidden layer of so many features, which flattens what reaches it."""
        self._add(self._linear(self._role(), features, dropout=dropout))

    def residual_stages(self, stages: Sequence[int], blocks: int) -> None:
        """A convolution, and stages of residual blocks; all but the first stage halve the maps."""
        self.convs(stages[0], 1, pool=False)
        for stage, channels in enumerate(stages):
            self.blocks(channels, blocks, halve=stage > 0)

    def readout(self, *, average: bool = False, vote: int = 1, dropout: float = 0.0) -> list[Place]:
        """The last place, `vote` outputs per class, and with it the whole topology.

        average : of maps, over their pixels, instead of flattening them
        Raises BuildFailure if there are more weights than fit into memory.
        """
        self._add(
            self._linear(
                "readout", vote * self.classes, average=average, vote=vote, dropout=dropout
            )
        )
        refuse_too_large(self.architecture, self.places)
        return self.places

    def _add(self, place: Place) -> None:
        self.places.append(place)
        self.shape = leaving(place, self.shape)

    def _role(self) -> Role:
        return "hidden" if self.places else "first"

    def _conv(self, c_in: int, c_out: int, *, stride: int = 1, pool: int | None = None) -> Position:
        return Position(
            "conv", self._role(), c_in, c_out, kernel=3, padding=1, pool=pool, stride=stride
        )

    def _linear(
        self, role: Role, c_out: int, *, average: bool = False, vote: int = 1, dropout: float
    ) -> Position:
        return Position(
            "linear",
            role,
            self.shape[0] if average else math.prod(self.shape),
            c_out,
            flatten=len(self.shape) > 1 and not average,
            dropout=dropout,
            average=average,
            vote=vote,
        )
