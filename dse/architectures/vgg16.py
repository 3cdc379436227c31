"""VGG-16 for small images: 64 64 pool 128 128 pool 256x3 pool 512x3 pool 512x3 pool, readout.

Thirteen convolutions as in configuration D of Simonyan and Zisserman, ICLR 2015, whose images are
larger; then two hidden layers of 4096 features there and here. It is the network of the conversion
papers on CIFAR (Bu et al., ICLR 2022, and those that they compare with): 15 hidden layers and the
readout.
"""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
FEATURES = (4096, 4096)


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """Channels and features times width, convolutions of a stage times depth (0 = 1).

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("vgg16", input_shape, classes, width, depth)
    for channels, convs in STAGES:
        draft.convs(scaled(channels, width), convs * (depth or 1))
    for features in FEATURES:
        draft.linear(scaled(features, width))
    return draft.readout()
