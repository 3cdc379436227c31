"""Own: data of the user's own, from a file of arrays or a function, checked and cut into parts.

Arrays: train_images and train_labels; also validation_... and test_..., if there are such parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dse import usercode
from dse.data import npz, stratify
from dse.data.npz import Array
from dse.data.official import Labels
from dse.data.splits import Part, Splits, cut
from dse.errors import DataError, TargetError
from energy_models.errors import nearest

PARTS = ("train", "validation", "test")
NAMES = tuple(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))
# a file without a test part always gives the same one, whatever the seed of a run
TEST_SHARE, TEST_KEY = 0.2, (20,)
_MOST_EXACT = 1 << 24  # whole numbers up to here are exact in float32
_WHITE = 255

_Pair = tuple[npt.NDArray[np.float32], Labels]


def load(
    name: str, target: str, *, validation: float | int, samples: int | None, seed: int
) -> Splits:
    """Data of the user's own.

    name : what the data are called      target : `file.npz`, or `file.py:function`
    validation, samples, seed : as in `splits.split`. A file with a validation part is used with
        that one

    Images are frames (N, C, H, W), or (N, H, W) of one channel: floating-point numbers as they are,
    uint8 divided by 255, truth values as 0 and 1; or frames of events (N, T, C, H, W), as they are
    in any of these. A test part that is missing is a fifth of the training part, a stratified draw.

    Raises DataError, with every mistake in the arrays.
    """
    arrays = npz.read(Path(target)) if target.endswith(".npz") else _returned(target)
    problems = [f"{target}: {problem}" for problem in _mistakes(arrays)]
    if problems:
        raise DataError("\n".join(problems))
    parts = {
        part: (_values(arrays[f"{part}_images"]), arrays[f"{part}_labels"].astype(np.int64))
        for part in PARTS
        if f"{part}_images" in arrays
    }
    notes = []
    if "test" not in parts:
        parts["train"], parts["test"] = _apart(*parts["train"])
        notes.append(
            f"{name}: the data have no test part; {len(parts['test'][1]):,} of the training "
            "samples, a fixed stratified draw, are kept for testing"
        )
    images, labels = parts["train"]
    if "validation" in parts:
        notes.append(f"{name}: validated on the validation part of the data")
    wanted = None if "validation" in parts else validation
    chosen, held, more = cut(name, labels, wanted, samples, seed, "training samples")
    held_out = parts.get("validation", (images[held], labels[held]))
    return Splits(
        name=name,
        classes=int(arrays["train_labels"].max()) + 1,
        train=Part(images[chosen], labels[chosen]),
        validation=Part(*held_out),
        test=Part(*parts["test"]),
        normalisation=_normalisation(arrays["train_images"]),
        notes=(*notes, *more),
        digest=_digest(parts),
    )


def _returned(target: str) -> dict[str, Array]:
    """What a function of the user's returns, as arrays by name."""
    place, _, function = target.rpartition(":")
    path = Path(place)
    try:
        found = usercode.load(path, function)()
    except TargetError as error:
        raise DataError(str(error)) from error
    except Exception as error:
        raise DataError(usercode.blame(error, path)) from error
    if isinstance(found, tuple | list) and len(found) in (2, 3):
        parts = ("train", "test") if len(found) == 2 else PARTS
        if all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in found):
            found = {
                f"{part}_{kind}": values
                for part, pair in zip(parts, found, strict=True)
                for kind, values in zip(("images", "labels"), pair, strict=True)
            }
    if not isinstance(found, Mapping):
        raise DataError(
            f"{target}: returned {type(found).__name__}. It must return arrays by name "
            f"({', '.join(NAMES)}), or (images, labels) of training and test"
        )
    arrays = {}
    for key, values in found.items():
        try:
            arrays[str(key)] = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"{target}: {key} is no array: {error}") from error
    return arrays


def _mistakes(arrays: Mapping[str, Array]) -> Iterator[str]:
    """What is wrong with the arrays, each by itself and together."""
    for key in arrays:
        if key not in NAMES:
            yield f'array "{key}" is none of {", ".join(NAMES)}.{nearest(key, NAMES)}'
    for part in PARTS:
        images, labels = (arrays.get(f"{part}_{kind}") for kind in ("images", "labels"))
        if images is None or labels is None:
            if part == "train" or images is not labels:
                gone = "images" if images is None else "labels"
                yield f"array {part}_{gone} is missing"
            continue
        yield from (f"{part}_images {text}" for text in _of_images(images))
        yield from (f"{part}_labels {text}" for text in _of_labels(labels))
        if images.ndim and labels.ndim == 1 and len(images) != len(labels):
            yield f"{part}_images has {len(images)} samples, {part}_labels {len(labels)}"
    if all(not list(_of_images(a)) for key, a in arrays.items() if key.endswith("_images")):
        yield from _unequal(arrays)
    if all(not list(_of_labels(a)) for key, a in arrays.items() if key.endswith("_labels")):
        yield from _gaps(arrays)


