"""ResNet-20 for small images: a 3x3 convolution, three stages of three residual blocks, readout.

He, Zhang, Ren and Sun, CVPR 2016, section 4.2: 16, 32 and 64 channels, maps halved by a stride at
the start of the second and third stage, and averaged before the readout. Twenty weight layers. The
1x1 convolutions around the two blocks that change the shape come on top and are not counted in
the name; the paper fills the new channels there with zeros instead.
"""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

STAGES = (16, 32, 64)
BLOCKS = 3


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """Channels times width, blocks of a stage times depth (0 = 1; 3 is ResNet-56).

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("resnet20", input_shape, classes, width, depth)
    draft.residual_stages([scaled(c, width) for c in STAGES], BLOCKS * (depth or 1))
    return draft.readout(average=True)
