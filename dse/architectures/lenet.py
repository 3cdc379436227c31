"""LeNet-like: conv 16, pool, conv 32, pool, 128 features, readout.

The pattern is that of LeCun, Bottou, Bengio and Haffner, Proc. IEEE 1998: two convolutions that
are each followed by subsampling, then fully connected layers. Their LeNet-5 is another network: 5x5
kernels without padding, 6 and 16 channels, two hidden layers of 120 and 84.
"""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

STAGES = (16, 32)
FEATURES = 128


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """16 and 32 channels and 128 features, all times width; `depth` convolutions a stage, 0 = 1.

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("lenet", input_shape, classes, width, depth)
    for channels in STAGES:
        draft.convs(scaled(channels, width), depth or 1)
    draft.linear(scaled(FEATURES, width))
    return draft.readout()
