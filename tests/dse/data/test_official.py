"""Official: arrays that do not fit are refused; files are found by folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dse.data.official import Official, file_md5, find, md5, read_bytes
from dse.errors import DataError


def parts(**changes: Any) -> dict[str, Any]:
    fitting = {
        "train_images": np.zeros((4, 1, 2, 2), np.uint8),
        "train_labels": np.array([0, 1, 0, 1], np.int64),
        "test_images": np.zeros((2, 1, 2, 2), np.uint8),
        "test_labels": np.array([0, 1], np.int64),
    }
    return fitting | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((4, 2, 2), np.uint8)}, r"not \(N, C, H, W\) uint8"),
        ({"train_images": np.zeros((4, 1, 2, 2), np.float32)}, "float32, not"),
        ({"train_labels": np.zeros(3, np.int64)}, r"labels are \(3,\) int64, not \(4,\) int64"),
        ({"test_labels": np.array([0, 2], np.int64)}, r"test set: labels are 0 \.\. 2, not 0"),
        ({"test_labels": np.array([-1, 1], np.int64)}, r"labels are -1 \.\. 1"),
        ({"test_images": np.full((2, 1, 2, 2), 17, np.uint8)}, "a pixel is 17, above 16"),
        ({"test_images": np.zeros((2, 1, 3, 3), np.uint8)}, "must have one"),
        (
            {"test_images": np.zeros((0, 1, 2, 2), np.uint8), "test_labels": np.zeros(0, np.int64)},
            "it has no images",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    Official("tiny", 2, 16, **parts())
    with pytest.raises(DataError, match=message):
        Official("tiny", 2, 16, **parts(**changes))


def test_a_file_is_found_in_a_named_folder_before_the_data_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    assert find("tiny", tmp_path, ["tiny"], ["f"]) == tmp_path / "f"
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "f").write_bytes(b"2")
    assert find("tiny", tmp_path, ["tiny"], ["f"]) == tmp_path / "tiny" / "f"


def test_what_is_missing_is_said_with_every_place_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find("tiny", tmp_path, ["here"], ["a", "b"])
    assert str(caught.value) == (
        f"tiny: a or b is missing. Looked in {tmp_path / 'here'}, {tmp_path}. "
        "Put the official file there, or leave out --data-dir to download it"
    )
    with pytest.raises(DataError, match="is not a folder"):
        find("tiny", tmp_path / "nowhere", [], ["a"])


def test_files_too_large_or_unreadable_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_bytes("tiny", tmp_path / "f", 5) == b"12345"
    with pytest.raises(DataError, match="has 5 bytes; it may have 4 at most"):
        read_bytes("tiny", tmp_path / "f", 4)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_bytes("tiny", tmp_path / "g", 4)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        file_md5("tiny", tmp_path / "g")


def test_both_md5s_agree_with_the_published_one_of_abc(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")  # RFC 1321, A.5
    assert file_md5("tiny", tmp_path / "f") == md5(b"abc") == "900150983cd24fb0d6963f7d28e17f72"
