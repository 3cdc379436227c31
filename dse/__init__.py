"""dse: exact operation counts, sourced energy, and Pareto fronts of networks that were trained."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dse.counting.count import Counter, count
    from dse.trialstable import trials

__all__ = ["Counter", "count", "trials"]

_HOMES = {
    "Counter": "dse.counting.count",
    "count": "dse.counting.count",
    "trials": "dse.trialstable",
}


def __getattr__(name: str) -> Any:
    # torch is imported when somebody counts, not when somebody reads `dse --help`
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dse' has no attribute {name!r}")
