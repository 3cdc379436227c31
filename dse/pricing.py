"""Pricing: the energy of a record on each profile, from its counts; without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from energy_models import EnergyBreakdown, ModelCounts, estimate, load_profile


def price(counts: ModelCounts, profiles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Total energy per sample on each profile: the `energy` of a record."""
    return {name: totals(estimate(counts, load_profile(name))) for name in profiles}


def fingerprint(profile: str) -> str:
    """The same for the same numbers: tells whether a profile has changed since a run was priced."""
    document = json.dumps(load_profile(profile).to_dict(), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def totals(breakdown: EnergyBreakdown) -> dict[str, Any]:
    """What a record keeps of an energy document."""
    return {
        "total_pj": breakdown.total_pj,
        "complete": breakdown.complete,
        "missing": list(breakdown.missing),
        "partial_pj": breakdown.partial_pj,
    }


def admit(counts: ModelCounts, allowed: Collection[str]) -> ModelCounts:
    """The counts without the unknown operators that a sweep admits by name: they cost nothing.

    It stands among the assumptions, by name.
    """
    admitted = sorted(set(counts.uncounted) & set(allowed))
    if not admitted:
        return counts
    return replace(
        counts,
        uncounted={n: entry for n, entry in counts.uncounted.items() if n not in admitted},
        assumptions=(*counts.assumptions, f"not counted, admitted by name: {', '.join(admitted)}"),
    )
