"""VGG-like with 7 weight layers: 64 64 pool 128 128 pool 256 256 pool readout.

The pattern is that of Simonyan and Zisserman, ICLR 2015: stages of 3x3 convolutions, a max-pool
after each, channels doubling. Theirs have 11 to 19 weight layers and larger images. Papers mean
different networks by "VGG-7"; here it is six convolutions and the readout, no other layer between.
"""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

STAGES = ((64, 2), (128, 2), (256, 2))  # channels, convolutions


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """Channels times width, convolutions of a stage times depth (0 = 1).

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("vgg7", input_shape, classes, width, depth)
    for channels, convs in STAGES:
        draft.convs(scaled(channels, width), convs * (depth or 1))
    return draft.readout()
