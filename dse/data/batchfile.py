"""Batch file: the pickles of CIFAR-10, read without running anything that a pickle asks for.

A pickle may call whatever it names. Ours may name three things, and gets a stand-in for each: a
holder that checks what it is given and keeps it. NumPy's own reconstruction is never called; the
array is made from the checked bytes.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from dse.data.official import Labels, Pixels
from dse.errors import DataError

CLASSES = 10
IMAGE_SHAPE = (3, 32, 32)

# What the unpickler raises for a bad stream, and what we raise below.
_DAMAGE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def read(content: bytes, where: str) -> tuple[Pixels, Labels]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64, 0 .. 9, of one batch file.

    Raises DataError, beginning with `where`, if the pickle asks for anything that a batch does not
    need, or is damaged, or holds something else.
    """
    try:
        batch = _Unpickler(content).load()
        return _images(batch), _labels(batch)
    except _DAMAGE as error:
        raise DataError(
            f"{where}: not a CIFAR-10 batch: {error}. Take the official file"
        ) from error


def _images(batch: Any) -> Pixels:
    """The array under "data": one image a row, plane by plane."""
    data = batch[b"data"]
    if not isinstance(data, _Array) or data.content is None:
        raise pickle.UnpicklingError("its data is not an array")
    count, columns = data.shape
    if columns != math.prod(IMAGE_SHAPE):
        raise pickle.UnpicklingError(
            f"its rows have {columns} values, not {math.prod(IMAGE_SHAPE)}"
        )
    return np.frombuffer(data.content, np.uint8).reshape(count, *IMAGE_SHAPE)


def _labels(batch: Any) -> Labels:
    """The list under "labels", one for every image."""
    labels = batch[b"labels"]
    count = batch[b"data"].shape[0]
    if type(labels) is not list or len(labels) != count:
        raise pickle.UnpicklingError(f"its labels are not a list of {count}")
    if not all(type(label) is int and 0 <= label < CLASSES for label in labels):
        raise pickle.UnpicklingError(f"a label is not a whole number in 0 .. {CLASSES - 1}")
    return np.array(labels, np.int64)


class _Unpickler(pickle.Unpickler):
    """An unpickler that gives stand-ins for three names and refuses every other."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), fix_imports=False, encoding="bytes")

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The stand-in for a name of the pickle."""
        name = f"{module_name}.{global_name}"
        if name not in _STAND_INS:
            raise pickle.UnpicklingError(f'it asks for "{name}", which was refused and not run')
        return _Named(_STAND_INS[name])


class _Named:
    """What a pickle holds after naming something: it can be called, and cannot be altered."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to alter what it names")


# version, byte order (written by Python 2, by Python 3), sub-array, names, fields, size, alignment,
# flags
_PLAIN_UINT8 = tuple((3, order, None, None, None, -1, -1, 0) for order in (b"|", "|"))


class _Dtype:
    """Stand-in for numpy.dtype; only unsigned bytes."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        if state not in _PLAIN_UINT8:
            raise pickle.UnpicklingError("its data has a dtype that is not plain uint8")


class _Array:
    """Stand-in for numpy.ndarray: its shape, and its checked bytes."""

    __slots__ = ("content", "shape")

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.shape: tuple[int, int] = (0, 0)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("its array has a state of an unknown form")
        version, shape, dtype, is_fortran, content = state
        if version != 1 or is_fortran or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("its array is not of uint8 in C order")
        if not (
            isinstance(shape, tuple)
            and len(shape) == 2
            and all(type(length) is int and length > 0 for length in shape)
        ):
            raise pickle.UnpicklingError(f"its array has the shape {shape}, not (N, 3072)")
        if not isinstance(content, bytes) or len(content) != math.prod(shape):
            raise pickle.UnpicklingError(f"its array has not the bytes of its shape {shape}")
        self.shape, self.content = shape, content


def _make_array(cls: object, shape: object, typecode: object) -> _Array:
    """Stand-in for numpy's `_reconstruct`: an array that is empty until its state arrives."""
    if not isinstance(cls, _Named) or shape != (0,) or typecode != b"b":
        raise pickle.UnpicklingError("it makes an array in an unknown way")
    return _Array()


def _make_dtype(code: object, align: object, copy: object) -> _Dtype:
    """Stand-in for numpy.dtype(code, align, copy)."""
    if code not in (b"u1", "u1") or align or not copy:
        raise pickle.UnpicklingError(f"its data has the dtype {code!r}, not uint8")
    return _Dtype()


def _refuse_call(*arguments: object) -> object:
    """Stand-in for numpy.ndarray, which a batch names and never calls."""
    raise pickle.UnpicklingError("it calls numpy.ndarray")


_STAND_INS: dict[str, Callable[..., object]] = {
    "numpy.core.multiarray._reconstruct": _make_array,  # NumPy 1, as in the official files
    "numpy._core.multiarray._reconstruct": _make_array,  # NumPy 2
    "numpy.ndarray": _refuse_call,
    "numpy.dtype": _make_dtype,
}
