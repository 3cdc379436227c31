"""MLP: hidden layers of equal size on flattened data, and a readout."""

from __future__ import annotations

import math

from dse.architectures.positions import Position, refuse_bad_sizes, refuse_too_large, scaled

BASE_FEATURES = 128


def positions(
    input_shape: tuple[int, ...], classes: int, width: float, depth: int
) -> list[Position]:
    """`depth` hidden layers of 128 x width features, then the readout.

    Raises BuildFailure for sizes that cannot be.
    """
    refuse_bad_sizes("mlp", input_shape, classes, width, depth)
    features = scaled(BASE_FEATURES, width)
    hidden = [Position("linear", "hidden", features, features) for _ in range(depth - 1)]
    places = [
        Position("linear", "first", math.prod(input_shape), features, flatten=True),
        *hidden,
        Position("linear", "readout", features, classes),
    ]
    refuse_too_large("mlp", places)
    return places
