"""Splits: disjoint, stratified, deterministic; the test set untouched; mistakes all at once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dse.data import splits
from dse.data.official import Official
from dse.errors import DataError

MakeOfficial = Callable[[np.ndarray, np.ndarray], Official]
TRAIN_LABELS = np.repeat(np.array([0, 1, 2], np.int64), [100, 60, 40])
TEST_LABELS = np.array([2, 1, 0], np.int64)


@pytest.fixture
def tiny(make_official: MakeOfficial) -> Official:
    return make_official(TRAIN_LABELS, TEST_LABELS)


def numbers(part: splits.Part) -> list[int]:
    """The numbers of the training images, which stand in their first pixel."""
    return [round(value) for value in (part.images[:, 0, 0, 0] * 255).tolist()]


def test_training_and_validation_share_no_image_and_lose_none(tiny: Official) -> None:
    made = splits.split(tiny, validation=0.2, samples=None, seed=5)
    assert sorted(numbers(made.train) + numbers(made.validation)) == list(range(200))


def test_both_parts_keep_the_shares_of_the_classes(tiny: Official) -> None:
    made = splits.split(tiny, validation=0.2, samples=None, seed=5)
    # 0.2 of 100, 60, 40
    assert np.bincount(made.validation.labels).tolist() == [20, 12, 8]
    assert np.bincount(made.train.labels).tolist() == [80, 48, 32]


def test_labels_stay_with_their_images(tiny: Official) -> None:
    made = splits.split(tiny, validation=50, samples=None, seed=5)
    for part in (made.train, made.validation):
        assert part.labels.tolist() == TRAIN_LABELS[numbers(part)].tolist()


def test_a_number_and_a_share_mean_the_same_cut(tiny: Official) -> None:
    by_share = splits.split(tiny, validation=0.1, samples=None, seed=0)
    by_number = splits.split(tiny, validation=20, samples=None, seed=0)
    assert numbers(by_share.validation) == numbers(by_number.validation)


@pytest.mark.parametrize("samples", [None, 100])
def test_the_same_seed_cuts_the_same_and_another_does_not(
    tiny: Official, samples: int | None
) -> None:
    first, again, other = (
        splits.split(tiny, validation=0.2, samples=samples, seed=seed) for seed in (1, 1, 2)
    )
    assert numbers(first.validation) == numbers(again.validation)
    assert numbers(first.train) == numbers(again.train)
    assert numbers(first.validation) != numbers(other.validation)


def test_another_seed_draws_another_pool(tiny: Official) -> None:
    first, other = (splits.split(tiny, validation=0.2, samples=100, seed=seed) for seed in (1, 2))
    pools = [sorted(numbers(made.train) + numbers(made.validation)) for made in (first, other)]
    assert pools[0] != pools[1]


def test_samples_limit_training_and_validation_together_and_say_so(tiny: Official) -> None:
    made = splits.split(tiny, validation=0.25, samples=20, seed=0)
    # 20 of 200 is a tenth of 100, 60, 40
    both = np.concatenate([made.train.labels, made.validation.labels])
    assert np.bincount(both).tolist() == [10, 6, 4]
    assert (len(made.train), len(made.validation), len(made.test)) == (15, 5, 3)
    assert made.notes == (
        "a note",
        "tiny: 20 of the 200 official training images were used (a stratified draw)",
    )


@pytest.mark.parametrize("samples", [None, 200, 20])
def test_the_test_part_is_the_official_one(tiny: Official, samples: int | None) -> None:
    made = splits.split(tiny, validation=0.2, samples=samples, seed=9)
    assert np.array_equal(made.test.labels, TEST_LABELS)
    assert np.allclose(made.test.images, 7 / 255)


def test_pixels_run_from_exactly_zero_to_exactly_one(tiny: Official) -> None:
    made = splits.split(tiny, validation=0.2, samples=None, seed=0)
    assert made.train.images.dtype == np.float32
    assert made.train.labels.dtype == np.int64
    assert set(made.train.images[:, 0, 0, 1].tolist()) == {1.0}
    assert set(made.train.images[:, 0, 1].ravel().tolist()) == {0.0}
    assert made.input_shape == (1, 2, 2)
    assert made.notes == ("a note",)
    assert "no mean subtracted" in made.normalisation


@pytest.mark.parametrize("validation", [0, 200, 0.0, 1.0, -0.5, 0.001, float("nan"), -3])
def test_an_impossible_validation_is_refused(tiny: Official, validation: float) -> None:
    with pytest.raises(DataError, match=r"tiny: validation: .* a number in 1 \.\. 199"):
        splits.split(tiny, validation=validation, samples=None, seed=0)


def test_all_mistakes_are_named_at_once(tiny: Official) -> None:
    with pytest.raises(DataError) as caught:
        splits.split(tiny, validation=0.1, samples=201, seed=-1)
    assert str(caught.value) == "tiny: samples: 201 is not in 2 .. 200\ntiny: seed: -1 is below 0"


def test_names_are_the_data_sets() -> None:
    assert splits.names() == ["cifar10", "digits", "fashion-mnist", "mnist"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r'data: "mnits" is unknown\. Did you mean "mnist"\?'):
        splits.load("mnits", data_dir=None, validation=0.1, samples=None, seed=0)


def test_load_reads_the_named_set_from_the_data_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fashion-mnist: train-images-idx3-ubyte\.gz is missing"):
        splits.load("fashion-mnist", data_dir=tmp_path, validation=0.1, samples=None, seed=0)


def test_the_room_needs_neither_torch_nor_a_network_library_before_a_set_is_loaded() -> None:
    code = (
        "import sys, dse.data.splits as s; s.names(); "
        "sys.exit(any(guest in sys.modules for guest in ('torch', 'pooch', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
