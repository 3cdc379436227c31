"""dse: exact operation counts, sourced energy, and Pareto fronts of networks that were trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dse.counting.count import count

__all__ = ["count"]


def __getattr__(name: str) -> Any:
    # torch is imported when somebody counts, not when somebody reads `dse --help`
    if name == "count":
        from dse.counting.count import count

        return count
    raise AttributeError(f"module 'dse' has no attribute {name!r}")
