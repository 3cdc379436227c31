"""Contradictions: entries of a profile that are well formed each, but cannot stand side by side."""

from __future__ import annotations

from collections.abc import Iterator

from energy_models.constants import Constant, Polynomial, Share
from energy_models.curves import curve_of
from energy_models.errors import ProfileError
from energy_models.events import CLASSES, EVENTS
from energy_models.profile import SWITCHES, Charge, HardwareProfile, Memory, Switches
from energy_models.yamlfile import Place

_SYNAPTIC = (*CLASSES, "ac_convolution")
_SCOPES = "marginal, all-in or as-reported"
_SAME = {"fixed": "inference", "input_output": "input_bit", "neuron": "neuron_active"}


def contradictions(profile: HardwareProfile) -> Iterator[tuple[Place, str]]:
    """Place and message of each."""
    yield from _of_kind(profile)
    if "graded" in profile.energy and "graded" in profile.switches.model_fields_set:
        yield ("switches", "graded"), "has no effect beside energy.graded. Keep one of the two"
    for event in profile.excludes:
        if event in profile.energy:
            yield ("excludes", event), f"is left out, but energy.{event} prices it. Keep one"
    built_in = {*Switches.model_fields, *(f"charge.{name}" for name in Charge.model_fields)}
    built_in |= {"bits", "cell", "fetch", "host", "node"}
    for option, values in profile.options.items():
        if option in built_in:
            yield ("options", option), "is the name of a switch. Choose another name"
        for value, overlay in values.items():
            for event, entry in overlay.items():
                place = ("options", option, value, event)
                if event in profile.excludes:
                    yield place, f"is priced here, but left out by excludes.{event}. Keep one"
                if isinstance(entry, Polynomial) and profile.widths is None:
                    yield place, "is a polynomial in bits, and there are no widths. Give widths"
                if isinstance(entry, Share) and entry.share_of not in profile.energy:
                    yield place, f"no energy.{entry.share_of} to take a share of"


def _of_kind(profile: HardwareProfile) -> Iterator[tuple[Place, str]]:
    """Sections and events that the kind of the profile does not have, or lacks."""
    kind = profile.kind
    for event in profile.energy:
        if event not in EVENTS[kind]:
            yield (
                ("energy", event),
                f"a profile of kind {kind} has no such event. It has: {', '.join(EVENTS[kind])}",
            )
    sections = {
        "power": bool(profile.power) and kind != "chip",
        "capacity": bool(profile.capacity) and kind != "chip",
        "memory": profile.memory is not None and kind not in ("lemaire", "sram"),
        "reading": profile.reading is not None and kind != "lemaire",
        "time": bool(profile.time) and kind != "chip",
        "parallelism": profile.parallelism is not None and kind != "chip",
        "area": profile.area is not None and kind != "chip",
        "widths": profile.widths is not None and kind not in ("op-only", "sram"),
        "host": profile.host is not None and kind not in ("op-only", "chip"),
        "charge": bool(profile.charge.model_fields_set) and not _is_charged(profile),
    }
    for name, one in profile.capacity.items():
        if one.range_given != (None, None):
            yield ("capacity", name), "a range has no effect: how many chips are needed is counted"
    for section, is_wrong in sections.items():
        if is_wrong:
            yield (section,), f"a profile of kind {kind} has no {section}. Leave it out"
    if kind in ("lemaire", "sram") and profile.memory is None:
        yield ("memory",), f"missing. A profile of kind {kind} prices memory"
    if kind == "lemaire" and profile.reading is None:
        yield ("reading",), "missing. Say qualia or spikingjelly"
    for switch in profile.switches.model_fields_set:
        if switch not in SWITCHES[kind]:
            yield (
                ("switches", switch),
                f"has no effect on kind {kind}. It has: {', '.join(SWITCHES[kind])}",
            )
    if profile.memory is not None:
        wrong = list(_of_memory(profile.memory))
        yield from wrong or _of_curve(profile.memory)
        yield from _of_lemaire(profile.memory) if kind == "lemaire" else ()
    yield from _of_chip(profile) if kind == "chip" else _of_arithmetic(profile)


def _is_charged(profile: HardwareProfile) -> bool:
    """Whether products are paid by class, dense or effective."""
    return profile.kind in ("op-only", "sram") or "mac" in profile.energy


def _of_arithmetic(profile: HardwareProfile) -> Iterator[tuple[Place, str]]:
    if not profile.energy:
        yield ("energy",), "has no entry. Give at least one energy"
    for event, entry in profile.energy.items():
        if isinstance(entry, Constant) and entry.scope is not None:
            yield ("energy", event, "scope"), "is for chips. Leave it out"
        if isinstance(entry, Polynomial) and profile.widths is None:
            yield ("energy", event), "is a polynomial in bits, and there are no widths. Give widths"
    widths = profile.widths
    if widths is not None and not widths.smallest <= widths.default <= widths.largest:
        yield ("widths", "default"), f"must lie from {widths.smallest} to {widths.largest}"


