import math

import pytest
import torch
from torch import Tensor, nn

from dse.architectures import positions as architectures
from dse.architectures.positions import Place, Position, Residual, with_weights
from dse.architectures.shapes import currents, dense_products, leaving
from dse.errors import BuildFailure

SHAPES = [
    (1, 28, 28),
    (3, 32, 32),
    (1, 8, 8),
    (1, 1, 1),
    (2, 1, 9),
    (5, 7, 3),
    (3, 2, 2),
    (1, 33, 17),
]

CONV = Position("conv", "hidden", 4, 6, kernel=3, padding=1)


def synapses(place: Position) -> nn.Module:
    if place.kind == "linear":
        return nn.Linear(place.c_in, place.c_out, bias=False)
    conv = (place.c_in, place.c_out, place.kernel, place.stride, place.padding)
    return nn.Conv2d(*conv, bias=False)


def through(place: Place, values: Tensor, products: list[int]) -> Tensor:
    """What PyTorch makes of a place; appends the products of each of its positions."""
    if isinstance(place, Residual):
        result = values
        for position in place.body:
            result = through(position, result, products)
        around = values if place.shortcut is None else through(place.shortcut, values, products)
        assert around.shape == result.shape
        return result + around
    if place.average:
        values = values.mean((2, 3))
    if place.flatten:
        values = values.flatten(1)
    layer = synapses(place)
    values = layer(values)
    products.append(layer.weight.numel() * math.prod(values.shape[2:]))
    if place.pool:
        values = nn.functional.max_pool2d(values, place.pool)
    return values.unflatten(1, (-1, place.vote)).mean(2) if place.vote > 1 else values


@pytest.mark.parametrize("name", architectures.names())
@pytest.mark.parametrize("width", [0.05, 1.0, 2.0])
@pytest.mark.parametrize("depth", [0, 2])
def test_pytorch_sees_the_same_shapes_and_products(name: str, width: float, depth: int) -> None:
    for shape in SHAPES:
        places = architectures.load(name)(shape, 7, width, depth)
        products: list[int] = []
        with torch.device("meta"):
            values = torch.empty(2, *shape)
            for place in places:
                reaching = tuple(values.shape[1:])
                values = through(place, values, products)
                assert leaving(place, reaching) == tuple(values.shape[1:])
        assert values.shape == (2, 7)
        assert dense_products(places, shape) == products


@pytest.mark.parametrize("name", architectures.names())
@pytest.mark.parametrize("shape", SHAPES)
def test_roles_are_one_first_many_hidden_and_one_readout(name: str, shape: tuple[int, ...]) -> None:
    for width in (0.05, 0.3, 1.0, 2.0):
        places = list(with_weights(architectures.load(name)(shape, 10, width, 0)))
        roles = [place.role for place in places]
        assert roles == ["first", *["hidden"] * (len(places) - 2), "readout"]


def test_shapes_with_a_pencil() -> None:
    assert leaving(CONV, (4, 8, 5)) == (6, 8, 5)
    halved = Position("conv", "hidden", 4, 6, kernel=3, padding=1, stride=2)
    assert leaving(halved, (4, 8, 5)) == (6, 4, 3)
    assert leaving(halved, (4, 1, 2)) == (6, 1, 1)
    pooled = Position("conv", "hidden", 4, 6, kernel=3, padding=1, pool=2)
    assert currents(pooled, (4, 8, 5)) == (6, 8, 5)
    assert leaving(pooled, (4, 8, 5)) == (6, 4, 2)
    unpadded = Position("conv", "hidden", 4, 6, kernel=3)
    assert leaving(unpadded, (4, 8, 5)) == (6, 6, 3)
    flat = Position("linear", "hidden", 4 * 8 * 5, 3, flatten=True)
    assert leaving(flat, (4, 8, 5)) == (3,)
    voted = Position("linear", "readout", 4, 30, average=True, vote=10)
    assert currents(voted, (4, 8, 5)) == (30,)
    assert leaving(voted, (4, 8, 5)) == (3,)


def test_products_with_a_pencil() -> None:
    around = Position("conv", "hidden", 4, 6)
    inner = Position("conv", "hidden", 6, 6, kernel=3, padding=1)
    readout = Position("linear", "readout", 6, 10, average=True)
    places = [Residual((CONV, inner), around), readout]
    assert dense_products(places, (4, 2, 5)) == [
        4 * 6 * 9 * 2 * 5,
        6 * 6 * 9 * 2 * 5,
        4 * 6 * 2 * 5,
        6 * 10,
    ]


@pytest.mark.parametrize(
    ("place", "shape", "refusal"),
    [
        (CONV, (3, 8, 8), r"from 4 to 6: inputs of shape \(3, 8, 8\): must be \(4, H, W\)"),
        (CONV, (4,), r"inputs of shape \(4,\): must be \(4, H, W\)"),
        (
            Position("linear", "readout", 4, 2),
            (4, 2, 2),
            r"readout linear from 4 to 2: inputs of shape \(4, 2, 2\): must be \(4,\)",
        ),
        (
            Position("conv", "hidden", 4, 6, kernel=3),
            (4, 2, 8),
            r"map \[2, 8\]: sides must be at least 3",
        ),
        (
            Position("conv", "hidden", 4, 6, pool=2),
            (4, 1, 8),
            r"map \[1, 8\]: sides must be at least 2 to pool",
        ),
        (
            Residual((CONV,)),
            (4, 8, 8),
            r"residual: \(4, 8, 8\) around a body that gives \(6, 8, 8\): must be equal",
        ),
    ],
)
def test_places_that_do_not_fit_are_refused(
    place: Place, shape: tuple[int, ...], refusal: str
) -> None:
    with pytest.raises(BuildFailure, match=refusal):
        dense_products([place], shape)
    with pytest.raises(BuildFailure, match=refusal):
        leaving(place, shape)
