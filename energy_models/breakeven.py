"""Break-even: the spike rate at which a spiking network costs as much as its ANN.

All spike rates are scaled together (`energy_models.rates`), event data included, and the ANN stays
as it is. Where the bill is a straight line in the rate, the rate is a quotient; where it bends (a
chip whose time is that of its steps or of its events, attention among spikes), it is a root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

from scipy.optimize import brentq

from energy_models.baselines import Baseline, ann_of
from energy_models.columns import Columns
from energy_models.counts import ModelCounts
from energy_models.errors import CountsError
from energy_models.estimate import estimate
from energy_models.layers import LayerCounts
from energy_models.models import kinds
from energy_models.profile import HardwareProfile
from energy_models.rates import at_scale, spike_rate
from energy_models.shelf import load_profile
from energy_models.values import values_of

ALWAYS = "always cheaper"
NEVER = "never: dearer with no spike at all"
_ALWAYS_FLAT = f"{ALWAYS}: nothing that it pays for follows the rate"
_ALWAYS_ABOVE = f"{ALWAYS}: a rate above 1 spike per element and step does not occur"
_NO_SPIKES_ENTER = "no spikes enter: real inputs and signs follow no rate"
_NO_SPIKE_CAME = "not one spike came in: there is no rate to scale"
_NO_INPUTS = "the counts do not record what flowed in: count it again"
_EXACT = 1e-9  # relative
_ROUNDING = 1e-13  # of sums of energies, relative
_DOUBLINGS = 200

Method = Literal["closed form", "root", "none"]
Pay = Callable[[ModelCounts, HardwareProfile], float]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where one layer, or the network, costs as much as its ANN.

    name : of the layer, `(network)` for all
    rate : spikes per input element and step; None where there is no such rate. One above 1 is a
        number that no network reaches
    per_synapse : spikes per synapse and inference: rate x T
    measured_rate : the rate of the counts
    """

    name: str
    rate: float | None
    per_synapse: float | None
    measured_rate: float | None
    method: Method
    reason: str = ""

    @property
    def text(self) -> str:
        """`0.21`, `1.7 (always cheaper)`, or why there is none: for a table."""
        why = self.reason.partition(":")[0].splitlines()[0] if self.reason else ""
        if self.rate is None:
            return why
        return f"{self.rate:.3g} ({why})" if why else f"{self.rate:.3g}"


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Break-even rates of a network on a profile against an ANN, for the network and by layer.

    profile, opponent : names of the profiles that price the network and its ANN
    """

    profile: str
    opponent: str
    network: Crossing
    layers: tuple[Crossing, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "profile": self.profile,
            "opponent": self.opponent,
            "network": asdict(self.network),
            "layers": [asdict(layer) for layer in self.layers],
            "notes": list(self.notes),
        }


def break_even(
    counts: ModelCounts,
    profile: HardwareProfile,
    opponent: Baseline | str,
    *,
    ann: ModelCounts | None = None,
) -> BreakEven:
    """The spike rates at which a network on a profile costs as much as its ANN.

    opponent : a baseline, or the name of the profile on which the ANN runs
    ann : counts of the ANN, where it has not the layers of the network; there is then no rate by
        layer. None = the ANN of the same shape

    A layer is a row of products with the neurons that it feeds, against its row of the ANN: static
    and fixed terms of a chip belong to no layer. Neurons fed by several rows belong to the last.
    """
    hardware, name = _hardware_of(opponent)
    if hardware is None:
        return BreakEven(profile.name, name, _none("(network)", "the ANN has no price"), ())
    if ann is not None:
        ours, theirs = (_Side(counts, profile, _network_pj), _Side(ann, hardware, _network_pj))
        return BreakEven(
            profile.name, name, _crossing("(network)", counts.layers, ours, theirs), ()
        )
    try:
        ann = ann_of(counts)
    except CountsError as error:
        return BreakEven(profile.name, name, _none("(network)", str(error)), ())
    groups, notes = _groups(counts.layers)
    whole, whole_ann = replace(counts, uncounted={}), replace(ann, uncounted={})
    layers = tuple(
        _crossing(
            row.name,
            [counts.layers[index] for index in group],
            _Side(whole, profile, partial(_rows_pj, group)),
            _Side(whole_ann, hardware, partial(_rows_pj, [place])),
        )
        for place, (row, group) in enumerate(zip(ann.layers, groups, strict=True))
    )
    network = _crossing(
        "(network)",
        counts.layers,
        _Side(counts, profile, _network_pj),
        _Side(ann, hardware, _network_pj),
    )
    return BreakEven(profile.name, name, network, layers, notes)


@dataclass(frozen=True)
class _Side:
    """A network on a profile, and how it is paid."""

    counts: ModelCounts
    profile: HardwareProfile
    pay: Pay

    def energy_pj(self, scale: float = 1.0) -> float:
        """At so many times its spikes."""
        counts = self.counts if scale == 1.0 else at_scale(self.counts, scale, self.profile)
        return self.pay(counts, self.profile)


class _Unpriced(Exception):
    """An energy that is not complete; its text is what is missing."""


def _hardware_of(opponent: Baseline | str) -> tuple[HardwareProfile | None, str]:
    if isinstance(opponent, Baseline):
        return opponent.hardware, opponent.profile or opponent.name
    return load_profile(opponent), opponent


def _groups(
    rows: Sequence[LayerCounts],
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Indices of each row of products and its neurons; notes on neurons of several layers."""
    products = [index for index, row in enumerate(rows) if row.operator != "neuron"]
    places = {rows[index].name: place for place, index in enumerate(products)}
    groups = [[index] for index in products]
    notes = []
    for index, row in enumerate(rows):
        if row.operator != "neuron":
            continue
        feeding = [places[name] for name in row.fed_by if name in places]
        if feeding:
            groups[max(feeding)].append(index)
        if len(feeding) > 1:
            last = rows[products[max(feeding)]].name
            notes.append(f"{row.name}: fed by {len(feeding)} layers, counted with {last}")
        elif not feeding:
            notes.append(f"{row.name}: nobody knows what feeds it: in the network alone")
    return groups, tuple(notes)