def _of_images(images: Array) -> Iterator[str]:
    if images.dtype.kind not in "biuf":
        yield f"are {images.dtype}. They must be numbers"
        return
    if images.ndim not in (3, 4, 5):
        yield (
            f"have the shape {images.shape}. They must be frames (N, C, H, W) or (N, H, W), or "
            "frames of events (N, T, C, H, W)"
        )
        return
    if images.size == 0:
        yield f"have the shape {images.shape}: nothing"
        return
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        sample = int(np.argmin(np.isfinite(images.reshape(len(images), -1)).all(axis=1)))
        yield f"hold NaN or infinite values, first in sample {sample}. All must be finite"
    elif images.dtype.itemsize > 4 and max(abs(float(images.min())), float(images.max())) > 1e30:
        yield "hold values beyond 1e30, which float32 cannot compute with. Scale them"
    if images.dtype.kind in "iu":
        if images.ndim < 5 and images.dtype != np.uint8:
            yield (
                f"are {images.dtype}. Pixels must be uint8, which are divided by {_WHITE}, or "
                "floating-point numbers, which stay as they are"
            )
        elif max(-int(images.min()), int(images.max())) > _MOST_EXACT:
            yield f"go from {images.min()} to {images.max()}. Events are at most {_MOST_EXACT:,}"


def _of_labels(labels: Array) -> Iterator[str]:
    if labels.ndim != 1:
        hint = " Write labels.argmax(1)" if labels.ndim == 2 and labels.shape[1] > 1 else ""
        yield f"have the shape {labels.shape}. They must be (N,), a class each.{hint}"
    elif labels.dtype.kind not in "iu":
        yield f"are {labels.dtype}. They must be whole numbers from 0. Write labels.astype('int64')"
    elif labels.size and int(labels.min()) < 0:
        yield f"begin at {labels.min()}. Classes begin at 0"


def _unequal(arrays: Mapping[str, Array]) -> Iterator[str]:
    """Parts whose samples are not of the shape, or not of the numbers, of the training part."""
    train = arrays.get("train_images")
    for part in PARTS[1:]:
        images = arrays.get(f"{part}_images")
        if train is None or images is None:
            continue
        if images.shape[1:] != train.shape[1:]:
            yield f"{part}_images are of {images.shape[1:]}, train_images of {train.shape[1:]}"
        if (images.dtype.kind in "iu") != (train.dtype.kind in "iu"):
            yield f"{part}_images are {images.dtype}, train_images {train.dtype}: scaled otherwise"


def _gaps(arrays: Mapping[str, Array]) -> Iterator[str]:
    """Classes without a sample to learn from."""
    train = arrays.get("train_labels")
    if train is None:
        return
    if len(train) < 4:
        yield f"train_labels has {len(train)} samples. It must have 4 at least"
        return
    known = np.unique(train)
    classes = int(known[-1]) + 1
    if classes < 2:
        yield "train_labels are all 0. There must be two classes at least"
    elif len(known) < classes:
        first = int(np.argmax(known != np.arange(len(known))))
        yield (
            f"train_labels go from {known[0]} to {classes - 1}, and none is {first}. Number the "
            f"{len(known)} classes from 0 to {len(known) - 1}"
        )
    for part in PARTS[1:]:
        labels = arrays.get(f"{part}_labels")
        if labels is not None and len(labels) and int(labels.max()) >= classes:
            yield f"{part}_labels go up to {labels.max()}, train_labels to {classes - 1}"


def _values(images: Array) -> npt.NDArray[np.float32]:
    """Frames (N, C, H, W) or (N, T, C, H, W), float32."""
    if images.ndim == 3:
        images = images[:, np.newaxis]
    values = images.astype(np.float32)
    return values / np.float32(_WHITE) if _is_pixels(images) else values


def _is_pixels(images: Array) -> bool:
    return images.ndim < 5 and images.dtype == np.uint8


def _normalisation(images: Array) -> str:
    if _is_pixels(images):
        return f"pixel / {_WHITE}, in [0, 1]; no mean subtracted, black is 0"
    kind = "frames of events" if images.ndim == 5 else "values"
    return f"none: the {kind} as they are in the data"


def _apart(images: npt.NDArray[np.float32], labels: Labels) -> tuple[_Pair, _Pair]:
    """Training and test from one part."""
    test = stratify.draw(labels, max(1, round(TEST_SHARE * len(labels))), TEST_KEY)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return (images[train], labels[train]), (images[test], labels[test])


def _digest(parts: Mapping[str, _Pair]) -> str:
    """Of all values and labels: other data under the same name are noticed."""
    found = hashlib.sha256()
    for part in sorted(parts):
        for array in parts[part]:
            found.update(f"{part}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
