"""Conv net: blocks of one 3x3 convolution and a 2x2 max-pool, channels doubling, and a readout."""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

BASE_CHANNELS = 16
OWN_DEPTH = 2


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """`depth` blocks, 2 if it is 0, from 16 x width channels on, then the readout.

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("convnet", input_shape, classes, width, depth)
    for block in range(depth or OWN_DEPTH):
        draft.convs(scaled(BASE_CHANNELS, width) * 2**block, 1)
    return draft.readout()
