"""An affine chip: static power x time + events x energy + a fixed part.

E = P_static t + N_syn e_syn + N_active e_active + N_inactive e_inactive + N_spikes e_spike
+ E_fixed, with t = max(T t_step, N_syn t_syn / parallelism) + t_host. A marginal constant needs the
static power; an all-in constant is the energy of everything divided by the events, and excludes
every other term. What a source reports without saying which of the two it is completes no total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from energy_models.bill import Bill, Duration, Gap, NetworkTerm, Term
from energy_models.columns import Columns, Floats, Mask
from energy_models.counts import ModelCounts
from energy_models.events import CLASSES, PRODUCTS
from energy_models.layers import UPDATES, LayerCounts
from energy_models.models import op_only
from energy_models.profile import HardwareProfile

_PER_SPIKE = ("spike", "message", "hop")


def bill(columns: Columns, profile: HardwareProfile) -> Bill:
    """What a chip charges; products that are no synaptic events go to its host.

    A synaptic event is a product of an unsigned unit spike by a weight: `ac`, and `binary`, whose
    weight happens to be binary; in a convolution it may have a price of its own. A layer that
    takes real, signed or graded values is none, nor is a product of two activations: it has a
    price of its own, or is the host's, or is a gap.
    """
    places = _Places.of(columns, profile)
    events = (columns["ac"] + columns["binary"]) * places.on_chip
    terms, gaps = _synaptic(columns, profile, events)
    gaps += _as_reported(profile, places)
    # without the operands nobody knows whether what met a binary weight was a spike or a sign
    is_unknown = places.on_chip & (columns["first_elements"] == 0) & (columns["binary"] > 0)
    if is_unknown.any():
        gaps.append(Gap("what flowed in is not recorded: count it again", is_unknown))
    hosted = _hosted(columns, profile, places)
    network: list[NetworkTerm] = []
    duration = _duration(columns, profile, places, events)
    if not _is_all_in(profile):
        neurons = _neurons(_of_rows(columns, places.on_chip), profile)
        terms += neurons.terms
        gaps += neurons.gaps
        rest = _network(columns, profile, places, duration)
        network += rest.network
        gaps += rest.gaps
    return Bill(
        terms=(*terms, *hosted.terms),
        network=tuple(network),
        gaps=(*gaps, *hosted.gaps),
        duration=duration,
        notes=_notes(columns, profile, places),
        warnings=_warnings(columns, profile, places),
    )


@dataclass(frozen=True)
class _Places:
    """Where each row runs.

    on_chip : (rows,) layers whose every product is a synaptic event, and neurons that spike; with a
        host, a network of which no layer is such runs there whole, its neurons too
    is_used : (designs,) whether the chip does anything
    """

    on_chip: Mask
    is_used: Mask

    @classmethod
    def of(cls, columns: Columns, profile: HardwareProfile) -> _Places:
        is_neuron = columns["is_neuron"] > 0
        is_event = _is_spiking(columns)
        if profile.host_profile is None:
            return cls(is_event, np.ones(len(columns.counts), dtype=np.bool_))
        is_layer = ~is_neuron & _has_products(columns)
        is_used = columns.by_design((is_layer & is_event).astype(np.float64)) > 0
        has_layers = columns.by_design(is_layer.astype(np.float64)) > 0
        is_used |= ~has_layers
        is_silent = is_neuron & np.isnan(columns["spikes_out"])  # what they send are no spikes
        return cls(is_event & ~is_silent & is_used[columns.design], is_used)


def steps_pj(row: LayerCounts, profile: HardwareProfile) -> tuple[float, ...]:
    """Synaptic events of a row by time step; empty for a row that is the host's."""
    columns = Columns.side_by_side([ModelCounts(samples=1, layers=(row,))])
    event = "ac_convolution" if row.operator == "convolution" else "ac"
    event = event if event in profile.prices else "ac"
    if event not in profile.prices or not _is_spiking(columns)[0]:
        return ()
    event_pj = profile.prices[event].value
    return tuple((step.ac + step.binary) * event_pj for step in row.steps)


