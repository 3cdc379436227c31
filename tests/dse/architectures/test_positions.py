import subprocess
import sys

import pytest

from dse.architectures import positions as architectures
from dse.architectures.positions import (
    MAX_WEIGHTS,
    Position,
    Residual,
    refuse_too_large,
    with_weights,
)
from dse.errors import BuildFailure, ConfigError

ARCHITECTURES = [
    "convnet",
    "lenet",
    "mlp",
    "plif-fashion-mnist",
    "resnet18",
    "resnet20",
    "vgg16",
    "vgg7",
    "vgg9",
]


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
def test_depth_zero_is_two_hidden_layers(name: str) -> None:
    topology = architectures.load(name)
    places = topology((1, 8, 8), 10, 1.0, 0)
    assert places == topology((1, 8, 8), 10, 1.0, 2)
    assert len(places) == 3


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"convnet", "mlp"}))
def test_depth_zero_is_the_stages_as_they_are(name: str) -> None:
    topology = architectures.load(name)
    places = topology((1, 8, 8), 10, 1.0, 0)
    assert places == topology((1, 8, 8), 10, 1.0, 1)
    assert len(topology((1, 8, 8), 10, 1.0, 2)) > len(places)


@pytest.mark.parametrize("name", ["convnet", "mlp"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_depth_is_the_number_of_hidden_layers(name: str, depth: int) -> None:
    places = architectures.load(name)((1, 8, 8), 10, 0.5, depth)
    assert [place.role for place in places] == ["first", *["hidden"] * (depth - 1), "readout"]


def test_names_are_the_topologies() -> None:
    assert architectures.names() == ARCHITECTURES
    with pytest.raises(ConfigError, match=r'"convet" is unknown\. Did you mean "convnet"'):
        architectures.load("convet")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_impossible_size_is_named(name: str) -> None:
    with pytest.raises(BuildFailure) as refusal:
        architectures.load(name)((1, 0, 8), 1, 0.0, -1)
    assert str(refusal.value).splitlines() == [
        f"{name}: input shape (1, 0, 8): must be (C, H, W), each at least 1",
        f"{name}: classes 1: must be at least 2",
        f"{name}: width 0.0: must be finite and above 0",
        f"{name}: depth -1: must be at least 0",
    ]
    with pytest.raises(BuildFailure, match="input shape"):
        architectures.load(name)((8, 8), 10, 1.0, 1)
    with pytest.raises(BuildFailure, match="width nan"):
        architectures.load(name)((1, 8, 8), 10, float("nan"), 1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_beyond_memory_is_refused(name: str) -> None:
    with pytest.raises(BuildFailure, match=f"{name}: .* weights: must be at most {MAX_WEIGHTS}"):
        architectures.load(name)((1, 8, 8), 10, 200.0, 8)


def test_weights_in_a_body_and_around_it_are_seen() -> None:
    inner = Position("conv", "hidden", 2**12, 2**12, kernel=3, padding=1)
    around = Position("conv", "hidden", 2**12, 2**12)
    # 9 x 2^24 in each conv of the body, 2^24 around: 2^28 is 16 x 2^24
    refuse_too_large("net", [Residual((inner,), around)])
    assert list(with_weights([Residual((inner, inner), around), around])) == [
        inner,
        inner,
        around,
        around,
    ]
    with pytest.raises(BuildFailure, match=f"net: {19 * 2**24} weights"):
        refuse_too_large("net", [Residual((inner, inner), around)])
    eleven = Residual((around,) * 11, around)  # 12 x 2^24
    refuse_too_large("net", [eleven] + [around] * 4)
    with pytest.raises(BuildFailure, match=f"net: {17 * 2**24} weights"):
        refuse_too_large("net", [eleven] + [around] * 5)


def test_topologies_need_no_torch() -> None:
    code = (
        "import sys; from dse.architectures import positions as p; "
        "[p.load(n) for n in p.names()]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
