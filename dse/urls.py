"""Urls: of databases: of which kind they are, their driver, and what of them may be shown."""

from __future__ import annotations

import importlib.util
import re


def driver_url(url: str) -> str:
    """A URL for SQLAlchemy: of PostgreSQL with psycopg 3, unless psycopg2 is there or is named."""
    if url.startswith("postgres://"):  # as libpq and most providers write it
        url = url.replace("postgres://", "postgresql://", 1)
    if url.startswith("postgresql://") and importlib.util.find_spec("psycopg2") is None:
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
    return url


def is_postgresql(url: str) -> bool:
    """Whether a URL is of PostgreSQL, which several hosts may share."""
    return re.match(r"postgres(ql)?(\+\w+)?://", url) is not None


def without_password(url: str) -> str:
    """A database URL that may be shown and kept."""
    url = re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)
    return re.sub(r"([?&](?:password|sslpassword)=)[^&#]*", r"\1***", url)
