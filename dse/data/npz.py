"""Npz: the arrays of a file that a stranger may have made, read without running or trusting it."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from dse.errors import DataError

Array = np.ndarray[Any, Any]

_MOST_ARRAYS = 64
_PLAIN = "biuf"  # truth values, whole numbers, floating-point numbers
# What the zip reader and NumPy raise for a file that is no whole .npz.
_DAMAGE = (
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def memory_bytes() -> int:
    """What the machine has, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read(path: Path, limit_bytes: int | None = None) -> dict[str, Array]:
    """All arrays of a file of `numpy.savez` or `numpy.savez_compressed`, by name.

    limit_bytes : of all values as float32, which they become; None = half of the memory

    The sizes that the file declares are checked before a value is read, and nothing is unpickled.
    Raises DataError if it is no such file, is damaged, too large, or holds anything but numbers.
    """
    limit_bytes = memory_bytes() // 2 if limit_bytes is None else limit_bytes
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise DataError(f"{path}: holds {len(members)} arrays. It may hold {_MOST_ARRAYS}")
            left = limit_bytes
            for member in members:
                with archive.open(member) as stream:
                    left -= _declared(stream, member, path)
                if left < 0:
                    raise DataError(
                        f"{path}: has more than {limit_bytes:,} bytes as float32, half of the "
                        "memory of this machine. Give fewer samples"
                    )
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    arrays[_name(member)] = npy.read_array(stream, allow_pickle=False)
            return arrays
    except _DAMAGE as error:
        raise DataError(
            f"{path}: not a whole .npz of plain arrays: {error}. Write it with numpy.savez"
        ) from error


def _declared(stream: IO[bytes], member: zipfile.ZipInfo, path: Path) -> int:
    """Bytes of an array once its values are float32, or as they are if that is more."""
    where = f'{path}: array "{_name(member)}"'
    version = npy.read_magic(stream)
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = reader(stream)
    if dtype.kind not in _PLAIN or dtype.names is not None:
        raise DataError(f"{where}: is of {dtype}. It must hold plain numbers")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > member.file_size - stream.tell():
        raise DataError(f"{where}: says shape {shape}, and has fewer bytes. It is damaged")
    return count * max(dtype.itemsize, 4)


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")
