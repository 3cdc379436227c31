"""ResNet-18 in its form for small images: a 3x3 convolution, four stages of two blocks, readout.

The stages are those of He, Zhang, Ren and Sun, CVPR 2016, table 1: 64, 128, 256 and 512 channels,
maps halved at the start of all but the first. Theirs begins with a 7x7 convolution of stride 2 and
a max-pool, for images of 224 pixels; images of 28 or 32 pixels usually meet a 3x3 convolution of
stride 1 and no pool, and so they do here. Eighteen weight layers, and 1x1 convolutions around the
three blocks that change the shape.
"""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

STAGES = (64, 128, 256, 512)
BLOCKS = 2


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """Channels times width, blocks of a stage times depth (0 = 1).

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("resnet18", input_shape, classes, width, depth)
    draft.residual_stages([scaled(c, width) for c in STAGES], BLOCKS * (depth or 1))
    return draft.readout(average=True)
