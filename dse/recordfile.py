"""Record file: reads the lines of `records.jsonl` once, though others write and replace it."""

from __future__ import annotations

import bisect
import functools
import json
import os
import threading
import weakref
from pathlib import Path

from dse.errors import RunFolderError
from dse.safefile import whole_lines
from reports.errors import RecordError
from reports.record import TrialRecord

_KEPT_FILES = 8  # a command looks at one run, a test at some


@functools.lru_cache(maxsize=_KEPT_FILES)
def record_file(path: Path) -> RecordFile:
    """The reader of a file, the same for all of this process that ask for it."""
    return RecordFile(path)


class RecordFile:
    """The records of a file, of which only the lines that came since the last time are read.

    Points that were read from a training stand before it in the file, and are left out until it is
    there: what was cut off while it was written is one training with all its points, or nothing.
    Of two records with the same key the later one holds.

    Any thread may ask. The file may grow and may be replaced by others at any time; it is held
    open, so that no new file can have the old one's identity.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._close: weakref.finalize[[int], RecordFile] | None = None
        self._read_over()

    def records(self) -> list[TrialRecord]:
        """All records, by key; a last line that is not whole is left out.

        Raises RunFolderError if a line is damaged.
        """
        with self._lock:
            self._read_on()
            return list(self._records)

    def is_clean(self) -> bool:
        """Whether each line is a record of its own: no point without its training, none twice."""
        with self._lock:
            self._read_on()
            return self._lines == len(self._records)

    def _forget(self) -> None:
        if self._close is not None:
            self._close()
        self._close = None
        self._read_over()

    def _read_over(self) -> None:
        self._state: os.stat_result | None = None
        self._end = self._lines = 0  # bytes and lines that were read
        self._last = b""
        self._records: list[TrialRecord] = []
        self._without_training: dict[int, list[TrialRecord]] = {}

    def _read_on(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._forget()
            return
        known = self._state
        if known is not None and not os.path.samestat(known, found):
            self._forget()
        elif known is not None and _stamp(known) == _stamp(found):
            return
        try:
            self._take_lines()
        except RunFolderError:
            self._forget()
            raise

    def _take_lines(self) -> None:
        if self._close is None:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._close = weakref.finalize(self, os.close, self._descriptor)
        descriptor = self._descriptor
        # of the file that is held: its name may be another's by now, which is seen the next time
        state = os.fstat(descriptor)
        if os.pread(descriptor, len(self._last), self._end - len(self._last)) != self._last:
            self._read_over()  # somebody wrote into the middle of it
        self._state = state
        new = os.pread(descriptor, max(0, state.st_size - self._end), self._end)
        for line in whole_lines(new):
            self._lines += 1
            self._end += len(line) + 1
            self._last = line + b"\n"
            self._take(self._parsed(line))

    def _parsed(self, line: bytes) -> TrialRecord:
        try:
            return TrialRecord.from_dict(json.loads(line))
        except (ValueError, RecordError) as error:
            raise RunFolderError(f"{self._path}:{self._lines}: {error}") from error

    def _take(self, record: TrialRecord) -> None:
        place, is_there = self._place(record.key)
        if is_there:
            self._records[place] = record
        elif record.reading is not None and not self._place((record.number, 0))[1]:
            self._without_training.setdefault(record.number, []).append(record)
        else:
            self._records.insert(place, record)
            for early in self._without_training.pop(record.number, ()):
                self._take(early)

    def _place(self, key: tuple[int, int]) -> tuple[int, bool]:
        """Where a record with this key belongs, and whether there is one."""
        place = bisect.bisect_left(self._records, key, key=lambda record: record.key)
        return place, place < len(self._records) and self._records[place].key == key


def _stamp(state: os.stat_result) -> tuple[int, int]:
    return state.st_size, state.st_mtime_ns
