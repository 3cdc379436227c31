"""Decoded: what is kept comes back; anything damaged is none."""

import logging
import resource
from pathlib import Path

import numpy as np
import pytest

from dse.data import decoded

ARRAYS = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": np.array("name")}


def test_what_is_kept_comes_back_and_nothing_else_lies_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kept.npz"
    decoded.keep(path, ARRAYS)
    back = decoded.recall(path, ["a", "b"])
    assert back is not None
    assert np.array_equal(back["a"], ARRAYS["a"])
    assert str(back["b"]) == "name"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_recalled_where_nothing_was_kept(tmp_path: Path) -> None:
    assert decoded.recall(tmp_path / "kept.npz", ["a"]) is None


def test_a_damaged_file_is_none_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "kept.npz"
    decoded.keep(path, ARRAYS)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(ARRAYS["a"].tobytes())] ^= 1
    damaged = [whole[:length] for length in (0, 10, len(whole) // 2, len(whole) - 1)]
    for content in [*damaged, bytes(flipped), b"\x93NUMPY", b"text"]:
        path.write_bytes(content)
        caplog.clear()
        assert decoded.recall(path, ["a"]) is None
        assert "will be made again" in caplog.text


def test_a_file_that_lacks_an_array_or_needs_pickle_is_none(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    decoded.keep(path, ARRAYS)
    assert decoded.recall(path, ["a", "c"]) is None
    np.savez(path, a=np.array([{}]))
    assert decoded.recall(path, ["a"]) is None
    np.save(path.with_suffix(".npy"), ARRAYS["a"])
    assert decoded.recall(path.with_suffix(".npy"), ["a"]) is None


def test_a_cache_that_cannot_be_written_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        decoded.keep(tmp_path / "file" / "kept.npz", ARRAYS)
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize("room", [10, 1000, 50_000])
def test_a_full_disk_is_only_logged_and_what_was_kept_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, room: int
) -> None:
    path = tmp_path / "kept.npz"
    decoded.keep(path, ARRAYS)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with caplog.at_level(logging.WARNING):
            decoded.keep(path, {"a": np.zeros(30_000), "b": np.array("other")})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be kept" in caplog.text
    assert list(tmp_path.iterdir()) == [path]
    back = decoded.recall(path, ["b"])
    assert back is not None
    assert str(back["b"]) == "name"
