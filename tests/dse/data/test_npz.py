"""Npz: plain arrays come back; whatever else a file holds is an error message."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from dse.data import npz
from dse.errors import DataError


class Trap:
    """What must never be called."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def written(folder: Path, member: bytes, name: str = "train_images.npy") -> Path:
    path = folder / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, member)
    return path


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path: Path, save: Any) -> None:
    images = np.asfortranarray(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    save(tmp_path / "mine.npz", train_images=images, train_labels=np.array([0, 1]))
    found = npz.read(tmp_path / "mine.npz")
    assert list(found) == ["train_images", "train_labels"]
    np.testing.assert_array_equal(found["train_images"], images)


def test_nothing_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "mine.npz", train_images=np.array([Trap()], object))
    with pytest.raises(DataError, match=r"train_images.*is of object. It must hold plain numbers"):
        npz.read(tmp_path / "mine.npz")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (header((1 << 40,)), "says shape"),
        (header((3, 4)) + b"\0" * 8, "has fewer bytes"),
        (header((2,), "<U9") + b"\0" * 72, "plain numbers"),
        (header((2,), "<M8[s]") + b"\0" * 16, "plain numbers"),
        (header((2,), "<c8") + b"\0" * 16, "plain numbers"),
        (b"no array", "not a whole .npz"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': exit()}", "not a whole .npz"),
        (b"", "not a whole .npz"),
    ],
)
def test_a_strange_member_is_refused(tmp_path: Path, member: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        npz.read(written(tmp_path, member))


def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    # 1,000 bytes of uint8 are 4,000 of float32
    np.savez_compressed(path, train_images=np.zeros((10, 100), np.uint8))
    assert npz.read(path, limit_bytes=4000)
    with pytest.raises(DataError, match="more than 3,999 bytes as float32"):
        npz.read(path, limit_bytes=3999)


def test_what_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DataError, match=r"mine.npz: not a whole .npz of plain arrays"):
        npz.read(tmp_path / "mine.npz")
    with pytest.raises(DataError, match="no such file"):
        npz.read(tmp_path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, train_images=np.arange(60.0).reshape(3, 4, 5))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            npz.read(path)
