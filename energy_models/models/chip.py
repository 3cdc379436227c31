"""An affine chip: static power x time + events x energy + a fixed part.

E = P_static t + N_syn e_syn + N_active e_active + N_inactive e_inactive + N_spikes e_spike
+ E_fixed, with t = max(T t_step, N_syn t_syn / parallelism) + t_host. A marginal constant needs the
static power; an all-in constant is the energy of everything divided by the events, and excludes
every other term. What a source reports without saying which of the two it is completes no total.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from energy_models.bill import Bill, Duration, Gap, NetworkTerm, Term
from energy_models.columns import Columns, Floats, Mask
from energy_models.counts import ModelCounts
from energy_models.events import CLASSES
from energy_models.layers import LayerCounts
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
    is_spiking = _is_spiking(columns)
    events = (columns["ac"] + columns["binary"]) * is_spiking
    terms, gaps = _synaptic(columns, profile, events)
    gaps += _as_reported(columns, profile)
    hosted = _hosted(columns, profile, ~is_spiking)
    is_all_in = _is_all_in(profile)
    network: list[NetworkTerm] = []
    duration = _duration(columns, profile, events)
    if not is_all_in:
        neurons = _neurons(columns, profile)
        terms += neurons.terms
        gaps += neurons.gaps
        rest = _network(columns, profile, duration)
        network += rest.network
        gaps += rest.gaps
    return Bill(
        terms=(*terms, *hosted.terms),
        network=tuple(network),
        gaps=(*gaps, *hosted.gaps),
        duration=duration,
        notes=_notes(columns, profile, is_spiking),
    )


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

    The weights of the host's layers take no place on a chip.
    """
    needed = np.ones(len(columns.counts))
    is_spiking = _is_spiking(columns)
    for name, field in (("neurons", "neurons"), ("synapses", "weights")):
        if name in profile.capacity:
            held = columns.by_design(columns[field] * is_spiking)
            needed = np.maximum(needed, np.ceil(held / profile.capacity[name].value))
    return needed


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


def _as_reported(columns: Columns, profile: HardwareProfile) -> list[Gap]:
    everywhere = np.ones(len(columns.counts), dtype=np.bool_)
    return [
        _of_network(f"energy.{event} is as reported: what it holds is not published", everywhere)
        for event, one in profile.prices.items()
        if one.scope == "as-reported"
    ]


def _hosted(columns: Columns, profile: HardwareProfile, is_other: Mask) -> Bill:
    """What is no synaptic event: by a price of the chip's own, by the host, or a gap."""
    products = [*CLASSES, *(f"dense_{name}" for name in CLASSES)]
    fields = [*products, "graded_accumulates", "has_bias"]
    rest = columns.with_fields(**{name: columns[name] * is_other for name in fields})
    if "mac" in profile.prices:
        return op_only.bill(_without_neurons(rest), profile)
    host = profile.host_profile
    if host is None:
        return Bill((), gaps=tuple(_homeless(rest, profile)))
    theirs = op_only.bill(_without_neurons(rest), host)
    return Bill(
        tuple(Term("host", f"host.{term.constant}", term.quantity) for term in theirs.terms),
        gaps=tuple(Gap(f"host {host.name}: {gap.text}", gap.where) for gap in theirs.gaps),
    )


def _without_neurons(columns: Columns) -> Columns:
    nothing = np.zeros(len(columns.rows))
    events = ("state_read", "leak", "integrate", "compare", "reset", "state_write")
    return columns.with_fields(**dict.fromkeys(events, nothing))


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


def _network(columns: Columns, profile: HardwareProfile, duration: Duration | None) -> Bill:
    """Static power, the fixed part, and what enters."""
    designs = len(columns.counts)
    everywhere = np.ones(designs, dtype=np.bool_)
    terms, gaps = [], []
    if profile.switches.static == "counted" and "static" not in profile.excludes:
        if not profile.power:
            gaps.append(_of_network("no static power", everywhere))
        elif duration is None:
            gaps.append(_of_network("no time for the static power to flow", everywhere))
        else:
            chips = chips_needed(columns, profile)
            terms += [
                NetworkTerm("static", f"power.{name}", chips, timed=True) for name in profile.power
            ]
    if "inference" in profile.prices:
        terms.append(NetworkTerm("fixed", "energy.inference", np.ones(designs)))
    elif "fixed" not in profile.excludes and "inference" not in profile.excludes:
        gaps.append(_of_network("no energy for inference (the fixed part)", everywhere))
    if "input_bit" in profile.prices:
        terms.append(NetworkTerm("input_output", "energy.input_bit", _input_bits(columns)))
    elif "input_output" not in profile.excludes and "input_bit" not in profile.excludes:
        gaps.append(_of_network("no energy for input_bit (input and output)", everywhere))
    return Bill((), network=tuple(terms), gaps=tuple(gaps))


def _input_bits(columns: Columns) -> Floats:
    """(designs,) bits of one sample: the values that enter the first layer; a spike has one bit."""
    found = []
    for counts in columns.counts:
        first = next((row for row in counts.layers if row.operands), None)
        operand = None if first is None else first.operands[0]
        bits = 0 if operand is None else 1 if operand.kind == "unit" else operand.bits
        found.append(0.0 if operand is None else operand.elements * bits)
    return np.array(found)


def _duration(columns: Columns, profile: HardwareProfile, events: Floats) -> Duration | None:
    times = profile.time
    if "step" not in times and "ac" not in times:
        return None
    return Duration(
        steps=columns.time_steps,
        events=columns.by_design(events),
        step="time.step" if "step" in times else None,
        event="time.ac" if "ac" in times else None,
        parallelism="parallelism" if profile.parallelism is not None else None,
        host="time.host" if "host" in times else None,
    )


def _needs(profile: HardwareProfile, event: str, quantity: Floats) -> list[Gap]:
    is_left_out = event in profile.excludes or event in profile.prices
    if is_left_out or not (quantity > 0).any():
        return []
    return [Gap(f"no energy for {event}", quantity > 0)]


def _of_network(text: str, where: Mask) -> Gap:
    return Gap(text, where, of_network=True)


def _notes(
    columns: Columns, profile: HardwareProfile, is_spiking: Mask
) -> dict[int, tuple[str, ...]]:
    found: list[list[str]] = [[] for _ in columns.counts]
    is_all_in = _is_all_in(profile)
    is_static_paid = bool(profile.power) and profile.switches.static == "counted" and not is_all_in
    of_network = []
    if is_all_in:
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
    for design, chips in enumerate(chips_needed(columns, profile)):
        found[design] += of_network
        if chips > 1:
            static = "the static power of each is paid, " if is_static_paid else ""
            found[design].append(
                f"{chips:g} chips hold the network: {static}the traffic between them is not priced"
            )
            if "ac" in profile.time:
                found[design].append(
                    "the time is that of chips which take their events one after another: "
                    "an upper bound"
                )
    if profile.host_profile is not None and profile.time and "host" not in profile.time:
        for design in np.unique(columns.design[~is_spiking]):
            found[int(design)].append("the time that the host needs is not known, and not counted")
    binary = is_spiking & (columns["binary"] > 0)
    for design in np.unique(columns.design[binary]):
        found[int(design)].append(
            "a spike through a binary weight is a synaptic event like any other"
        )
    return {design: tuple(texts) for design, texts in enumerate(found) if texts}
