"""Pages: memory that the C library gives back to the system, and maps anew at the next step."""

from __future__ import annotations

import ctypes
import os
import sys

_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # names of malloc.h


def keep_pages() -> bool:
    """Have glibc keep what is freed, for everybody in this process. False where it cannot."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def allocator(*, is_kept: bool) -> str:
    """How memory is given back, in words."""
    named = [f"{name}={os.environ[name]}" for name in _VARIABLES if os.environ.get(name)]
    kept = "malloc told to keep its pages" if is_kept else "malloc as it is"
    return ", ".join([kept, *named])
