"""Resources: a machine that ran out of memory or of room fails one trial, not the sweep."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from dse.errors import CheckpointError, ResourceFailure

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A process that computes on a CPU is told by PyTorch with an error of no class of its own.
_CPU_REFUSED = "can't allocate memory"


@contextmanager
def limited(doing: str) -> Iterator[None]:
    """Inside, what asks for more memory or room than there is raises ResourceFailure.

    doing : what the trial is, with its sizes, for the message
    Any other error goes through as it is.
    """
    try:
        yield
    except (MemoryError, RuntimeError, CheckpointError, OSError) as error:
        reason = exhausted(error)
        if reason is None:
            raise
        raise ResourceFailure(f"{reason}; {doing}") from error


def exhausted(error: BaseException) -> str | None:
    """What a machine ran out of, by an error; None if the error is another one."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return f"no room on the disk: {error}"
    if isinstance(error, CheckpointError):
        is_room = isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_ROOM
        return f"no room on the disk: {error}" if is_room else None
    text = " ".join(str(error).split())
    # torch.OutOfMemoryError, by its name: nothing here needs torch
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {text}" if text else "out of memory"
    if isinstance(error, RuntimeError) and _CPU_REFUSED in text:
        asked = re.search(r"allocate (\d+) bytes", text)
        return (
            f"out of memory: {int(asked[1]):,} bytes were asked for"
            if asked
            else (f"out of memory: {text}")
        )
    return None
