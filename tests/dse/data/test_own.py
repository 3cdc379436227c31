"""Own data: the parts, the scaling, and what is said of arrays that cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dse.data import own
from dse.data.splits import Splits
from dse.errors import DataError

RANDOM = np.random.default_rng(0)
LABELS = np.arange(40) % 4
IMAGES = RANDOM.random((40, 1, 6, 5))
EVENTS = RANDOM.integers(0, 3, (40, 7, 2, 6, 5))


def saved(folder: Path, **arrays: Any) -> str:
    given = {"train_images": IMAGES, "train_labels": LABELS, **arrays}
    np.savez(folder / "mine.npz", **{key: one for key, one in given.items() if one is not None})
    return str(folder / "mine.npz")


def load(target: str, **more: Any) -> Splits:
    return own.load("mine", target, **{"validation": 0.25, "samples": None, "seed": 0, **more})


def problems(folder: Path, **arrays: Any) -> list[str]:
    target = saved(folder, **arrays)
    with pytest.raises(DataError) as caught:
        load(target)
    return [line.removeprefix(f"{target}: ") for line in str(caught.value).splitlines()]


def test_a_file_without_a_test_part_keeps_a_fifth_of_it_apart(tmp_path: Path) -> None:
    data = load(saved(tmp_path))
    # 40 samples: 8 for testing; of the other 32 a quarter for validation
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 8, 8)
    assert data.notes == (
        "mine: the data have no test part; 8 of the training samples, a fixed stratified draw, are "
        "kept for testing",
    )
    assert (data.name, data.classes, data.input_shape) == ("mine", 4, (1, 6, 5))
    assert data.time_steps is None
    other = load(saved(tmp_path), seed=1)
    np.testing.assert_array_equal(other.test.images, data.test.images)
    assert not np.array_equal(other.train.images, data.train.images)
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2, 2]


def test_parts_of_the_file_are_used_as_they_are(tmp_path: Path) -> None:
    more = {
        "validation_images": IMAGES[:6],
        "validation_labels": LABELS[:6],
        "test_images": IMAGES[:9],
        "test_labels": LABELS[:9],
    }
    data = load(saved(tmp_path, **more), samples=20)
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 6, 9)
    np.testing.assert_array_equal(data.validation.images, IMAGES[:6].astype(np.float32))
    assert data.notes == (
        "mine: validated on the validation part of the data",
        "mine: 20 of the 40 training samples were used (a stratified draw)",
    )


def test_frames_of_one_channel_need_no_channel(tmp_path: Path) -> None:
    assert load(saved(tmp_path, train_images=IMAGES[:, 0])).input_shape == (1, 6, 5)


def test_pixels_of_a_byte_are_divided_by_255_and_nothing_else_is(tmp_path: Path) -> None:
    pixels = np.full((40, 1, 2, 2), 51, np.uint8)
    data = load(saved(tmp_path, train_images=pixels))
    assert float(data.train.images.max()) == np.float32(51) / np.float32(255)
    assert data.normalisation.startswith("pixel / 255")
    data = load(saved(tmp_path, train_images=IMAGES * 7 - 2))
    assert data.normalisation == "none: the values as they are in the data"
    assert data.train.images.min() < 0
    data = load(saved(tmp_path, train_images=IMAGES > 0.5))
    assert set(np.unique(data.train.images)) == {0.0, 1.0}


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.bool_])
def test_events_stay_what_they_are(tmp_path: Path, dtype: Any) -> None:
    data = load(saved(tmp_path, train_images=EVENTS.astype(dtype)))
    assert data.input_shape == (7, 2, 6, 5)
    assert data.time_steps == 7
    assert data.train.images.dtype == np.float32
    assert data.train.images.max() == (1 if dtype is np.bool_ else 2)
    assert data.normalisation.endswith("as they are in the data")


def test_the_digest_is_of_values_and_labels(tmp_path: Path) -> None:
    first = load(saved(tmp_path)).digest
    assert len(first) == 64
    assert load(saved(tmp_path), seed=3, samples=20).digest == first
    changed = IMAGES.copy()
    changed[3, 0, 0, 0] += 0.1
    assert load(saved(tmp_path, train_images=changed)).digest != first
    assert load(saved(tmp_path, train_labels=LABELS[::-1])).digest != first


def _with(index: int, value: float) -> Any:
    images = IMAGES.copy()
    images[index, 0, 1, 1] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"train_images": None}, ["array train_images is missing"]),
        ({"test_images": IMAGES}, ["array test_labels is missing"]),
        ({"train_images": _with(17, np.nan)},
         ["train_images hold NaN or infinite values, first in sample 17. All must be finite"]),
        ({"train_images": _with(3, 1e200)},
         ["train_images hold values beyond 1e30, which float32 cannot compute with. Scale them"]),
        ({"train_images": IMAGES[:30]}, ["train_images has 30 samples, train_labels 40"]),
        ({"train_images": IMAGES[0, 0]},
         ["train_images have the shape (6, 5). They must be frames (N, C, H, W) or (N, H, W), or "
          "frames of events (N, T, C, H, W)", "train_images has 6 samples, train_labels 40"]),
        ({"train_images": (IMAGES * 255).astype(np.int64)},
         ["train_images are int64. Pixels must be uint8, which are divided by 255, or "
          "floating-point numbers, which stay as they are"]),
        ({"train_images": EVENTS * (1 << 30)},
         [f"train_images go from 0 to {1 << 31}. Events are at most 16,777,216"]),
        ({"train_labels": LABELS.astype(float)},
         ["train_labels are float64. They must be whole numbers from 0. "
          "Write labels.astype('int64')"]),
        ({"train_labels": np.eye(4)[LABELS]},
         ["train_labels have the shape (40, 4). They must be (N,), a class each. "
          "Write labels.argmax(1)"]),
        ({"train_labels": LABELS + 1},
         ["train_labels go from 1 to 4, and none is 0. Number the 4 classes from 0 to 3"]),
        ({"train_labels": LABELS * 2},
         ["train_labels go from 0 to 6, and none is 1. Number the 4 classes from 0 to 3"]),
        ({"train_labels": LABELS - 1}, ["train_labels begin at -1. Classes begin at 0"]),
        ({"train_labels": LABELS * 0},
         ["train_labels are all 0. There must be two classes at least"]),
        ({"test_images": IMAGES[..., :4], "test_labels": LABELS + 1},
         ["test_images are of (1, 6, 4), train_images of (1, 6, 5)",
          "test_labels go up to 4, train_labels to 3"]),
        ({"test_images": (IMAGES * 255).astype(np.uint8), "test_labels": LABELS},
         ["test_images are uint8, train_images float64: scaled otherwise"]),
        ({"tset_images": IMAGES},
         ['array "tset_images" is none of train_images, train_labels, validation_images, '
          'validation_labels, test_images, test_labels. Did you mean "test_images"?']),
        ({"train_images": IMAGES[:0], "train_labels": LABELS[:0]},
         ["train_images have the shape (0, 1, 6, 5): nothing",
          "train_labels has 0 samples. It must have 4 at least"]),
        ({"train_images": _with(1, np.inf), "train_labels": LABELS / 2},
         ["train_images hold NaN or infinite values, first in sample 1. All must be finite",
          "train_labels are float64. They must be whole numbers from 0. "
          "Write labels.astype('int64')"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, arrays: dict[str, Any], said: list[str]) -> None:
    assert problems(tmp_path, **arrays) == said


CODE = """\
import numpy as np

images = np.random.default_rng(0).random((40, 1, 6, 5))
labels = np.arange(40) % 4


def load():
    return {"train_images": images, "train_labels": labels}


def pairs():
    return (images, labels), (images[:8], labels[:8])


def tensors():
    import torch

    return (torch.tensor(images), torch.tensor(labels)), (images[:8], labels[:8])


def fails():
    return 1 / 0


def nothing():
    return 3
"""


@pytest.mark.parametrize("function", ["load", "pairs", "tensors"])
def test_a_function_returns_the_same_arrays(tmp_path: Path, function: str) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    data = load(f"{tmp_path}/mine.py:{function}")
    assert data.input_shape == (1, 6, 5)
    assert len(data.test) == 8


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("fails", r"mine\.py:22: ZeroDivisionError: division by zero"),
        ("nothing", r"mine\.py:nothing: returned int. It must return arrays by name"),
        ("laod", r"mine\.py: has no callable laod. It has: fails, load, nothing, pairs, tensors"),
    ],
)
def test_a_function_that_cannot_be_used(tmp_path: Path, function: str, problem: str) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    with pytest.raises(DataError, match=problem):
        load(f"{tmp_path}/mine.py:{function}")
