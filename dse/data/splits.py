"""Splits: a data set by name, cut into training, validation and test images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dse import catalogue
from dse.data import stratify
from dse.data.official import Labels, Official, Pixels
from dse.errors import ConfigError, DataError

_NOT_A_DATA_SET = (
    "archive",
    "batchfile",
    "decoded",
    "download",
    "idx",
    "npz",
    "official",
    "own",
    "splits",
    "stratify",
)

# Second half of the key of a draw, so that one seed gives two independent draws.
_POOL, _VALIDATION = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some labelled images.

    images : (N, C, H, W) float32, 0 (black) .. 1 (white), or as the user gave them; of frames of
        events (N, T, C, H, W)
    labels : (N,) int64
    """

    images: npt.NDArray[np.float32]
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """A data set, ready for training.

    The test part is the official test set, whole and untouched; training and validation are
    disjoint, stratified draws from the official training set.

    Pixels are scaled to [0, 1] and no mean is subtracted: a black pixel stays exactly zero. Zero
    inputs cost nothing in an effective count, and a shifted background would hide them.

    normalisation : the scaling in words
    notes : what must stand beside every figure made with these data
    digest : of data of the user's own, which nobody else has checked; else empty
    """

    name: str
    classes: int
    train: Part
    validation: Part
    test: Part
    normalisation: str
    notes: tuple[str, ...]
    digest: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image, or (T, C, H, W) of the frames of events of one sample."""
        return self.train.images.shape[1:]

    @property
    def time_steps(self) -> int | None:
        """T of frames of events; None for images, which are shown at every step."""
        return self.train.images.shape[1] if self.train.images.ndim == 5 else None


def names() -> list[str]:
    """The data sets: the files of this room that load one."""
    return catalogue.names("dse.data", without=_NOT_A_DATA_SET)


def load(
    name: str,
    *,
    data_dir: Path | None,
    validation: float | int,
    samples: int | None,
    seed: int,
    cache_dir: Path | None = None,
) -> Splits:
    """A data set by name.

    data_dir : the folder of the data set or its parent, read in place and never written to.
        None = download the official files, once, into `cache_dir`
    validation, samples, seed : as in `split`
    cache_dir : for downloads and decoded arrays; None = the user's cache folder

    Raises DataError for an unknown name, for files that are missing, damaged or not official, and
    for a validation or samples that cannot be.
    """
    try:
        reader = catalogue.load("dse.data", name, "load", without=_NOT_A_DATA_SET)
    except ConfigError as error:
        raise DataError(str(error)) from error
    official: Official = reader(data_dir, cache_dir)
    return split(official, validation=validation, samples=samples, seed=seed)


def split(official: Official, *, validation: float | int, samples: int | None, seed: int) -> Splits:
    """Cut the official training set into training and validation. The same seed, the same cut.

    validation : a share of the samples (a float in 0 .. 1, both excluded), or their number
    samples : how many official training images to use, for training and validation together
        (stratified); None = all
    seed : >= 0

    Raises DataError, with all mistakes at once, if there cannot be such a cut.
    """
    labels = official.train_labels
    kind = "official training images"
    train, held_out, notes = cut(official.name, labels, validation, samples, seed, kind)
    return Splits(
        name=official.name,
        classes=official.classes,
        train=Part(_scaled(official.train_images[train], official.white), labels[train]),
        validation=Part(_scaled(official.train_images[held_out], official.white), labels[held_out]),
        test=Part(_scaled(official.test_images, official.white), official.test_labels),
        normalisation=f"pixel / {official.white}, in [0, 1]; no mean subtracted, black is 0",
        notes=(*official.notes, *notes),
    )


def cut(
    name: str,
    labels: Labels,
    validation: float | int | None,
    samples: int | None,
    seed: int,
    kind: str,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], tuple[str, ...]]:
    """Places of training and validation samples, and what must be said of the cut.

    validation, samples, seed : as in `split`; no validation for None
    name, kind : of the data and of their samples, for messages and notes

    Raises DataError, with all mistakes at once, if there cannot be such a cut.
    """
    pool_size = len(labels) if samples is None else samples
    least = 0 if validation is None else 1
    share = validation or 0
    validation_size = share if isinstance(share, int) else _part(share, pool_size)
    problems = []
    if not 2 <= pool_size <= len(labels):
        problems.append(f"samples: {samples} is not in 2 .. {len(labels)}")
    elif not least <= validation_size < pool_size:
        problems.append(
            f"validation: {validation} of {pool_size} samples leaves training or validation empty."
            f" It may be a share between 0 and 1, or a number in 1 .. {pool_size - 1}"
        )
    if seed < 0:
        problems.append(f"seed: {seed} is below 0")
    if problems:
        raise DataError("\n".join(f"{name}: {problem}" for problem in problems))

    pool = stratify.draw(labels, pool_size, (seed, _POOL))
    held_out = pool[stratify.draw(labels[pool], validation_size, (seed, _VALIDATION))]
    train = np.setdiff1d(pool, held_out, assume_unique=True)
    notes: tuple[str, ...] = ()
    if pool_size < len(labels):
        notes = (
            f"{name}: {pool_size:,} of the {len(labels):,} {kind} were used (a stratified draw)",
        )
    return train, held_out, notes


def _part(share: float, total: int) -> int:
    """That share of a total, rounded; 0 for a share that is none (also for NaN)."""
    return round(share * total) if 0.0 < share < 1.0 else 0


def _scaled(pixels: Pixels, white: int) -> npt.NDArray[np.float32]:
    """uint8 0 .. white -> float32 0 .. 1; both ends are exact."""
    return np.divide(pixels, np.float32(white), dtype=np.float32)
