"""Shapes: what goes into and comes out of every place, and how many products that takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from dse.architectures.positions import Place, Position, Residual
from dse.errors import BuildFailure

Shape = tuple[int, ...]  # of one sample: (C, H, W), or (N,) once it is flattened


def leaving(place: Place, shape: Shape) -> Shape:
    """The shape that leaves a place, pooled and voted, of the shape that reaches it.

    Raises BuildFailure if the place does not fit there.
    """
    if isinstance(place, Residual):
        return _leaving_residual(place, shape)
    channels, *sides = currents(place, shape)
    pool = place.pool or 1
    if min(sides, default=pool) < pool:
        raise BuildFailure(f"{_named(place)}: map {sides}: sides must be at least {pool} to pool")
    return (channels // place.vote, *(side // pool for side in sides))


def currents(place: Position, shape: Shape) -> Shape:
    """The shape of what the synapses of a position give, before any pool.

    Raises BuildFailure if the position does not fit to the shape that reaches it.
    """
    if place.average:
        shape = shape[:1]
    if place.flatten:
        shape = (math.prod(shape),)
    channels, *sides = shape
    if channels != place.c_in or len(sides) != (2 if place.kind == "conv" else 0):
        wanted = f"({place.c_in}, H, W)" if place.kind == "conv" else f"({place.c_in},)"
        raise BuildFailure(f"{_named(place)}: inputs of shape {shape}: must be {wanted}")
    room = place.kernel - 2 * place.padding
    if min(sides, default=room) < room:
        raise BuildFailure(f"{_named(place)}: map {sides}: sides must be at least {room}")
    return (place.c_out, *((side - room) // place.stride + 1 for side in sides))


def dense_products(places: Iterable[Place], input_shape: Shape) -> list[int]:
    """Multiply-accumulates of one sample by position, taps on the padding included.

    input_shape : (C, H, W)
    In the order of `with_weights`. Raises BuildFailure if a place does not fit to the one before.
    """
    return [
        place.c_in * place.kernel**2 * math.prod(currents(place, shape))
        for place, shape in _reaching(places, input_shape)
    ]


def _reaching(places: Iterable[Place], shape: Shape) -> Iterator[tuple[Position, Shape]]:
    """Every position with the shape that reaches it."""
    for place in places:
        if isinstance(place, Position):
            yield place, shape
        else:
            yield from _reaching(place.body, shape)
            if place.shortcut is not None:
                yield place.shortcut, shape
        shape = leaving(place, shape)


def _leaving_residual(place: Residual, shape: Shape) -> Shape:
    through = shape
    for position in place.body:
        through = leaving(position, through)
    around = shape if place.shortcut is None else leaving(place.shortcut, shape)
    if through != around:
        raise BuildFailure(f"residual: {around} around a body that gives {through}: must be equal")
    return through


def _named(place: Position) -> str:
    return f"{place.role} {place.kind} from {place.c_in} to {place.c_out}"
