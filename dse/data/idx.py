"""IDX: the gzipped file format of MNIST and its kin, and how a release of four such files loads."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dse.data import download
from dse.data.official import Official, Pixels, find, md5, read_bytes
from dse.errors import DataError

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"

_LIMIT_BYTES = 1 << 26  # the largest official file has 26 MB
_UNSIGNED_BYTE = 0x08  # the code of the format for uint8


@dataclass(frozen=True, slots=True)
class IdxRelease:
    """Four official files of grey images in ten classes, and where they are found.

    folders : names that the folder of the data set may have below a data folder
    mirrors : address prefixes, tried in this order
    md5s : file name -> md5 of the gzipped file
    """

    name: str
    folders: tuple[str, ...]
    mirrors: tuple[str, ...]
    md5s: Mapping[str, str]


def load(release: IdxRelease, data_dir: Path | None, cache_dir: Path | None) -> Official:
    """The four files of a release as arrays: images (N, 1, H, W), 0 .. 255, labels 0 .. 9.

    data_dir : where the files lie; None = download them into `cache_dir`

    Raises DataError if a file is missing, is not the official one, or is damaged.
    """
    return Official(
        name=release.name,
        classes=10,
        white=255,
        train_images=_checked(release, TRAIN_IMAGES, 3, data_dir, cache_dir)[:, np.newaxis],
        train_labels=_checked(release, TRAIN_LABELS, 1, data_dir, cache_dir).astype(np.int64),
        test_images=_checked(release, TEST_IMAGES, 3, data_dir, cache_dir)[:, np.newaxis],
        test_labels=_checked(release, TEST_LABELS, 1, data_dir, cache_dir).astype(np.int64),
    )


def read(packed: bytes, ndim: int, where: str) -> Pixels:
    """The array in a gzipped IDX file of unsigned bytes with `ndim` axes.

    The header is big-endian: two zero bytes, the type, the number of axes, then one 32-bit length
    an axis; the values follow, the last axis fastest.

    Raises DataError, beginning with `where`, if the file is cut off or holds something else.
    """
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: not a whole gzip file: {error}") from error
    magic = _UNSIGNED_BYTE << 8 | ndim
    header_bytes = 4 + 4 * ndim
    if len(content) < header_bytes:
        raise DataError(f"{where}: {len(content)} bytes; an IDX header alone has {header_bytes}")
    found, *shape = struct.unpack(f">{1 + ndim}I", content[:header_bytes])
    if found != magic:
        raise DataError(f"{where}: its magic number is {found}, not {magic}")
    expected = header_bytes + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{where}: {len(content):,} bytes; its header, {tuple(shape)}, promises {expected:,}"
        )
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)


def _checked(
    release: IdxRelease, file: str, ndim: int, data_dir: Path | None, cache_dir: Path | None
) -> Pixels:
    """The array in one file of a release, after its md5 was compared with the official one."""
    official = release.md5s[file]
    if data_dir is None:
        urls = [prefix + file for prefix in release.mirrors]
        folder = download.cache_folder(cache_dir) / release.name
        path = download.fetch(release.name, file, urls, official, folder)
    else:
        path = find(release.name, data_dir, release.folders, [file])
    packed = read_bytes(release.name, path, _LIMIT_BYTES)
    if md5(packed) != official:
        raise DataError(
            f"{release.name}: {path} has md5 {md5(packed)}, the official file has {official}. "
            f"Take it from {' or '.join(release.mirrors)}"
        )
    return read(packed, ndim, f"{release.name}: {path}")
