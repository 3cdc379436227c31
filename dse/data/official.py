"""Official: a data set as its authors published it, and how its files are found and recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dse.errors import DataError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Official:
    """The official training set and the official test set.

    train_images, test_images : (N, C, H, W) uint8, 0 (black) .. `white`
    train_labels, test_labels : (N,) int64, 0 .. classes - 1
    white : the largest value that a pixel can have
    notes : what must stand beside every figure made with these data

    Raises DataError if the arrays do not fit together.
    """

    name: str
    classes: int
    white: int
    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            cause = self._misfit(images, labels)
            if cause:
                raise DataError(f"{self.name}: {part} set: {cause}")
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.name}: training images are {self.train_images.shape[1:]}, "
                f"test images {self.test_images.shape[1:]}. Both must have one (C, H, W)"
            )

    def _misfit(self, images: Pixels, labels: Labels) -> str:
        """Why these images and labels cannot be one part of the set; "" if they can."""
        if images.ndim != 4 or images.dtype != np.uint8:
            return f"images are {images.shape} {images.dtype}, not (N, C, H, W) uint8"
        if labels.shape != images.shape[:1] or labels.dtype != np.int64:
            return f"labels are {labels.shape} {labels.dtype}, not ({len(images)},) int64"
        if images.size == 0:
            return "it has no images"
        if images.max() > self.white:
            return f"a pixel is {images.max()}, above {self.white}"
        if labels.min() < 0 or labels.max() >= self.classes:
            return f"labels are {labels.min()} .. {labels.max()}, not 0 .. {self.classes - 1}"
        return ""


def find(name: str, data_dir: Path, folders: Sequence[str], files: Sequence[str]) -> Path:
    """The first of `files` that lies in `data_dir/FOLDER` for one of `folders`, or in `data_dir`.

    Raises DataError if `data_dir` is no folder or holds none of the files.
    """
    places = [data_dir / folder for folder in folders] + [data_dir]
    try:
        if not data_dir.is_dir():
            raise DataError(f'{name}: data folder "{data_dir}" is not a folder')
        for place in places:
            for file in files:
                if (place / file).exists():
                    return place / file
    except OSError as error:
        raise DataError(f"{name}: {data_dir} cannot be searched: {error}") from error
    raise DataError(
        f"{name}: {' or '.join(files)} is missing. Looked in {', '.join(map(str, places))}. "
        "Put the official file there, or leave out --data-dir to download it"
    )


def read_bytes(name: str, path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes. Raises DataError if it cannot be read."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f"{name}: {path} has {size:,} bytes; it may have {limit:,} at most")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read: {error.strerror or error}") from error


def md5(content: bytes) -> str:
    """The md5 of some bytes: a fingerprint of an official file, not a protection from malice."""
    return _md5(content).hexdigest()


def file_md5(name: str, path: Path) -> str:
    """The md5 of a file of any size. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, _md5).hexdigest()
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read: {error.strerror or error}") from error


def _md5(content: bytes = b"") -> hashlib._Hash:
    return hashlib.md5(content, usedforsecurity=False)
