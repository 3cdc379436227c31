"""What the ranges of energy constants decide about a front, and which orders they leave open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports import pareto
from reports.pareto import Floats, Objective
from reports.points import front, objective_values, on_front, within
from reports.record import Key, TrialRecord

LEVEL = 0.95  # an order is decided if it holds in this share of the draws


@dataclass(frozen=True, slots=True, eq=False)
class EnergyDraws:
    """The energies of all records, priced again and again with constants drawn from their ranges.

    energies_pj : name of an objective -> (k, records), pJ per sample, columns in the order of the
        records. In row d every record and every objective is priced with the same constants. NaN
        where a record has no energy, or was left out: of very many points those far from the front
    seed : of the draws
    drawn : the constants that have a range, a text each: `mac: 3.1 to 4.6 pJ`
    fixed : the constants that have none and stayed as they are
    """

    energies_pj: Mapping[str, Floats]
    seed: int
    drawn: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many draws."""
        return max(map(len, self.energies_pj.values()), default=0)


@dataclass(frozen=True, slots=True)
class OpenPair:
    """Two points of the front whose order the draws do not decide, though they differ.

    less, more : names; `less` takes less energy in this share of the draws, half of them or more;
        a tie counts half
    label : of the objective
    """

    less: str
    more: str
    share: float
    label: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the draws say about the front of a run.

    front_probability : key -> share of the draws in which the point is on the front; of every
        point that has a value for each objective, and draws
    pairs : how many pairs of front points were compared, once for each drawn objective
    open_pairs : those whose order is not decided, the most open one first
    contenders : name and probability of points that are not on the front, and are in so many draws
        that this is not decided; the likeliest first
    """

    front_probability: Mapping[Key, float]
    pairs: int
    open_pairs: tuple[OpenPair, ...]
    contenders: tuple[tuple[str, float], ...]


def evidence(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], draws: EnergyDraws
) -> Evidence:
    """Hold the front against the draws; limits are those of each draw.

    Raises ReportDataError if a drawn energy is no objective, or has another shape.
    """
    values = objective_values(records, objectives)
    is_drawn = np.ones(len(records), dtype=np.bool_)
    for energies_pj in draws.energies_pj.values():
        is_drawn &= np.isfinite(energies_pj).any(axis=0)
    usable = np.flatnonzero(np.isfinite(values).all(axis=1) & is_drawn).tolist()
    shares = _front_shares(values, objectives, draws)
    points = front(records, objectives)
    chosen = {point.key for point in points}
    contenders = [
        (records[i].name, float(shares[i]))
        for i in usable
        if records[i].key not in chosen and shares[i] > 1 - LEVEL
    ]
    return Evidence(
        {records[i].key: float(shares[i]) for i in usable},
        len(draws.energies_pj) * (len(points) * (len(points) - 1) // 2),
        _open_pairs(records, points, objectives, draws),
        tuple(sorted(contenders, key=lambda contender: -contender[1])),
    )


def open_order(found: Evidence) -> str:
    """One sentence: how many orders of the front are open."""
    if not found.pairs:
        return "There are no two points on the front whose order could be open."
    pairs = f"{found.pairs:,d} pair{'' if found.pairs == 1 else 's'} of front points"
    level = f"{100 * LEVEL:.0f} % of the draws of the constants within their ranges (seeds aside)"
    if not found.open_pairs:
        return f"The order by energy is decided in {pairs}: it holds in at least {level}."
    return (
        f"The order by energy is open in {len(found.open_pairs):,d} of {pairs}: "
        f"it holds in less than {level}."
    )


def draw_mistakes(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], draws: EnergyDraws
) -> Iterator[str]:
    """A line for each contradiction of the draws with the records and the objectives."""
    if not draws.count:
        yield "energy draws: there is none; at least one is needed"
        return
    values = objective_values(records, objectives)
    is_needed = on_front(values, objectives)
    names = [objective.name for objective in objectives]
    expected = (draws.count, len(records))
    for name, energies_pj in draws.energies_pj.items():
        if name not in names:
            yield f'energy draws: "{name}" is no objective. There are {", ".join(names)}'
        elif energies_pj.shape != expected:
            yield (
                f"energy draws: {name}: shape {energies_pj.shape}; it must be {expected}, "
                "one row a draw and one column a record"
            )
        else:
            is_known = np.isfinite(values[:, names.index(name)])
            is_drawn = np.asarray(np.isfinite(energies_pj).any(axis=0))
            rows = zip(records, is_known, is_drawn, is_needed, strict=True)
            for record, known, drawn, needed in rows:
                if needed and not drawn:
                    point = f"point {record.name}"
                    yield f"energy draws: {name}: {point} is on the front without a draw"
                if drawn and not known and record.state == "complete":
                    yield f"energy draws: {name}: point {record.name} has draws and no energy"


def _front_shares(values: Floats, objectives: Sequence[Objective], draws: EnergyDraws) -> Floats:
    """`pareto.front_probability` within the limits: what is beyond one is on no front."""

    def able(column: Floats, objective: Objective) -> Floats:
        return np.where(within(column, objective), column, np.nan)

    measured, drawn = np.array(values), {}
    for column, objective in enumerate(objectives):
        if objective.name in draws.energies_pj:
            # a record that is not complete is on no front, whatever was drawn for it
            drawn[column] = able(draws.energies_pj[objective.name], objective)
            drawn[column][:, ~np.isfinite(values[:, column])] = np.nan
        else:
            measured[:, column] = able(values[:, column], objective)
    return pareto.front_probability(measured, drawn, [o.goal for o in objectives])


def _open_pairs(
    records: Sequence[TrialRecord],
    points: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    draws: EnergyDraws,
) -> tuple[OpenPair, ...]:
    place = {record.key: index for index, record in enumerate(records)}
    columns = [place[point.key] for point in points]
    found = []
    for objective in objectives:
        if objective.name in draws.energies_pj:
            own = draws.energies_pj[objective.name][:, columns]
            pairs, shares = pareto.undecided(own, LEVEL)
            for (i, j), share in zip(pairs.tolist(), shares.tolist(), strict=True):
                less, more = (i, j) if share >= 0.5 else (j, i)
                names = points[less].name, points[more].name
                if not np.array_equal(own[:, i], own[:, j]):  # nothing is open between equals
                    found.append(OpenPair(*names, max(share, 1 - share), objective.label))
    return tuple(sorted(found, key=lambda pair: pair.share))
