import math
import subprocess
import sys

import pytest

from dse.architectures import positions as architectures
from dse.architectures.positions import MAX_WEIGHTS, Position
from dse.errors import BuildFailure, ConfigError

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]


def test_convnet_with_a_pencil() -> None:
    places = architectures.load("convnet")((1, 8, 8), 10, 1.0, 2)
    assert places == [
        Position("conv", "first", 1, 16, kernel=3, padding=1, pool=2),
        Position("conv", "hidden", 16, 32, kernel=3, padding=1, pool=2),
        Position("linear", "readout", 128, 10, flatten=True),  # 32 x 2 x 2
    ]


def test_mlp_with_a_pencil() -> None:
    places = architectures.load("mlp")((3, 32, 32), 7, 0.5, 3)
    assert places == [
        Position("linear", "first", 3072, 64, flatten=True),
        Position("linear", "hidden", 64, 64),
        Position("linear", "hidden", 64, 64),
        Position("linear", "readout", 64, 7),
    ]


def test_a_map_of_one_pixel_is_not_pooled() -> None:
    places = architectures.load("convnet")((1, 8, 8), 10, 0.05, 5)
    assert [place.pool for place in places] == [2, 2, 2, None, None, None]  # 8 4 2 1 1
    # 16 x 0.05 rounds to 1; doubled four times
    assert places[-1].c_in == 16


def test_odd_and_long_maps_lose_what_does_not_fit() -> None:
    places = architectures.load("convnet")((1, 28, 28), 10, 1.0, 3)
    assert places[-1].c_in == 64 * 3 * 3  # 28 14 7 3
    places = architectures.load("convnet")((1, 2, 9), 10, 1.0, 2)
    assert places[-1].c_in == 32 * 1 * 4  # 2 x 9, then 1 x 4, which stays


@pytest.mark.parametrize("name", ["convnet", "mlp"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [0.05, 1.0, 1.7])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_each_place_continues_the_one_before(
    name: str, shape: tuple[int, int, int], width: float, depth: int
) -> None:
    places = architectures.load(name)(shape, 10, width, depth)
    assert [place.role for place in places] == ["first", *["hidden"] * (depth - 1), "readout"]
    channels, *sides = shape
    for place in places:
        if place.flatten:
            channels, sides = channels * math.prod(sides), []
        assert place.c_in == channels
        channels = place.c_out
        sides = [side // (place.pool or 1) for side in sides]
    assert channels == 10


def test_names_are_the_topologies() -> None:
    assert architectures.names() == ["convnet", "mlp"]
    with pytest.raises(ConfigError, match=r'"convet" is unknown\. Did you mean "convnet"'):
        architectures.load("convet")


@pytest.mark.parametrize("name", ["convnet", "mlp"])
def test_every_impossible_size_is_named(name: str) -> None:
    with pytest.raises(BuildFailure) as refusal:
        architectures.load(name)((1, 0, 8), 1, 0.0, 0)
    assert str(refusal.value).splitlines() == [
        f"{name}: input shape (1, 0, 8): must be (C, H, W), each at least 1",
        f"{name}: classes 1: must be at least 2",
        f"{name}: width 0.0: must be finite and above 0",
        f"{name}: depth 0: must be at least 1",
    ]
    with pytest.raises(BuildFailure, match="input shape"):
        architectures.load(name)((8, 8), 10, 1.0, 1)
    with pytest.raises(BuildFailure, match="width nan"):
        architectures.load(name)((1, 8, 8), 10, float("nan"), 1)


def test_a_network_beyond_memory_is_refused() -> None:
    with pytest.raises(BuildFailure, match=f"convnet: .* weights: must be at most {MAX_WEIGHTS}"):
        architectures.load("convnet")((1, 8, 8), 10, 16.0, 8)


def test_topologies_need_no_torch() -> None:
    code = (
        "import sys; from dse.architectures import positions as p; "
        "[p.load(n) for n in p.names()]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