def _rows_pj(places: Sequence[int], counts: ModelCounts, profile: HardwareProfile) -> float:
    """Energy of some rows of a network, without terms that belong to no row."""
    bill = kinds.bill(Columns.side_by_side([counts]), profile)
    for gap in bill.gaps:
        if gap.spoils_rows and gap.where[0]:
            raise _Unpriced(gap.text)
    for place in places:
        for text in bill.missing_of_row(place):
            raise _Unpriced(f"{counts.layers[place].name}: {text}")
    by_component = bill.layers_pj(values_of(profile))
    return float(sum(energy_pj[list(places)].sum() for energy_pj in by_component.values()))


def _network_pj(counts: ModelCounts, profile: HardwareProfile) -> float:
    found = estimate(counts, profile)
    if found.total_pj is None:
        raise _Unpriced(found.missing[0])
    return found.total_pj


def _crossing(name: str, rows: Sequence[LayerCounts], ours: _Side, theirs: _Side) -> Crossing:
    """Where `ours` costs as much as `theirs`; the rate is that of the rows."""
    products = [row for row in rows if row.operator != "neuron"]
    rate = spike_rate(*products)
    try:
        target_pj = theirs.energy_pj()
        ours.energy_pj()
        if rate is None:
            has_spikes = any(row.spikes_in is not None and not row.operands for row in products)
            return _none(name, _NO_INPUTS if has_spikes else _NO_SPIKES_ENTER)
        if rate == 0:
            return _none(name, _NO_SPIKE_CAME, rate)
        scale, method, reason = _solve(ours.energy_pj, target_pj, 1 / rate)
    except _Unpriced as gap:
        return _none(name, f"incomplete: {gap}", rate)
    if scale is None:
        return _none(name, reason, rate)
    found = rate * scale
    reason = _ALWAYS_ABOVE if found > 1 else _beyond_reach(products, scale)
    return Crossing(name, found, found * ours.counts.time_steps, rate, method, reason)


def _beyond_reach(rows: Sequence[LayerCounts], scale: float) -> str:
    """The layer whose neurons would have to spike more than once a step, if there is one."""
    needed = [((spike_rate(row) or 0.0) * scale, row.name) for row in rows]
    rate, name = max(needed, default=(0.0, ""))
    if rate <= 1:
        return ""
    return f"out of reach: {name} would need {rate:.3g} spikes per element and step"


def _none(name: str, reason: str, measured_rate: float | None = None) -> Crossing:
    return Crossing(name, None, None, measured_rate, "none", reason)


def _solve(
    energy: Callable[[float], float], target_pj: float, full: float
) -> tuple[float | None, Method, str]:
    """Scale at which an energy that grows with it reaches a target.

    full : scale at which the rate is 1
    """
    lowest_pj, highest_pj = energy(0.0), energy(full)
    if lowest_pj >= target_pj:
        return None, "none", NEVER
    rise_pj = highest_pj - lowest_pj
    if rise_pj <= _ROUNDING * highest_pj:
        return None, "none", _ALWAYS_FLAT
    scale = full * (target_pj - lowest_pj) / rise_pj
    if abs(energy(scale) - target_pj) <= _EXACT * target_pj:  # a third point on the line
        return scale, "closed form", ""
    high = max(scale, full)
    for _ in range(_DOUBLINGS):
        if energy(high) >= target_pj:
            found = brentq(lambda s: energy(s) - target_pj, 0.0, high, xtol=1e-300, rtol=1e-15)
            return float(found), "root", ""
        high *= 2
    return None, "none", _ALWAYS_FLAT
