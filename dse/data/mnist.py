"""MNIST: 60,000 and 10,000 handwritten digits, 28x28, grey (LeCun et al., 1998)."""

from __future__ import annotations

from pathlib import Path

from dse.data import idx
from dse.data.official import Official

RELEASE = idx.IdxRelease(
    name="mnist",
    folders=("mnist", "MNIST/raw"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5s={
        idx.TRAIN_IMAGES: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        idx.TRAIN_LABELS: "d53e105ee54ea40749a09fcbcd1e9432",
        idx.TEST_IMAGES: "9fb629c4189551a2d022fa330f9573f3",
        idx.TEST_LABELS: "ec29112dd5afa0611ce80d1b7f02629c",
    },
)


def load(data_dir: Path | None, cache_dir: Path | None) -> Official:
    """Images (N, 1, 28, 28), pixels 0 .. 255; labels are the digits. Raises as `idx.load`."""
    return idx.load(RELEASE, data_dir, cache_dir)