def _of_chip(profile: HardwareProfile) -> Iterator[tuple[Place, str]]:
    """An all-in constant holds everything: it leaves no room for a second term."""
    constants = profile.prices
    all_in = [event for event, one in constants.items() if one.scope == "all-in"]
    for event, entry in profile.energy.items():
        if isinstance(entry, Polynomial):
            yield ("energy", event), "a polynomial is for arithmetic. Give value_pj"
        elif entry.scope is None:
            yield ("energy", event, "scope"), f"missing. Say {_SCOPES}"
        elif entry.scope == "all-in" and event not in _SYNAPTIC:
            yield (
                ("energy", event, "scope"),
                f"only the energy of a product can be all-in: {', '.join(_SYNAPTIC)}. Say marginal",
            )
        elif all_in and entry.scope != "all-in":
            yield (
                ("energy", event),
                f"is added to the all-in energy.{all_in[0]}, which holds it already. Keep one",
            )
    if all_in and profile.power:
        yield ("power",), f"energy.{all_in[0]} is all-in and holds it already. Keep one of the two"
    yield from _of_chip_options(profile, is_all_in=bool(all_in))
    yield from _of_chip_excludes(profile)
    if "ac_convolution" in profile.energy and "ac" not in profile.energy:
        yield ("energy", "ac_convolution"), "needs energy.ac beside it, for all other layers"
    if profile.parallelism is not None and "ac" not in profile.time:
        yield ("parallelism",), "has no effect without time.ac. Leave it out"
    if set(profile.time) == {"host"}:
        yield (
            ("time", "host"),
            "is added to the time of the chip. Give time.step or time.ac as well",
        )
    if "neuron" in profile.energy and "neuron_active" in profile.energy:
        yield ("energy", "neuron"), "stands beside energy.neuron_active. Keep one"
    for one, other in (("neuron_active", "neuron_inactive"), ("neuron_inactive", "neuron_active")):
        if one in profile.energy and other not in profile.energy:
            yield ("energy", one), f"needs energy.{other} beside it, or name it energy.neuron"


def _of_chip_options(profile: HardwareProfile, *, is_all_in: bool) -> Iterator[tuple[Place, str]]:
    """An option cannot turn a sum of terms into an all-in energy, nor the other way round."""
    for option, values in profile.options.items():
        for value, overlay in values.items():
            for event, entry in overlay.items():
                place = ("options", option, value, event)
                if event not in EVENTS["chip"]:
                    yield place, f"a chip has no such event. It has: {', '.join(EVENTS['chip'])}"
                elif isinstance(entry, Constant) and entry.scope is None:
                    yield (*place, "scope"), f"missing. Say {_SCOPES}"
                elif isinstance(entry, Constant) and (entry.scope == "all-in") != is_all_in:
                    yield (
                        (*place, "scope"),
                        "an option cannot make an energy all-in, or an all-in one marginal. "
                        "Write a profile of its own",
                    )


def _of_chip_excludes(profile: HardwareProfile) -> Iterator[tuple[Place, str]]:
    """What is left out under one name and priced under another."""
    if "static" in profile.excludes and profile.power:
        yield ("excludes", "static"), "is left out, but power prices it. Keep one"
    options = {e for values in profile.options.values() for one in values.values() for e in one}
    for left_out, event in _SAME.items():
        if left_out in profile.excludes and event in {*profile.energy, *options}:
            yield ("excludes", left_out), f"is left out, but energy.{event} prices it. Keep one"


def _of_memory(memory: Memory) -> Iterator[tuple[Place, str]]:
    sram = memory.sram
    place = ("memory", "sram")
    needed = {
        "cacti": ("node_nm", "cell"),
        "points": ("points",),
        "line": ("floor_pj", "per_bit_pj"),
    }
    for name in needed[sram.curve]:
        if getattr(sram, name) in (None, ()):
            yield (*place, name), f"missing. The curve {sram.curve} needs it"
    for curve, names in needed.items():
        for name in names:
            if curve != sram.curve and name in sram.model_fields_set:
                yield (*place, name), f"is for the curve {curve}, not {sram.curve}. Leave it out"
    sizes = [point.capacity_bytes for point in sram.points]
    if sizes != sorted(set(sizes)):
        yield (*place, "points"), "must go from the smallest to the largest capacity"
    if (sram.low_factor is None) != (sram.high_factor is None):
        yield place, "a range has two ends. Give low_factor and high_factor"
    elif sram.low_factor is not None and sram.high_factor is not None:
        if not sram.low_factor <= 1 <= sram.high_factor:
            yield (*place, "low_factor"), "the range must hold 1"
        if not sram.range_source:
            yield (*place, "range_source"), "missing. Say where the range is from"
    if memory.dram is not None and not isinstance(memory.dram.bits, int):
        yield ("memory", "dram", "bits"), "is unpublished. How many bits does an access bring?"
    data = {
        "weight": memory.weight_bits,
        "state": memory.state_bits,
        "activation": memory.activation_bits,
    }
    narrow = {name: bits for name, bits in data.items() if bits < sram.access_bits}
    if memory.fetch is None and narrow:
        name, bits = next(iter(narrow.items()))
        yield (
            ("memory", "sram", "access_bits"),
            f"an access of {sram.access_bits} bits would be paid for a {name} of {bits} bits. "
            "Say memory.fetch: packed (as many to an access as fit), or one-access-per-datum",
        )


def _of_curve(memory: Memory) -> Iterator[tuple[Place, str]]:
    """What is well formed, and makes no curve."""
    try:
        curve_of(memory.sram)
    except ProfileError as error:
        for problem in error.problems:
            yield ("memory", "sram"), problem


def _of_lemaire(memory: Memory) -> Iterator[tuple[Place, str]]:
    """Its formulas count data, each an access, between queues and memories on the chip."""
    if memory.fetch == "packed":
        yield (
            ("memory", "fetch"),
            "the lemaire model pays one access a datum. Say one-access-per-datum, or give the "
            "energy of a datum's share of an access as that of a narrower one",
        )
    if memory.fifo_entries is None:
        yield ("memory", "fifo_entries"), "missing. A profile of kind lemaire has queues of spikes"
    if memory.dram is not None:
        yield ("memory", "dram"), "has no effect on kind lemaire. Leave it out"
