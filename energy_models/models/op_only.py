"""Operations times energy per operation: the model behind the papers' 4.6 and 0.9 pJ.

A tensor has one class (the class its dense count is booked to), and that class decides whether the
whole tensor is charged dense or effective: so no product is paid twice, and none is forgotten. The
units in a tensor of small integers, for instance, are effective accumulates, not dense ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from energy_models.layers import LayerCounts, NeuronUpdates
from energy_models.profile import CLASSES, HardwareProfile


@dataclass(frozen=True, slots=True)
class LayerPrice:
    """What one layer costs.

    energy_pj : component -> pJ; `synaptic_compute`, `neuron_updates`, `bias`, where there is one
    missing : what could not be priced, and why
    used : the constants that were used
    steps : pJ of synaptic compute by time step; empty where it does not follow from the counts
    """

    energy_pj: Mapping[str, float]
    missing: tuple[str, ...]
    used: frozenset[str]
    steps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """`count` events of one kind, each at the price of `constant`."""

    event: str
    count: float
    constant: str


def price_layer(row: LayerCounts, profile: HardwareProfile) -> LayerPrice:
    """Price one row of the count document, per sample.

    An event without a constant is missing, never zero, unless the profile excludes it.
    """
    policy = _policy(row, profile)
    uncharged = _uncharged(row, profile, policy)
    bills = {
        "synaptic_compute": [] if uncharged else _products(row, profile, policy),
        "neuron_updates": _updates(row, profile),
        "bias": _bias(row, profile),
    }
    missing = list(uncharged)
    used: set[str] = set()
    energy_pj = {}
    for component, bill in bills.items():
        due = [item for item in bill if item.event not in profile.excludes]
        priced = [item for item in due if item.constant in profile.energy]
        missing += [f"no energy for {item.constant}" for item in due if item not in priced]
        used |= {item.constant for item in priced}
        if priced:
            energy_pj[component] = _sum_pj(priced, profile)
    steps = () if missing else _steps(row, profile, policy)
    return LayerPrice(energy_pj, tuple(dict.fromkeys(missing)), frozenset(used), steps)


def _policy(row: LayerCounts, profile: HardwareProfile) -> dict[str, str]:
    """class -> `dense` or `effective`; the class of the tensor, if it has one, decides for all."""
    by_class = {name: getattr(profile.charge, name) for name in CLASSES}
    classes = _tensor_classes(row)
    return dict.fromkeys(CLASSES, by_class[classes[0]]) if len(classes) == 1 else by_class


def _tensor_classes(row: LayerCounts) -> list[str]:
    return [name for name in CLASSES if _dense(row, name) > 0]


def _uncharged(row: LayerCounts, profile: HardwareProfile, policy: Mapping[str, str]) -> list[str]:
    """Products that would silently cost nothing, since the row lacks the count they are paid by."""
    due = [name for name in CLASSES if name not in profile.excludes]
    counts = {name: (getattr(row.ops, name), _dense(row, name)) for name in due}
    classes = _tensor_classes(row)
    if (
        len(classes) == 1 and classes[0] in due
    ):  # products of every class stand in the one dense count
        counts = {classes[0]: (row.ops.effective, row.ops.dense)}
    problems = [
        f"{name} is charged dense, but of {effective:g} products only {dense:g} are counted dense"
        for name, (effective, dense) in counts.items()
        if policy[name] == "dense" and dense < effective * (1 - 1e-9)  # two divisions are rounded
    ]
    accumulates = "graded" in due and _constant_of("graded", profile, policy) == "ac"
    if accumulates and row.ops.graded > 0 and row.ops.graded_accumulates == 0:
        problems.append("no graded_accumulates for the graded products")
    return problems


def _products(row: LayerCounts, profile: HardwareProfile, policy: Mapping[str, str]) -> list[Item]:
    times = _times(row, profile)
    items = []
    for name in CLASSES:
        constant = _constant_of(name, profile, policy)
        if policy[name] == "dense":
            count = _dense(row, name)
        elif (name, constant) == ("graded", "ac"):
            count = row.ops.graded_accumulates
        else:
            count = getattr(row.ops, name)
        if count > 0:
            items.append(Item(name, count * times, constant))
    return items


def _constant_of(name: str, profile: HardwareProfile, policy: Mapping[str, str]) -> str:
    """The constant that prices a class. Dense graded products have no k each: they cost a MAC."""
    if name != "graded" or "graded" in profile.energy:
        return name
    as_mac = policy["graded"] == "dense" or profile.switches.graded == "mac"
    return "mac" if as_mac else "ac"


def _updates(row: LayerCounts, profile: HardwareProfile) -> list[Item]:
    if profile.switches.neuron_updates == "excluded":
        return []
    events = {f.name: getattr(row.updates, f.name) for f in fields(NeuronUpdates)}
    return [Item(event, count, event) for event, count in events.items() if count > 0]


def _bias(row: LayerCounts, profile: HardwareProfile) -> list[Item]:
    if profile.switches.bias == "excluded" or not row.has_bias or row.outputs == 0:
        return []
    return [Item("add", row.outputs * _times(row, profile), "add")]


def _times(row: LayerCounts, profile: HardwareProfile) -> int:
    return row.reused_steps if profile.switches.first_layer == "every-step" else 1


def _steps(
    row: LayerCounts, profile: HardwareProfile, policy: Mapping[str, str]
) -> tuple[float, ...]:
    """Synaptic compute by time step: known where every class of the row is charged effective.

    Steps do not record abs(k), so graded products that accumulate leave them unknown as well.
    """
    present = [name for name in CLASSES if max(_dense(row, name), getattr(row.ops, name)) > 0]
    constants = {name: _constant_of(name, profile, policy) for name in present}
    is_dense = any(policy[name] == "dense" for name in present)
    if not present or is_dense or constants.get("graded") == "ac":
        return ()
    by_step = tuple(
        _sum_pj(
            [
                Item(name, getattr(step, name), constant)
                for name, constant in constants.items()
                if name not in profile.excludes
            ],
            profile,
        )
        for step in row.steps
    )
    times = _times(row, profile)
    return by_step if times == 1 or not by_step else (sum(by_step),) * times


def _dense(row: LayerCounts, name: str) -> float:
    count: float = getattr(row.ops, f"dense_{name}")
    return count


def _sum_pj(items: Iterable[Item], profile: HardwareProfile) -> float:
    return sum((item.count * profile.energy[item.constant].value_pj for item in items), 0.0)
