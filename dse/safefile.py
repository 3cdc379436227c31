"""Files that survive a killed process: whole or not at all, locked by the kernel, repaired."""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOKED_AT = 1 << 16  # bytes: more than a line


@contextmanager
def kernel_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock of the kernel on a file; a holder that dies frees it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def repair_tail(path: Path) -> None:
    """Cut off last lines that are not whole. Nobody else may be writing the file."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(-min(size, _LOOKED_AT), os.SEEK_END)
        end = file.read()
        if not end or (end.endswith(b"\n") and b"\0" not in end):
            return
        file.seek(0)
        file.truncate(sum(len(line) + 1 for line in whole_lines(file.read())))


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file of text without those at its end that were not written to their end.

    A full disk leaves a part of a line; a power cut may leave the new length of the file, and zeros
    in the place of its new bytes.
    """
    lines = data.split(b"\n")[:-1]
    while lines and b"\0" in lines[-1]:
        lines.pop()
    return lines


def append_whole(path: Path, data: bytes) -> None:
    """Add bytes to a file and to the disk, all of them or none. Nobody else may be writing it.

    Raises OSError if the disk does not take them; the file is then as it was.
    """
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never a part.

    Raises OSError, with the name of the file, if the disk does not take it.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # of a write it is not told
        raise
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)  # the new name must reach the disk as well
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed in `write_atomically` left beside a file.

    Nobody else may be writing the file.
    """
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock of the kernel if nobody holds it; says whether it was taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
