"""Digits: scikit-learn's 1,797 handwritten digits (8x8, grey); nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from dse.data import stratify
from dse.data.official import Official

# The set has no official test split, so we fix one: it does not depend on the seed of a run, and
# two runs are always tested on the same images.
TEST_SIZE = 360
TEST_KEY = (1797,)


def load(data_dir: Path | None, cache_dir: Path | None) -> Official:
    """1,437 training and 360 test images of (1, 8, 8), pixels 0 .. 16.

    Both folders go unused: the data travel with scikit-learn.
    """
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, np.newaxis]
    labels = bunch.target.astype(np.int64)
    test = stratify.draw(labels, TEST_SIZE, TEST_KEY)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Official(
        name="digits",
        classes=10,
        white=16,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        notes=(
            f"digits: the set has no official test split; {TEST_SIZE} images, a fixed stratified "
            "draw, are kept for testing",
        ),
    )
