"""Decoded: arrays kept in the cache folder, for archives that take long to unpack."""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_LOGGER = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]

# What NumPy and its zip reader raise for a file that is no whole .npz of plain arrays.
_DAMAGE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def keep(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as .npz, whole or not at all. A cache that cannot be written is only logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        _LOGGER.warning("%s could not be kept: %s. The next run unpacks again", path, error)


def recall(path: Path, wanted: Collection[str]) -> dict[str, Array] | None:
    """Arrays that were kept; None if there are none, or the file is damaged or lacks one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            return {name: kept[name] for name in wanted}
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        _LOGGER.warning("%s is unreadable and will be made again: %s", path, error)
        return None
