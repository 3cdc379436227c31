"""Operations times energy per operation: the model behind the papers' 4.6 and 0.9 pJ.

A tensor has one class (the class its dense count is booked to), and that class decides whether the
whole tensor is charged dense or effective: so no product is paid twice, and none is forgotten. The
units in a tensor of small integers, for instance, are effective accumulates, not dense ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energy_models.bill import Bill, Gap, Term
from energy_models.columns import Columns, Floats, Mask
from energy_models.events import CLASSES, PRODUCTS
from energy_models.layers import UPDATES, LayerCounts
from energy_models.profile import HardwareProfile

_ROUNDED = 1e-9  # two divisions by the number of samples are rounded


def bill(columns: Columns, profile: HardwareProfile) -> Bill:
    """What an op-only profile charges; what it has no price for goes to its host, if it has one.

    An event without a constant is a gap, never zero, unless the profile excludes it. A row goes to
    the host as a whole: the class of its tensor decides how all of its products are charged.
    """
    host = profile.host_profile
    if host is None:
        return _of_own(columns, profile)
    is_foreign = _is_foreign(columns, profile)
    known = {*profile.prices, *profile.excludes}
    is_counted = profile.switches.neuron_updates == "counted"
    is_hosted = {
        event: is_counted and event in _priced_updates(profile) and event not in known
        for event in UPDATES
    }
    products = (*PRODUCTS, "graded_accumulates", "outputs")
    own = columns.with_fields(
        **{name: columns[name] * ~is_foreign for name in products},
        **{event: columns[event] * (not is_hosted[event]) for event in UPDATES},
    )
    rest = columns.with_fields(
        **{name: columns[name] * is_foreign for name in products},
        **{event: columns[event] * is_hosted[event] for event in UPDATES},
    )
    ours, theirs = _of_own(own, profile), bill(rest, host)
    hosted = (Term("host", f"host.{term.constant}", term.quantity) for term in theirs.terms)
    gaps = (Gap(f"host {host.name}: {gap.text}", gap.where) for gap in theirs.gaps)
    return Bill((*ours.terms, *hosted), gaps=(*ours.gaps, *gaps))


def steps_pj(row: LayerCounts, profile: HardwareProfile) -> tuple[float, ...]:
    """Synaptic compute of one row by time step; empty where it does not follow from the counts.

    Known where every class of the row is charged effective. Steps do not record abs(k), so graded
    products that accumulate leave them unknown as well.
    """
    if not row.steps:
        return ()
    policy = _policy_of(row, profile)
    present = [
        name
        for name in CLASSES
        if max(getattr(row.ops, f"dense_{name}"), getattr(row.ops, name)) > 0
    ]
    constants = {
        name: _constant_of(name, profile, is_dense=policy[name] == "dense") for name in present
    }
    is_dense = any(policy[name] == "dense" for name in present)
    if not present or is_dense or constants.get("graded") == "ac":
        return ()
    due = {name: constant for name, constant in constants.items() if name not in profile.excludes}
    prices = profile.prices
    if any(constant not in prices for constant in due.values()):
        return ()
    by_step = tuple(
        sum(getattr(step, name) * prices[constant].value for name, constant in due.items())
        for step in row.steps
    )
    times = row.reused_steps if profile.switches.first_layer == "every-step" else 1
    return by_step if times == 1 else (sum(by_step),) * times


@dataclass(frozen=True)
class Policy:
    """Which products of each row are charged dense.

    has_one_class : (rows,) tensors of one class      its_class : (rows,) index of that class
    dense : class -> (rows,) whether its products are charged dense
    times : (rows,) how often an evaluation is paid
    """

    has_one_class: Mask
    its_class: NDArray[np.intp]
    dense: Mapping[str, Mask]
    times: Floats

    @classmethod
    def of(cls, columns: Columns, profile: HardwareProfile) -> Policy:
        """The class of the tensor, if it has one, decides for all."""
        is_class = np.array([columns[f"dense_{name}"] > 0 for name in CLASSES])
        has_one_class = is_class.sum(axis=0) == 1
        its_class = is_class.argmax(axis=0)
        charged_dense = np.array([getattr(profile.charge, name) == "dense" for name in CLASSES])
        dense = {
            name: np.where(has_one_class, charged_dense[its_class], charged_dense[index])
            for index, name in enumerate(CLASSES)
        }
        is_paid_again = profile.switches.first_layer == "every-step"
        times = columns["reused_steps"] if is_paid_again else np.ones(len(columns.rows))
        return cls(has_one_class, its_class, dense, times)


def _of_own(columns: Columns, profile: HardwareProfile) -> Bill:
    """What the profile charges by its own prices."""
    policy = Policy.of(columns, profile)
    refused = list(_uncharged(columns, profile, policy))
    is_refused = np.zeros(len(columns.rows), dtype=np.bool_)
    for gap in refused:
        is_refused |= gap.where
    prices = profile.prices
    terms: list[Term] = []
    gaps = list(refused)
    items = [
        *_products(columns, profile, policy, ~is_refused),
        *_updates(columns, profile),
        *_bias(columns, profile),
    ]
    for component, event, constant, quantity in items:
        if event in profile.excludes:
            continue
        if constant in prices:
            terms.append(Term(component, f"energy.{constant}", quantity))
        elif (quantity > 0).any():
            gaps.append(Gap(f"no energy for {constant}", quantity > 0))
    return Bill(tuple(terms), gaps=tuple(gaps))


def _is_foreign(columns: Columns, profile: HardwareProfile) -> Mask:
    """(rows,) rows with products of a class that is neither priced nor left out."""
    policy = Policy.of(columns, profile)
    found = np.zeros(len(columns.rows), dtype=np.bool_)
    for name in CLASSES:
        if name in profile.excludes:
            continue
        happened = (columns[name] > 0) | (columns[f"dense_{name}"] > 0)
        for is_dense in (True, False):
            if _constant_of(name, profile, is_dense=is_dense) not in profile.prices:
                found |= happened & (policy.dense[name] == is_dense)
    return found


def _uncharged(columns: Columns, profile: HardwareProfile, policy: Policy) -> Iterator[Gap]:
    """Products that would silently cost nothing, since the row lacks the count they are paid by."""
    due = [name for name in CLASSES if name not in profile.excludes]
    effective_of_all, dense_of_all = columns.effective, columns.dense
    is_due = np.array([name in due for name in CLASSES])
    for index, name in enumerate(CLASSES):
        if name not in due:
            continue
        # products of every class stand in the one dense count
        is_sole = policy.has_one_class & (policy.its_class == index)
        is_apart = ~policy.has_one_class | ~is_due[policy.its_class]
        effective = np.where(is_sole, effective_of_all, np.where(is_apart, columns[name], 0.0))
        dense = np.where(is_sole, dense_of_all, columns[f"dense_{name}"])
        short = policy.dense[name] & (dense < effective * (1 - _ROUNDED))
        for row in np.flatnonzero(short):
            where = np.zeros(len(columns.rows), dtype=np.bool_)
            where[row] = True
            yield Gap(
                f"{name} is charged dense, but of {effective[row]:g} products only "
                f"{dense[row]:g} are counted dense",
                where,
            )
    if "graded" in due and _constant_of("graded", profile, is_dense=False) == "ac":
        unknown = ~policy.dense["graded"] & (columns["graded"] > 0)
        unknown &= columns["graded_accumulates"] == 0
        if unknown.any():
            yield Gap("no graded_accumulates for the graded products", unknown)


def _products(
    columns: Columns, profile: HardwareProfile, policy: Policy, is_paid: Mask
) -> Iterator[tuple[str, str, str, Floats]]:
    """Component, event, constant, quantity."""
    due = policy.times * is_paid
    for name in CLASSES:
        for is_dense in (True, False):
            constant = _constant_of(name, profile, is_dense=is_dense)
            accumulates = (name, constant, is_dense) == ("graded", "ac", False)
            field = f"dense_{name}" if is_dense else name
            quantity = columns["graded_accumulates" if accumulates else field]
            here = policy.dense[name] if is_dense else ~policy.dense[name]
            if here.any():
                yield "synaptic_compute", name, constant, quantity * here * due


def _constant_of(name: str, profile: HardwareProfile, *, is_dense: bool) -> str:
    """The constant that prices a class. Dense graded products have no k each: they cost a MAC."""
    if name != "graded" or "graded" in profile.energy:
        return name
    return "mac" if is_dense or profile.switches.graded == "mac" else "ac"


def _updates(columns: Columns, profile: HardwareProfile) -> Iterator[tuple[str, str, str, Floats]]:
    if profile.switches.neuron_updates == "counted":
        for event in _priced_updates(profile):
            yield "neuron_updates", event, event, columns[event]


def _priced_updates(profile: HardwareProfile) -> tuple[str, ...]:
    """The neuron events that are operations here; a profile with memory prices the rest itself."""
    is_memory_priced = profile.memory is not None
    memory = ("state_read", "state_write") if is_memory_priced else ()
    return tuple(event for event in UPDATES if event not in memory)


def _bias(columns: Columns, profile: HardwareProfile) -> Iterator[tuple[str, str, str, Floats]]:
    if profile.switches.bias == "add":
        is_again = profile.switches.first_layer == "every-step"
        times = columns["reused_steps"] if is_again else 1.0
        yield "bias", "add", "add", columns["outputs"] * columns["has_bias"] * times


def _policy_of(row: LayerCounts, profile: HardwareProfile) -> dict[str, str]:
    """class -> `dense` or `effective` of one row."""
    by_class = {name: getattr(profile.charge, name) for name in CLASSES}
    classes = [name for name in CLASSES if getattr(row.ops, f"dense_{name}") > 0]
    return dict.fromkeys(CLASSES, by_class[classes[0]]) if len(classes) == 1 else by_class
