"""HDF5: a file of a stranger as texts, numbers and dictionaries of them, read by a process aside.

The library of HDF5 can hang or die on a file that is damaged in the right place, and nothing within
its process can stop that. So this file is also a program, which needs nothing of ours: it reads,
looks at links, types and sizes before it loads anything, and hands over plain arrays.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_BYTES = 1 << 31  # of all numbers of a file, as they lie in memory
LONGEST_S = 120.0
_MOST_OBJECTS = 100_000
_LONGEST_TEXT, _LONGEST_NUMBER = 1024, 8  # bytes
_DEEPEST = 6  # version/node/nodes/NAME/metadata/NAME
_REFUSED = 3  # the program ends with it, and has said why


class Refused(Exception):
    """A file that is not read, and why."""


def read(path: Path, longest_s: float = LONGEST_S) -> dict[str, Any]:
    """What is in a file: texts, lists of pairs of texts, arrays, and dictionaries of them.

    Raises Refused if it is damaged, too large, or holds anything else.
    """
    program = [sys.executable, "-P", __file__, str(path)]
    try:
        done = subprocess.run(program, capture_output=True, timeout=longest_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Refused(f"damaged (no end in {longest_s:g} s): must be an HDF5 file") from error
    if done.returncode == _REFUSED:
        raise Refused(done.stderr.decode("utf-8", "replace"))
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        what = last or f"its reader ended with {done.returncode}"
        raise Refused(f"damaged ({what}): must be an HDF5 file")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        tree = json.loads(arrays["tree"].tobytes())
        filled: dict[str, Any] = _filled(tree, arrays)
    return filled


def _filled(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree with arrays in the places of their numbers."""
    if isinstance(tree, dict):
        return {name: _filled(value, arrays) for name, value in tree.items()}
    if isinstance(tree, int):
        return arrays[str(tree)]
    return [tuple(pair) for pair in tree] if isinstance(tree, list) else tree


class _Reader:
    """Reads what is there, and stops where a file asks for too much.

    Arrays stand in a list, and their places in the tree.
    """

    def __init__(self, h5py: Any) -> None:
        self.h5py = h5py
        self.objects = 0
        self.bytes = 0
        self.arrays: list[np.ndarray] = []

    def group(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        """Everything below a group."""
        if depth > _DEEPEST:
            raise Refused(f"{path}: too deep: must be at most {_DEEPEST} groups")
        found = {}
        for name in group:
            where = f"{path}/{name}"
            self._count(1, 0, where)
            if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
                raise Refused(f"{where}: a link to elsewhere: must be a value")
            one = group[name]
            if isinstance(one, self.h5py.Group):
                found[name] = self.group(one, where, depth + 1)
            elif isinstance(one, self.h5py.Dataset):
                found[name] = self.values(one, where)
            else:
                raise Refused(f"{where}: must be a group or values")
        return found

    def values(self, dataset: Any, where: str) -> Any:
        """A text, a list of pairs of texts, or the place of an array."""
        if dataset.is_virtual or dataset.external:
            raise Refused(f"{where}: values in another file: must be in this one")
        if dataset.shape is None:
            raise Refused(f"{where}: no values: must be numbers or texts")
        is_text = self.h5py.check_string_dtype(dataset.dtype) is not None
        itemsize = dataset.dtype.itemsize
        if not is_text and (dataset.dtype.kind not in "fiub" or itemsize > _LONGEST_NUMBER):
            raise Refused(f"{where}: {dataset.dtype}: must be numbers or texts")
        if itemsize > _LONGEST_TEXT:
            raise Refused(f"{where}: texts of {itemsize} bytes: must be shorter")
        # a compressed file is small, whatever is in it; chunks are unpacked whole
        values = max(math.prod(dataset.shape), math.prod(dataset.chunks or ()))
        self._count(math.prod(dataset.shape) if is_text else 0, values * itemsize, where)
        if is_text:
            return self._texts(dataset, where)
        self.arrays.append(np.asarray(dataset[()]))
        return len(self.arrays) - 1

    def _texts(self, dataset: Any, where: str) -> Any:
        """One by one: many may share the place of one that is long."""
        if dataset.shape == ():
            return self._text(dataset[()], where)
        if dataset.ndim != 2 or dataset.shape[1] != 2:
            raise Refused(f"{where}: {dataset.shape} texts: must be one, or pairs")
        return [
            (self._text(dataset[row, 0], where), self._text(dataset[row, 1], where))
            for row in range(dataset.shape[0])
        ]

    def _text(self, value: Any, where: str) -> str:
        found = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        if len(found) > _LONGEST_TEXT:
            raise Refused(f"{where}: a text of {len(found)}: must be shorter")
        return found

    def _count(self, objects: int, size: int, where: str) -> None:
        self.objects += objects
        self.bytes += size
        if self.objects > _MOST_OBJECTS or self.bytes > LARGEST_BYTES:
            raise Refused(
                f"{where}: too much: a file must hold at most {_MOST_OBJECTS} objects and "
                f"{LARGEST_BYTES} bytes of numbers"
            )


def _hand_over(path: str) -> None:
    """The program: what is in the file to standard output, or why not to standard error."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            reader = _Reader(h5py)
            tree = json.dumps(reader.group(file, "", 0)).encode()
    except Refused as refused:
        sys.stderr.write(str(refused))
        sys.exit(_REFUSED)
    arrays = {str(place): array for place, array in enumerate(reader.arrays)}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, tree=np.frombuffer(tree, np.uint8), **arrays)
    sys.stdout.buffer.write(content.getbuffer())


if __name__ == "__main__":
    _hand_over(sys.argv[1])
