"""MLP: hidden layers of equal size on flattened data, and a readout."""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

BASE_FEATURES = 128
OWN_DEPTH = 2


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """`depth` hidden layers, 2 if it is 0, of 128 x width features, then the readout.

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("mlp", input_shape, classes, width, depth)
    for _ in range(depth or OWN_DEPTH):
        draft.linear(scaled(BASE_FEATURES, width))
    return draft.readout()