def chips_needed(columns: Columns, profile: HardwareProfile) -> Floats:
    """(designs,) chips that hold the neurons and weights of a design; 1 where nobody says.

    What the host does takes no place on a chip; 0 if it does all.
    """
    places = _Places.of(columns, profile)
    needed = np.ones(len(columns.counts))
    for name, field in (("neurons", "neurons"), ("synapses", "weights")):
        if name in profile.capacity:
            held = columns.by_design(columns[field] * places.on_chip)
            needed = np.maximum(needed, np.ceil(held / profile.capacity[name].value))
    return needed * places.is_used


def _has_products(columns: Columns) -> Mask:
    return np.asarray(columns.effective + columns.dense > 0)


def _of_rows(columns: Columns, mask: Mask) -> Columns:
    """The same rows, of which only those of the mask did anything as neurons."""
    return columns.with_fields(
        is_neuron=columns["is_neuron"] * mask,
        **{event: columns[event] * mask for event in UPDATES},
    )


def _is_spiking(columns: Columns) -> Mask:
    """(rows,) rows whose every product is one of an unsigned unit spike by a weight."""
    is_other = (columns["dense_mac"] > 0) | (columns["dense_graded"] > 0)
    is_other |= (columns["mac"] > 0) | (columns["graded"] > 0)
    is_other |= columns["is_signed"] > 0
    is_other |= columns["ac_by_weight"] > 0  # a real input: only its weight is binary
    is_other |= columns["is_of_activations"] > 0  # attention: no synapse stores either factor
    return np.asarray(~is_other)


def _is_all_in(profile: HardwareProfile) -> bool:
    return any(one.scope == "all-in" for one in profile.prices.values())


def _synaptic(
    columns: Columns, profile: HardwareProfile, events: Floats
) -> tuple[list[Term], list[Gap]]:
    """Synaptic events; those of convolutions apart where they have a price of their own."""
    is_apart = columns["is_convolution"] * ("ac_convolution" in profile.prices)
    terms = []
    for event, quantity in (("ac", events * (1 - is_apart)), ("ac_convolution", events * is_apart)):
        if event in profile.prices:
            terms.append(Term("synaptic_compute", f"energy.{event}", quantity))
    return terms, _needs(profile, "ac", events * (1 - is_apart))


def _as_reported(profile: HardwareProfile, places: _Places) -> list[Gap]:
    return [
        _of_network(
            f"energy.{event} is as reported: what it holds is not published",
            places.is_used,
            spoils_rows=True,
        )
        for event, one in profile.prices.items()
        if one.scope == "as-reported"
    ]


def _hosted(columns: Columns, profile: HardwareProfile, places: _Places) -> Bill:
    """What does not run on the chip: by a price of the chip's own, by the host, or a gap."""
    elsewhere = ~places.on_chip
    fields = [*PRODUCTS, "graded_accumulates", "has_bias"]
    rest = columns.with_fields(**{name: columns[name] * elsewhere for name in fields})
    if "mac" in profile.prices:
        return op_only.bill(_of_rows(rest, np.zeros_like(elsewhere)), profile)
    host = profile.host_profile
    if host is None:
        return Bill((), gaps=tuple(_homeless(rest, profile)))
    is_counted = profile.switches.neuron_updates == "counted"
    theirs = op_only.bill(_of_rows(rest, elsewhere & is_counted), host)
    return Bill(
        tuple(Term("host", f"host.{term.constant}", term.quantity) for term in theirs.terms),
        gaps=tuple(Gap(f"host {host.name}: {gap.text}", gap.where) for gap in theirs.gaps),
    )


