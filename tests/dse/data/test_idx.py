"""IDX: the format by pencil, damaged files, and releases in every folder layout."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dse.data import idx
from dse.errors import DataError

WriteIdx = Callable[[Path], idx.IdxRelease]
PackIdx = Callable[[np.ndarray], bytes]


def test_an_image_file_by_pencil() -> None:
    # 0x00000803 = 2051: unsigned bytes, three axes; then 2 images of 1 row and 3 columns
    content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60])
    array = idx.read(gzip.compress(content), 3, "f")
    assert array.tolist() == [[[10, 20, 30]], [[40, 50, 60]]]
    assert array.dtype == np.uint8


def test_a_label_file_by_pencil() -> None:
    # 0x00000801 = 2049: unsigned bytes, one axis of two
    content = bytes([0, 0, 8, 1, 0, 0, 0, 2, 9, 4])
    assert idx.read(gzip.compress(content), 1, "f").tolist() == [9, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes([0, 0, 8, 3, 0, 0, 0, 2]), "f: 8 bytes; an IDX header alone has 16"),
        (bytes([0, 0, 8, 1]) + bytes(12), "f: its magic number is 2049, not 2051"),
        (bytes([0, 0, 13, 3]) + bytes(12), "f: its magic number is 3331, not 2051"),
        (
            bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes(5),
            r"f: 21 bytes; its header, \(2, 1, 3\), promises 22",
        ),
        (
            bytes([0, 0, 8, 3]) + b"\xff" * 12,  # sizes whose product overflows 64 bits
            r"f: 16 bytes; its header, \(4294967295, 4294967295, 4294967295\), promises 79,228,",
        ),
    ],
)
def test_a_file_that_is_something_else_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        idx.read(gzip.compress(content), 3, "f")


def test_every_truncated_gzip_file_is_refused(pack_idx: PackIdx) -> None:
    packed = pack_idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert idx.read(packed, 3, "f").size == 24
    for length in range(len(packed)):
        with pytest.raises(DataError, match="f: "):
            idx.read(packed[:length], 3, "f")


@pytest.mark.parametrize("folder", [".", "tiny", "Tiny/raw"])
def test_a_release_loads_from_its_folder_or_the_parent(
    tmp_path: Path, write_idx: WriteIdx, folder: str
) -> None:
    release = write_idx(tmp_path / folder)
    official = idx.load(release, tmp_path, None)
    assert official.train_images.shape == (20, 1, 2, 3)
    assert official.test_images.shape == (10, 1, 2, 3)
    assert official.train_labels.tolist() == list(range(10)) * 2
    assert official.train_labels.dtype == np.int64
    assert official.notes == ()


def test_a_file_with_another_md5_is_refused(
    tmp_path: Path, write_idx: WriteIdx, pack_idx: PackIdx
) -> None:
    release = write_idx(tmp_path)
    (tmp_path / idx.TEST_LABELS).write_bytes(pack_idx(np.zeros(10, np.uint8)))
    right = release.md5s[idx.TEST_LABELS]
    with pytest.raises(
        DataError, match=f"has md5 .*, the official file has {right}. Take it from https://one"
    ):
        idx.load(release, tmp_path, None)


def test_a_missing_file_is_named(tmp_path: Path, write_idx: WriteIdx) -> None:
    release = write_idx(tmp_path)
    (tmp_path / idx.TRAIN_LABELS).unlink()
    with pytest.raises(DataError, match=r"tiny: train-labels-idx1-ubyte\.gz is missing"):
        idx.load(release, tmp_path, None)


def test_files_in_the_cache_are_used_without_a_download(
    tmp_path: Path, write_idx: WriteIdx
) -> None:
    release = write_idx(tmp_path / "tiny")
    assert len(idx.load(release, None, tmp_path).test_labels) == 10
