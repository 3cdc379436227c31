import pytest

from dse.architectures import positions as architectures
from dse.architectures.positions import Place, Position, Residual, with_weights
from dse.architectures.shapes import dense_products

CIFAR = (3, 32, 32)
FASHION = (1, 28, 28)


def conv(
    c_in: int, c_out: int, *, role: str = "hidden", pool: int | None = 2, stride: int = 1
) -> Position:
    return Position("conv", role, c_in, c_out, kernel=3, padding=1, pool=pool, stride=stride)


def places_of(
    name: str, shape: tuple[int, ...] = CIFAR, width: float = 1.0, depth: int = 0
) -> list[Place]:
    return list(architectures.load(name)(shape, 10, width, depth))


def in_the_chain(places: list[Place]) -> int:
    """Weight layers as names of networks count them: without what goes around a block."""
    return sum(len(place.body) if isinstance(place, Residual) else 1 for place in places)


def sizes(places: list[Place]) -> list[int]:
    return [position.c_out for position in with_weights(places)]


def test_lenet_with_a_pencil() -> None:
    assert places_of("lenet", FASHION) == [
        conv(1, 16, role="first"),
        conv(16, 32),
        Position("linear", "hidden", 32 * 7 * 7, 128, flatten=True),  # 28 14 7
        Position("linear", "readout", 128, 10),
    ]
    assert places_of("lenet", (1, 8, 8), width=0.5, depth=2) == [
        conv(1, 8, role="first", pool=None),
        conv(8, 8),
        conv(8, 16, pool=None),
        conv(16, 16),
        Position("linear", "hidden", 16 * 2 * 2, 64, flatten=True),
        Position("linear", "readout", 64, 10),
    ]


@pytest.mark.parametrize(
    ("name", "layers"),
    [("vgg7", 7), ("vgg9", 9), ("vgg16", 16), ("resnet20", 20), ("resnet18", 18)],
)
@pytest.mark.parametrize("shape", [CIFAR, FASHION, (1, 8, 8), (1, 1, 1)])
def test_names_say_the_number_of_weight_layers(
    name: str, layers: int, shape: tuple[int, ...]
) -> None:
    assert in_the_chain(places_of(name, shape)) == layers


@pytest.mark.parametrize(
    ("name", "depth", "layers"),
    [
        ("vgg7", 2, 13),  # 2 x 6 convolutions and the readout
        ("vgg9", 3, 23),  # 3 x 7 convolutions, one hidden layer and the readout
        ("resnet20", 3, 56),  # 6 n + 2 with n = 9 blocks a stage
        ("resnet18", 2, 34),  # not the ResNet-34 of the paper, whose stages are 3 4 6 3
    ],
)
def test_depth_multiplies_stages(name: str, depth: int, layers: int) -> None:
    assert in_the_chain(places_of(name, depth=depth)) == layers


def test_channels_of_the_vgg_like() -> None:
    assert sizes(places_of("vgg7")) == [64, 64, 128, 128, 256, 256, 10]
    assert sizes(places_of("vgg9")) == [64, 64, 128, 128, 256, 256, 256, 1024, 10]
    pools = [None, 2, None, 2, None, None, 2, None, None]
    assert [place.pool for place in places_of("vgg9")] == pools
    assert places_of("vgg7")[-1].c_in == 256 * 4 * 4  # 32 16 8 4
    assert places_of("vgg7", FASHION)[-1].c_in == 256 * 3 * 3  # 28 14 7 3
    assert sizes(places_of("vgg7", width=0.05)) == [3, 3, 6, 6, 13, 13, 10]


def test_pools_stop_at_sides_of_one() -> None:
    pools = [place.pool for place in places_of("vgg7", (1, 4, 9))]
    assert pools == [None, 2, None, 2, None, None, None]  # 4 x 9, 2 x 4, 1 x 2


def test_blocks_of_resnet20() -> None:
    places = places_of("resnet20")
    same, wider = conv(16, 16, pool=None), conv(32, 32, pool=None)
    assert places[0] == conv(3, 16, role="first", pool=None)
    assert places[1:4] == [Residual((same, same))] * 3
    assert places[4] == Residual(
        (conv(16, 32, pool=None, stride=2), wider),
        Position("conv", "hidden", 16, 32, stride=2),
    )
    assert places[5:7] == [Residual((wider, wider))] * 2
    assert places[-1] == Position("linear", "readout", 64, 10, average=True)


def test_a_stride_that_changes_nothing_needs_nothing_around_it() -> None:
    # one channel everywhere, one pixel: every block keeps the shape
    blocks = [p for p in places_of("resnet20", (1, 1, 1), 0.01) if isinstance(p, Residual)]
    assert len(blocks) == 9
    assert all(block.shortcut is None for block in blocks)
    # the same with two pixels, which a stride of 2 makes one
    blocks = [p for p in places_of("resnet20", (1, 1, 2), 0.01) if isinstance(p, Residual)]
    assert [block.shortcut is not None for block in blocks].index(True) == 3


def test_products_of_resnet18_by_hand() -> None:
    stem = 3 * 64 * 9 * 32 * 32
    first = 4 * 64 * 64 * 9 * 32 * 32
    # twice the channels on a quarter of the pixels: stages 2 to 4 cost the same
    later = (64 * 128 * 9 + 3 * 128 * 128 * 9 + 64 * 128) * 16 * 16
    assert sum(dense_products(places_of("resnet18"), CIFAR)) == stem + first + 3 * later + 512 * 10


def test_products_of_plif_fashion_mnist() -> None:
    places = places_of("plif-fashion-mnist", FASHION)
    assert dense_products(places, FASHION) == [
        903_168,  # 1 x 128 x 9 x 28 x 28
        28_901_376,  # 128 x 128 x 9 x 14 x 14
        12_845_056,  # 128 x 7 x 7 x 2048
        204_800,  # 2048 x 100
    ]


def test_votes_and_dropout_of_plif_fashion_mnist() -> None:
    *_, hidden, readout = architectures.load("plif-fashion-mnist")(FASHION, 3, 0.5, 0)
    assert hidden == Position("linear", "hidden", 64 * 49, 1024, flatten=True, dropout=0.5)
    assert readout == Position("linear", "readout", 1024, 30, dropout=0.5, vote=10)