def _homeless(rest: Columns, profile: HardwareProfile) -> Iterator[Gap]:
    for name in CLASSES:
        happened = (rest[name] > 0) | (rest[f"dense_{name}"] > 0)
        if happened.any() and name not in profile.excludes:
            yield Gap(
                f"no energy for {name}: this is a spiking chip. A host can price it: "
                f"{profile.name}+host=cmos45-int8",
                happened,
            )


def _neurons(columns: Columns, profile: HardwareProfile) -> Bill:
    """Updates of neurons, active or not, and the spikes that they send."""
    # every neuron compares at every step; one that only reads out integrates instead
    updates = np.maximum(columns["compare"], columns["integrate"]) * columns["is_neuron"]
    spikes = np.nan_to_num(columns["spikes_out"]) * columns["is_neuron"]
    terms, gaps = [], []
    is_counted = profile.switches.neuron_updates == "counted"
    paid_by_spike = {*_PER_SPIKE, *(("neuron_active",) if is_counted else ())}
    if paid_by_spike & set(profile.prices):
        # a neuron that compares sends something; what is not made of spikes has no number of them
        is_unknown = (columns["compare"] > 0) & (columns["is_neuron"] > 0)
        is_unknown &= np.isnan(columns["spikes_out"])
        if is_unknown.any():
            gaps.append(Gap("what these neurons send is not made of spikes", is_unknown))
    if is_counted:
        if "neuron_active" in profile.prices:
            active = np.minimum(spikes, updates)
            terms.append(Term("neuron_updates", "energy.neuron_active", active))
            terms.append(Term("neuron_updates", "energy.neuron_inactive", updates - active))
        elif "neuron" in profile.prices:
            terms.append(Term("neuron_updates", "energy.neuron", updates))
        else:
            gaps += _needs(profile, "neuron", updates)
    for event in _PER_SPIKE:
        if event in profile.prices:
            terms.append(Term("routing", f"energy.{event}", spikes))
        else:
            gaps += _needs(profile, event, spikes)
    return Bill(tuple(terms), gaps=tuple(gaps))


def _network(
    columns: Columns, profile: HardwareProfile, places: _Places, duration: Duration | None
) -> Bill:
    """Static power, the fixed part, and what enters; nothing of a chip that is not used."""
    terms, gaps = [], []
    used = places.is_used
    if profile.switches.static == "counted" and "static" not in profile.excludes:
        if not profile.power:
            gaps.append(_of_network("no static power", used))
        elif duration is None:
            gaps.append(_of_network("no time for the static power to flow", used))
        else:
            chips = chips_needed(columns, profile)
            terms += [
                NetworkTerm("static", f"power.{name}", chips, timed=True) for name in profile.power
            ]
    if "inference" in profile.prices:
        terms.append(NetworkTerm("fixed", "energy.inference", used.astype(np.float64)))
    elif "fixed" not in profile.excludes and "inference" not in profile.excludes:
        text = f"no energy for inference (the fixed part){_options_for(profile, 'inference')}"
        gaps.append(_of_network(text, used))
    if "input_bit" in profile.prices:
        bits = _input_bits(columns, places)
        terms.append(NetworkTerm("input_output", "energy.input_bit", bits))
    elif "input_output" not in profile.excludes and "input_bit" not in profile.excludes:
        gaps.append(_of_network("no energy for input_bit (input and output)", used))
    return Bill((), network=tuple(terms), gaps=tuple(gaps))


def _options_for(profile: HardwareProfile, event: str) -> str:
    """The options of the profile that price an event, if there are any."""
    base, plus, options = profile.name.partition("+")
    found = [
        f"{base}+{option}={value}{plus}{options}"
        for option, values in profile.options.items()
        for value, overlay in values.items()
        if event in overlay
    ]
    return f". An option prices it: {', '.join(found)}" if found else ""


