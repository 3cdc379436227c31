"""Digits: sizes, and a test split that no seed moves."""

from pathlib import Path

import numpy as np

from dse.data import digits, splits


def test_sizes_and_shares() -> None:
    official = digits.load(None, None)
    assert official.train_images.shape == (1437, 1, 8, 8)  # 1797 - 360
    assert official.test_images.shape == (360, 1, 8, 8)
    assert official.train_images.max() == official.white == 16
    everyone = np.bincount(np.concatenate([official.train_labels, official.test_labels]))
    shares = np.bincount(official.test_labels) - everyone * 360 / 1797
    assert (abs(shares) < 1).all()


def test_no_test_image_is_a_training_image_and_none_is_lost() -> None:
    official = digits.load(None, None)
    both = np.concatenate([official.train_images, official.test_images]).reshape(1797, -1)
    assert len(np.unique(both, axis=0)) == 1797  # all digits differ, so this rules out overlap


def test_the_test_images_do_not_depend_on_the_seed(tmp_path: Path) -> None:
    first, second = (
        splits.load("digits", data_dir=tmp_path, validation=0.1, samples=500, seed=seed)
        for seed in (0, 1)
    )
    assert np.array_equal(first.test.images, second.test.images)
    assert not np.array_equal(first.validation.images, second.validation.images)
    assert "no official test split" in first.notes[0]
