"""Download: official files, fetched once into a cache folder and checked (the pooch door)."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from pathlib import Path

import pooch

from dse.errors import DataError

_LOGGER = logging.getLogger(__name__)
_TIMEOUT_S = 30.0  # without an answer or a further byte
_CHUNK_BYTES = 1 << 16
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ROOM = (
    "\nThere must be room in that folder: make some, or set XDG_CACHE_HOME to a folder that has\n"
)


def cache_folder(cache_dir: Path | None) -> Path:
    """The given folder, or the one for caches of this user on this platform."""
    return Path(pooch.os_cache("dse")) if cache_dir is None else cache_dir


def fetch(name: str, file: str, urls: Sequence[str], md5: str, folder: Path) -> Path:
    """Path of `folder/file`, downloaded if it is not there or has another md5.

    The addresses are tried in order. A file appears under its name only when it is whole and its
    md5 is right, so several workers may fetch the same one.

    Raises DataError, with what went wrong at each address, if none gave the file.
    """
    # pooch would print to standard error by itself; what it did is in our log.
    pooch.get_logger().setLevel(logging.WARNING)
    causes = []
    has_room = True
    for url in urls:
        if not (folder / file).exists():
            _LOGGER.info("%s: downloading %s to %s", name, url, folder)
        try:
            downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_S, chunk_size=_CHUNK_BYTES)
            return Path(pooch.retrieve(url, f"md5:{md5}", file, folder, downloader=downloader))
        except (OSError, ValueError) as error:  # the network or the disk; an md5 that differs
            _LOGGER.info("%s: %s: %s", name, url, error)
            causes.append(f"  {url}: {error}")
            has_room = has_room and getattr(error, "errno", None) not in _NO_ROOM
    raise DataError(
        f"{name}: {file} could not be downloaded to {folder}\n"
        + "\n".join(causes)
        + ("\n" if has_room else _ROOM)
        + "If you have the official file, name its folder with --data-dir"
    )