def _input_bits(columns: Columns, places: _Places) -> Floats:
    """(designs,) bits of a sample that enter the chip; a spike has one bit.

    A sample that goes to the host enters no chip.
    """
    found = np.zeros(len(columns.counts))
    elements = columns["first_elements"]
    designs, firsts = np.unique(columns.design[elements > 0], return_index=True)
    rows = np.flatnonzero(elements > 0)[firsts]
    for design, row in zip(designs, rows, strict=True):
        operand = columns.rows[row].operands[0]
        if places.on_chip[row]:
            found[design] = operand.elements * (1 if operand.kind == "unit" else operand.bits)
    return found


def _duration(
    columns: Columns, profile: HardwareProfile, places: _Places, events: Floats
) -> Duration | None:
    """The time of the chip; not a number where it is not used."""
    times = profile.time
    if "step" not in times and "ac" not in times:
        return None
    is_told = "host" in times or profile.host_profile is None
    return Duration(
        steps=np.where(places.is_used, columns.time_steps, np.nan),
        events=np.where(places.is_used, columns.by_design(events), np.nan),
        step="time.step" if "step" in times else None,
        event="time.ac" if "ac" in times else None,
        parallelism="parallelism" if profile.parallelism is not None else None,
        host="time.host" if "host" in times else None,
        is_partial=None if is_told else _has_host_layers(columns, places),
    )


def _has_host_layers(columns: Columns, places: _Places) -> Mask:
    """(designs,) of which some layers run on a host, and others here."""
    is_hosted = ~places.on_chip & _has_products(columns)
    return np.asarray((columns.by_design(is_hosted.astype(np.float64)) > 0) & places.is_used)


def _needs(profile: HardwareProfile, event: str, quantity: Floats) -> list[Gap]:
    is_left_out = event in profile.excludes or event in profile.prices
    if is_left_out or not (quantity > 0).any():
        return []
    return [Gap(f"no energy for {event}", quantity > 0)]


def _of_network(text: str, where: Mask, *, spoils_rows: bool = False) -> Gap:
    return Gap(text, where, of_network=True, spoils_rows=spoils_rows)


def _notes(
    columns: Columns, profile: HardwareProfile, places: _Places
) -> dict[int, tuple[str, ...]]:
    found: list[list[str]] = [[] for _ in columns.counts]
    of_network = []
    if _is_all_in(profile):
        of_network.append(
            "an all-in energy holds static power, memory, neurons and routing, at the activity at "
            "which it was measured: it is wrong at any other"
        )
    else:
        of_network += [
            f"one {event} is paid per spike: a spike that goes to several places needs more"
            for event in ("message", "hop")
            if event in profile.prices
        ]
    for design in np.flatnonzero(places.is_used):
        found[design] += of_network
    if profile.host_profile is not None:
        for design in np.flatnonzero(_has_host_layers(columns, places)):
            found[design].append("traffic between host and chip is not priced")
    binary = places.on_chip & (columns["binary"] > 0)
    for design in np.unique(columns.design[binary]):
        found[design].append("a spike through a binary weight is a synaptic event like any other")
    return {design: tuple(texts) for design, texts in enumerate(found) if texts}


def _warnings(
    columns: Columns, profile: HardwareProfile, places: _Places
) -> dict[int, tuple[str, ...]]:
    """What makes a total another thing than it seems."""
    found: dict[int, list[str]] = {}
    is_static_paid = bool(profile.power) and profile.switches.static == "counted"
    for design, chips in enumerate(chips_needed(columns, profile)):
        if not places.is_used[design]:
            host = "" if profile.host_profile is None else profile.host_profile.name
            found[design] = [
                f"{profile.name}: no layer of this network runs on the chip: this is the price of "
                f"the host alone, {host}"
            ]
        elif chips > 1:
            static = "the static power of each is paid, " if is_static_paid else ""
            texts = [
                f"{chips:g} chips hold the network: {static}traffic between them is not priced"
            ]
            if "ac" in profile.time:
                texts.append("events are taken one after another: time and static are upper bounds")
            found[design] = [f"{profile.name}: {'; '.join(texts)}"]
    return {design: tuple(texts) for design, texts in found.items()}
