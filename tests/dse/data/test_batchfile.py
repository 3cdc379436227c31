"""Batch file: official pickles are read; a pickle that asks for more is refused and never run."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dse.data import batchfile
from dse.errors import DataError

PackBatch = Callable[[np.ndarray, list[int]], bytes]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)


def pickled(data: Any, labels: Any = (3, 0, 9)) -> bytes:
    """A batch as Python 3 and the installed NumPy pickle it."""
    labels = list(labels) if isinstance(labels, tuple) else labels
    return pickle.dumps({b"data": data, b"labels": labels}, protocol=3)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_an_official_batch_is_read_plane_by_plane(pack_batch: PackBatch) -> None:
    images, labels = batchfile.read(pack_batch(IMAGES, [3, 0, 9]), "f")
    assert images.dtype == np.uint8
    assert images.shape == (3, 3, 32, 32)
    # value 1024 of a row is the first green pixel, value 1024 + 32 the one below it
    assert images[1, 1, 0, 0] == IMAGES[1, 1024]
    assert images[1, 1, 1, 0] == IMAGES[1, 1056]
    assert labels.dtype == np.int64
    assert labels.tolist() == [3, 0, 9]


def test_our_official_layout_is_what_pickle_itself_reads(pack_batch: PackBatch) -> None:
    # Witness: the unrestricted pickle, on bytes that we made. NumPy 2 warns of the old module name.
    content = pack_batch(IMAGES, [3, 0, 9]).replace(b"numpy.core.", b"numpy._core.")
    batch = pickle.loads(content, encoding="bytes")
    assert np.array_equal(batch[b"data"], IMAGES)
    assert batch[b"labels"] == [3, 0, 9]


def test_a_batch_of_the_installed_numpy_is_read() -> None:
    images, _ = batchfile.read(pickled(IMAGES), "f")
    assert np.array_equal(images.reshape(3, 3072), IMAGES)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    content = pickled(Call(os.system, f"touch '{marker}'"))
    name = f"{os.system.__module__}.system"
    with pytest.raises(DataError, match=f'f: .* asks for "{name}", which was refused and not run'):
        batchfile.read(content, "f")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (eval, "builtins.eval"),
        (getattr, "builtins.getattr"),
        (np.frombuffer, "numpy.frombuffer"),
        (pickle.loads, "_pickle.loads"),
    ],
)
def test_every_other_name_is_refused(function: Callable[..., Any], name: str) -> None:
    with pytest.raises(DataError, match=f'asks for "{name}"'):
        batchfile.read(pickled(Call(function, "1")), "f")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 3072), object), "dtype 'O8', not uint8"),
        (IMAGES.astype(np.float32), "dtype 'f4', not uint8"),
        (IMAGES.astype(np.int8), "dtype 'i1', not uint8"),
        (np.zeros((3, 3072), np.dtype([("a", "u1")])), "dtype 'V1', not uint8"),
        (np.asfortranarray(IMAGES), "not of uint8 in C order"),
        (IMAGES[:, :3071], "rows have 3071 values, not 3072"),
        (IMAGES[0], r"shape \(3072,\), not \(N, 3072\)"),
        (np.zeros((0, 3072), np.uint8), r"shape \(0, 3072\)"),
        ([1, 2, 3], "its data is not an array"),
    ],
)
def test_data_that_is_not_images_is_refused(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        batchfile.read(pickled(data), "f")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1, 2), "not a list of 3"),
        (b"\x01\x02\x03", "not a list of 3"),
        ((1, 2, 10), r"whole number in 0 \.\. 9"),
        ((1, 2, -1), r"whole number in 0 \.\. 9"),
        ((1, 2, True), r"whole number in 0 \.\. 9"),
        ((1, 2, 3.0), r"whole number in 0 \.\. 9"),
    ],
)
def test_labels_that_are_not_classes_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        batchfile.read(pickled(IMAGES, labels), "f")


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
DTYPE = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
PLAIN = DTYPE + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (ARRAY + b"(K\x01K\x02M\x00\x0c\x86" + PLAIN + b"\x89C\x01xtb", "not the bytes of its"),
        (ARRAY + b"(K\x01K\x01M\x00\x0c\x86N\x89C\x01xtb", "not of uint8 in C order"),
        (ARRAY + b"(K\x02K\x01M\x00\x0c\x86" + PLAIN + b"\x89C\x01xtb", "not of uint8 in C order"),
        (ARRAY + b"(K\x01tb", "a state of an unknown form"),
        (ARRAY + b"}b", "a state of an unknown form"),
        (ARRAY, "its data is not an array"),
        (DTYPE + b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb", "not plain uint8"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(NK\x00\x85C\x01btR", "in an unknown way"),
        (b"cnumpy\nndarray\n(K\x05tR", "it calls numpy.ndarray"),
        (b"cnumpy\nndarray\n(K\x05t\x81", "not a CIFAR-10 batch"),
        (b"cnumpy\nndarray\n}U\x01aK\x01sb", "it tries to alter what it names"),
        (b"cnumpy\ndtype\nN}U\x01aK\x01s\x86b", "it tries to alter what it names"),
        (b"cnumpy\ndtype\n", "its data is not an array"),
        (b"Pid\n", "not a CIFAR-10 batch"),
    ],
)
def test_stand_ins_take_nothing_but_a_plain_array(stream: bytes, message: str) -> None:
    content = b"\x80\x03}(C\x06labels]C\x04data" + stream + b"u."
    with pytest.raises(DataError, match=message):
        batchfile.read(content, "f")


def test_every_truncated_batch_is_refused(pack_batch: PackBatch) -> None:
    content = pack_batch(IMAGES[:1], [5])
    assert len(batchfile.read(content, "f")[1]) == 1
    for length in [*range(300), len(content) - 1]:
        with pytest.raises(DataError, match="f: not a CIFAR-10 batch"):
            batchfile.read(content[:length], "f")


@pytest.mark.parametrize("value", [[], {}, {b"data": 1}, 5, "text"])
def test_another_pickle_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="f: not a CIFAR-10 batch"):
        batchfile.read(pickle.dumps(value, protocol=2), "f")
