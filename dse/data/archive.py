"""Archive: read expected files of a tar archive into memory; nothing is ever unpacked to disk."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from dse.errors import DataError

_LIMIT_MEMBERS = 100  # the archives we know have ten or so


def members(path: Path, wanted: Collection[str], limit: int) -> dict[str, bytes]:
    """Content of the regular files called exactly `wanted`; all other members are passed over.

    path : a tar file, plain or compressed (gz, bz2, xz)
    limit : bytes that a member may have, wanted or not (a bound for what is decompressed)

    Raises DataError if the archive is damaged, lacks a file, or is larger than an honest one.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|*") as stream:
            for number, member in enumerate(stream):
                if member.size > limit or number >= _LIMIT_MEMBERS:
                    raise DataError(
                        f'{path}: too large at member {number}, "{member.name}". At most '
                        f"{_LIMIT_MEMBERS} members of {limit:,} bytes are read"
                    )
                content = stream.extractfile(member) if member.isreg() else None
                if content is not None and member.name in wanted:
                    found.setdefault(member.name, content.read())
                if len(found) == len(wanted):
                    return found
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path}: not a whole tar archive: {error}") from error
    missing = sorted(set(wanted) - set(found))
    raise DataError(f"{path}: it lacks {', '.join(missing)}")
