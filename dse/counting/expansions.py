"""Expansions."""

from __future__ import annotations

from typing import Any


class NoExpansion(Exception):
    """x"""


EXPANSIONS: dict[Any, Any] = {}
