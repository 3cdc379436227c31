"""Augmentation: what each change does, that it is drawn for each image, and from where."""

import time

import pytest
import torch
from torch import Generator, Tensor

from dse.errors import DataError
from dse.training import augment
from dse.training.settings import TrainingSettings

PLAIN = TrainingSettings(1, 2, 0.1, 0.0, 0.0, 1.0)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 200, channels: int = 3, height: int = 6, width: int = 5) -> Tensor:
    return torch.rand(count, channels, height, width, generator=seeded(1)) + 1  # never zero


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """One image moved, by the definition."""
    out = torch.zeros_like(image)
    height, width = image.shape[1:]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                out[:, row, column] = image[:, row - down, column - right]
    return out


def test_a_shifted_image_is_one_of_all_moves_and_each_comes_up() -> None:
    before = images()
    after = augment.shift(before, 2, seeded())
    assert after.shape == before.shape
    seen = set()
    for one, other in zip(before, after, strict=True):
        moves = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(moved(one, down, right), other)
        ]
        assert len(moves) == 1
        seen.update(moves)
    assert len(seen) == 25  # of 200 draws


def test_an_image_is_flipped_or_not() -> None:
    before = images()
    after = augment.flip(before, seeded())
    is_same = (after == before).flatten(1).all(1)
    is_flipped = (after == before.flip(3)).flatten(1).all(1)
    assert (is_same ^ is_flipped).all()
    assert 60 < int(is_flipped.sum()) < 140


def test_a_hole_is_a_square_around_a_pixel_in_all_channels() -> None:
    before = images(300, height=9, width=9)
    after = augment.cutout(before, 3, seeded())
    is_hole = after == 0
    assert torch.equal(after[~is_hole], before[~is_hole])
    assert torch.equal(is_hole, is_hole[:, :1].expand_as(is_hole))
    rows, columns = is_hole[:, 0].any(2), is_hole[:, 0].any(1)
    assert torch.equal(is_hole[:, 0], rows[:, :, None] & columns[:, None, :])
    # in the middle 3 rows, at the edge 2
    assert set(rows.sum(1).tolist()) == {2, 3}
    assert (rows.sum(0) > 50).all()


@pytest.mark.parametrize("name", ["flip", "shift", "cutout"])
def test_the_generator_decides_and_nothing_else(name: str) -> None:
    settings = TrainingSettings(1, 2, 0.1, 0.0, 0.0, 1.0, augment=(name,), cutout_pixels=2)
    before = images()
    kept = before.clone()
    state = torch.get_rng_state()
    first, again, other = (augment.augmented(before, settings, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, kept)
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_is_drawn_unless_it_is_asked_for() -> None:
    generator = seeded()
    before = images()
    assert augment.augmented(before, PLAIN, generator) is before
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_shares_of_mixup_follow_their_distribution() -> None:
    generator = seeded()
    shares = torch.tensor([augment.mixup_share(0.4, generator) for _ in range(4000)])
    # Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1))
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), rel=0.05)
    assert 0 <= augment.mixup_share(1e-9, generator) <= 1
    partners = augment.mixup_partners(images(50), generator)
    assert sorted(partners.tolist()) == list(range(50))


def test_images_that_are_too_small_are_refused() -> None:
    def with_(**changes) -> TrainingSettings:
        return TrainingSettings(1, 2, 0.1, 0.0, 0.0, 1.0, **changes)

    augment.refuse_small((1, 8, 8), with_(augment=("shift", "cutout"), cutout_pixels=7))
    augment.refuse_small((1, 2, 2), PLAIN)
    with pytest.raises(
        DataError, match=r"cutout_pixels 8: must be below the side of the images, 8"
    ):
        augment.refuse_small((1, 9, 8), with_(augment=("cutout",)))
    with pytest.raises(DataError, match=r"augment: flip: images of shape \(64,\): must be \(C, H"):
        augment.refuse_small((64,), with_(augment=("flip",)))


@pytest.mark.slow
def test_a_batch_of_small_images_costs_less_than_a_millisecond() -> None:
    settings = TrainingSettings(1, 2, 0.1, 0.0, 0.0, 1.0, augment=("flip", "shift", "cutout"))
    batch, generator = torch.rand(128, 1, 28, 28), seeded()
    fastest_s = 1.0
    for _ in range(200):
        start_s = time.perf_counter()
        augment.augmented(batch, settings, generator)
        fastest_s = min(fastest_s, time.perf_counter() - start_s)
    assert fastest_s < 1e-3
