"""MNIST and Fashion-MNIST: the real files, where a copy lies beside the repository."""

from pathlib import Path

import numpy as np
import pytest

from dse.data import splits

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no data beside the repository")
@pytest.mark.parametrize(
    # mean and standard deviation of the training pixels, as published with the sets
    ("name", "mean", "deviation"),
    [("mnist", 0.1307, 0.3081), ("fashion-mnist", 0.2860, 0.3530)],
)
def test_the_real_files_have_the_known_shapes_and_moments(
    name: str, mean: float, deviation: float
) -> None:
    made = splits.load(name, data_dir=SHARED, validation=0.1, samples=None, seed=0)
    assert made.train.images.shape == (54000, 1, 28, 28)
    assert made.validation.images.shape == (6000, 1, 28, 28)
    assert made.test.images.shape == (10000, 1, 28, 28)
    assert made.notes == ()
    pixels = np.concatenate([made.train.images, made.validation.images])
    assert pixels.mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert pixels.std(dtype=np.float64) == pytest.approx(deviation, abs=5e-5)
