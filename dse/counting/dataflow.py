"""Stub."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FoundNeurons:
    """x"""

    name: str
    neurons: int
    events: Counter[str]
    spikes: tuple[Any, ...]
    fed_by: tuple[str, ...]
    is_signed: bool
    operators: Counter[str]
    elements: Counter[str]
