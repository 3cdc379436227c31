"""Conv net: blocks of one 3x3 convolution and a 2x2 max-pool, channels doubling, and a readout."""

from __future__ import annotations

from dse.architectures.positions import Position, Role, refuse_bad_sizes, refuse_too_large, scaled

BASE_CHANNELS = 16
POOL = 2


def positions(
    input_shape: tuple[int, ...], classes: int, width: float, depth: int
) -> list[Position]:
    """`depth` blocks from 16 x width channels on, then the readout.

    A map with a side of 1 is not pooled any more; odd sides lose their last row or column.
    Raises BuildFailure for sizes that cannot be.
    """
    refuse_bad_sizes("convnet", input_shape, classes, width, depth)
    c_in, map_height, map_width = input_shape
    places = []
    for block in range(depth):
        c_out = scaled(BASE_CHANNELS, width) * 2**block
        pool = POOL if min(map_height, map_width) >= POOL else None
        role: Role = "hidden" if block else "first"
        places.append(Position("conv", role, c_in, c_out, kernel=3, padding=1, pool=pool))
        c_in = c_out
        if pool:
            map_height, map_width = map_height // POOL, map_width // POOL
    places.append(
        Position("linear", "readout", c_in * map_height * map_width, classes, flatten=True)
    )
    refuse_too_large("convnet", places)
    return places
