"""dse: exact operation counts, sourced energy, and Pareto fronts of networks that were trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dse.counting.count import Counter, count

__all__ = ["Counter", "count"]


def __getattr__(name: str) -> Any:
    # torch is imported when somebody counts, not when somebody reads `dse --help`
    if name in __all__:
        from dse.counting import count as counting

        return getattr(counting, name)
    raise AttributeError(f"module 'dse' has no attribute {name!r}")
