"""Pricing: the energy of a record on each profile, from its counts; without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from energy_models import (
    Baseline,
    BreakEven,
    EnergyBreakdown,
    HardwareProfile,
    ModelCounts,
    baselines,
    break_even,
    draw_many,
    estimate,
    load_profile,
    price_many,
)
from energy_models.columns import Columns
from energy_models.models import kinds
from energy_models.values import described
from reports.evidence import EnergyDraws

DRAWS = 1000
SEED = 0  # the same hardware in every report
_SHOWN = 3  # layers of one reason


def price(counts: ModelCounts, profiles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Total energy per sample on each profile: the `energy` of a record."""
    return {name: totals(estimate(counts, load_profile(name))) for name in profiles}


def price_side_by_side(
    counts: Sequence[ModelCounts], profiles: Sequence[str]
) -> list[dict[str, dict[str, Any]]]:
    """The `energy` of many records at once; what is missing is looked up where something is."""
    table = price_many(counts, [load_profile(name) for name in profiles])
    found = []
    for row, one in enumerate(counts):
        energy = {}
        for column, name in enumerate(profiles):
            if table.complete[row, column]:
                partial_pj = float(table.partial_pj[row, column])
                energy[name] = _totals(partial_pj, partial_pj, ())
            else:
                energy[name] = totals(estimate(one, load_profile(name)))
        found.append(energy)
    return found


def missing(counts: ModelCounts, profiles: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Profile -> what has no price there; profiles that price everything are left out."""
    found = {name: estimate(counts, load_profile(name)).missing for name in profiles}
    return {name: texts for name, texts in found.items() if texts}


def by_reason(texts: Sequence[str]) -> str:
    """`conv1, conv2: no energy for mac`: each reason once, with the first layers of it."""
    layers: dict[str, list[str]] = {}
    for text in texts:
        layer, _, reason = text.partition(": ")
        layers.setdefault(reason or layer, []).extend([layer] if reason else [])
    return "; ".join(
        f"{', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}: {reason}"
        if names
        else reason
        for reason, names in layers.items()
    )


def fingerprint(profile: str) -> str:
    """The same for the same numbers: tells whether a profile has changed since a run was priced."""
    document = json.dumps(load_profile(profile).to_dict(), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def opponents(
    counts: ModelCounts, profile: HardwareProfile
) -> tuple[tuple[Baseline, BreakEven], ...]:
    """The ANN of the same shape beside a network, each with the rate at which both cost the same.

    A chip is held against the ANN itself; elsewhere both run on the ANN's hardware.
    """
    found = []
    for one in baselines(counts, profile):
        ours = profile if profile.kind == "chip" or one.hardware is None else one.hardware
        found.append((one, break_even(counts, ours, one)))
    return tuple(found)


def energy_draws(
    counts: Sequence[ModelCounts | None], profiles: Mapping[str, str]
) -> EnergyDraws | None:
    """The energies of designs under draws of the constants, one hardware a draw for all of them.

    counts : of each record, in order; None for one that has none
    profiles : name of an energy objective -> profile

    None if there is no objective, or no constant has a range.
    """
    known = [one for one in counts if one is not None]
    if not known:
        return None
    places = [index for index, one in enumerate(counts) if one is not None]
    energies, drawn, fixed = {}, dict[str, None](), dict[str, None]()
    columns = Columns.side_by_side(known)
    for objective, name in profiles.items():
        profile = load_profile(name)
        table = np.full((DRAWS, len(counts)), np.nan)
        table[:, places] = draw_many(known, profile, draws=DRAWS, seed=SEED)
        energies[objective] = table
        used = kinds.bill(columns, profile).constants_used()
        with_range, without = described(profile, used)
        drawn.update(dict.fromkeys(f"{name} {text}" for text in with_range))
        fixed.update(dict.fromkeys(f"{name} {text}" for text in without))
    return EnergyDraws(energies, SEED, tuple(drawn), tuple(fixed)) if drawn else None


def totals(breakdown: EnergyBreakdown) -> dict[str, Any]:
    """What a record keeps of an energy document."""
    return _totals(breakdown.total_pj, breakdown.partial_pj, breakdown.missing)


def _totals(total_pj: float | None, partial_pj: float, missing: Sequence[str]) -> dict[str, Any]:
    return {
        "total_pj": total_pj,
        "complete": total_pj is not None,
        "missing": list(missing),
        "partial_pj": partial_pj,
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
