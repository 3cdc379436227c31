"""Small data sets of the official formats, built in memory."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dse.data import cifar10, idx
from dse.data.official import Official


def official(train_labels: np.ndarray, test_labels: np.ndarray) -> Official:
    """A set in which pixel [0, 0, 0] of a training image is its number and [0, 0, 1] is 255."""
    train = np.zeros((len(train_labels), 1, 2, 2), np.uint8)
    train[:, 0, 0, 0] = np.arange(len(train_labels))
    train[:, 0, 0, 1] = 255
    test = np.full((len(test_labels), 1, 2, 2), 7, np.uint8)
    return Official("tiny", 3, 255, train, train_labels, test, test_labels, ("a note",))


def idx_file(array: np.ndarray) -> bytes:
    """A gzipped IDX file of unsigned bytes."""
    header = struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def idx_release(folder: Path) -> idx.IdxRelease:
    """Four files written into `folder`: 20 training and 10 test images of 2x3 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    files = {
        idx.TRAIN_IMAGES: rng.integers(0, 256, (20, 2, 3), np.uint8),
        idx.TRAIN_LABELS: np.arange(20, dtype=np.uint8) % 10,
        idx.TEST_IMAGES: rng.integers(0, 256, (10, 2, 3), np.uint8),
        idx.TEST_LABELS: np.arange(10, dtype=np.uint8),
    }
    md5s = {}
    for name, array in files.items():
        content = idx_file(array)
        (folder / name).write_bytes(content)
        md5s[name] = hashlib.md5(content).hexdigest()
    return idx.IdxRelease("tiny", ("tiny", "Tiny/raw"), ("https://one.example/",), md5s)


def batch_file(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 and NumPy 1 pickled it, opcode by opcode as in the official files.

    images : (N, 3072) uint8, N < 65536
    """
    listed = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03"
        b"U\x06labelsq\x04]q\x05(" + listed + b"e"
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08"
        b"K\x00\x85U\x01b\x87Rq\x09(K\x01M" + struct.pack("<H", len(images)) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", images.size)
        + images.tobytes()
        + b"tbU\x09filenamesq\x0c]q\x0du."
    )


def cifar_folder(folder: Path) -> cifar10.Release:
    """Six batch files of two images each; every pixel of a training image is its number."""
    folder.mkdir(parents=True, exist_ok=True)
    md5s = {}
    for number, name in enumerate((*cifar10.TRAIN_BATCHES, cifar10.TEST_BATCH)):
        images = np.repeat(np.array([[2 * number], [2 * number + 1]], np.uint8), 3072, axis=1)
        content = batch_file(images, [number, 9])
        (folder / name).write_bytes(content)
        md5s[name] = hashlib.md5(content).hexdigest()
    return cifar10.Release("tiny", md5s)


@pytest.fixture
def make_official() -> Callable[[np.ndarray, np.ndarray], Official]:
    return official


@pytest.fixture
def pack_idx() -> Callable[[np.ndarray], bytes]:
    return idx_file


@pytest.fixture
def write_idx() -> Callable[[Path], idx.IdxRelease]:
    return idx_release


@pytest.fixture
def pack_batch() -> Callable[[np.ndarray, list[int]], bytes]:
    return batch_file


@pytest.fixture
def write_cifar() -> Callable[[Path], cifar10.Release]:
    return cifar_folder
