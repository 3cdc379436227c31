"""Fashion-MNIST: 60,000 and 10,000 pieces of clothing, 28x28, grey (Xiao et al., 2017)."""

from __future__ import annotations

from pathlib import Path

from dse.data import idx
from dse.data.official import Official

RELEASE = idx.IdxRelease(
    name="fashion-mnist",
    folders=("fashion-mnist", "FashionMNIST/raw"),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    md5s={
        idx.TRAIN_IMAGES: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        idx.TRAIN_LABELS: "25c81989df183df01b3e8a0aad5dffbe",
        idx.TEST_IMAGES: "bef4ecab320f06d8554ea6380940ec79",
        idx.TEST_LABELS: "bb300cfdad3c16e7a12a480ee83cd310",
    },
)


def load(data_dir: Path | None, cache_dir: Path | None) -> Official:
    """Images (N, 1, 28, 28), pixels 0 .. 255; ten classes. Raises as `idx.load`."""
    return idx.load(RELEASE, data_dir, cache_dir)
