"""Baselines: the ordinary network (ANN) of the same shape, priced as a fair opponent.

One dense evaluation of each layer, with real inputs and weights, without neurons: a ReLU costs
nothing in this model. Beside 32-bit floating point stand 8-bit integers, integers of as many bits
as T steps can tell apart (ceil(log2(T + 1)): Yan et al., arXiv 2409.08290), and 8-bit
hardware that skips zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from energy_models.counts import ModelCounts
from energy_models.errors import CountsError
from energy_models.estimate import estimate
from energy_models.events import CLASSES
from energy_models.layers import LayerCounts, OpCounts, OperandCounts, StepCounts
from energy_models.profile import SWITCHES, Charge, HardwareProfile, Switches
from energy_models.rates import evaluations, is_spiking_side
from energy_models.shelf import load_profile

UNMEASURED = "nobody measured its accuracy"
_OF_ANN = (
    "ANN of the same shape: one dense evaluation of each layer with real inputs and weights",
    "its ReLU, like all element-wise work, costs nothing",
)
_SKIPS = (
    "skips zeros: an activation is taken to be non-zero where the neuron spiked at least once, "
    "as many as there were spikes and at most all; where not one spike came, all are; real inputs "
    "have the zeros that were measured"
)
_CHIP = (
    "operations of a 45 nm ANN against a chip: the chip's own energy holds memory, routing and "
    "static power that this baseline does not; not like against like"
)
_HOST = "+host="
_SHIPPED = ("cmos45-fp32", "cmos45-int8", "cmos45-bits")
_NARROW_STATE = 16  # bits of a potential beside integer weights, as in the shipped profiles
_NARROWEST, _WIDEST = 1, 8  # bits: below 8 a fit of its own, 8 itself is int8


@dataclass(frozen=True, slots=True)
class Baseline:
    """The ANN of the same shape on one profile, beside the network itself in the same numbers.

    name : `ANN int8`      profile : name of the profile that prices both
    total_pj : energy of the ANN, None while something is missing
    same_numbers_pj : energy of this network on `network_on`, None if incomplete
    missing : what could not be priced, or why there is no ANN
    accuracy_note : who measured the accuracy of such an ANN
    hardware : the loaded profile, None where there is none
    network_on : the profile that prices this network: that of the ANN, so that both are in the same
        numbers; or the chip, which is held against the ANN itself
    """

    name: str
    profile: str
    total_pj: float | None
    same_numbers_pj: float | None
    missing: tuple[str, ...] = ()
    accuracy_note: str = UNMEASURED
    notes: tuple[str, ...] = ()
    hardware: HardwareProfile | None = field(default=None, repr=False, compare=False)
    network_on: str = ""

    @property
    def ratio(self) -> float | None:
        """Energy of the ANN over energy of this network: above 1, this network is cheaper."""
        if self.total_pj is None or not self.same_numbers_pj:
            return None
        return self.total_pj / self.same_numbers_pj

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "profile": self.profile,
            "total_pj": self.total_pj,
            "same_numbers_pj": self.same_numbers_pj,
            "network_on": self.network_on,
            "ratio": self.ratio,
            "missing": list(self.missing),
            "accuracy_note": self.accuracy_note,
            "notes": list(self.notes),
        }


def is_baseline_due(counts: ModelCounts) -> bool:
    """Whether the network spikes, or has layers of binary weights: a plain ANN has no opponent."""
    return any(
        (row.operator == "neuron" and row.spikes_out is not None) or row.weight_kind == "binary"
        for row in counts.layers
    )


def ann_of(counts: ModelCounts) -> ModelCounts:
    """The ANN of the same shape: every layer once, dense, real by real; no neurons, no time.

    Its effective products, for hardware that skips zeros: those of real inputs as measured, those
    of spikes as if each spike fell on an element of its own, and never more than dense.

    Raises CountsError where the counts of T steps do not tell those of one.
    """
    rows = [row for row in counts.layers if row.operator != "neuron"]
    problems, layers = [], []
    for row in rows:
        try:
            layers.append(_ann_layer(row, evaluations(row, counts.time_steps)))
        except CountsError as error:
            problems.append(str(error))
    if problems:
        raise CountsError("\n".join(f"no ANN of the same shape: {text}" for text in problems))
    return replace(
        counts,
        layers=tuple(layers),
        time_steps=1,
        time_steps_from="",
        spread={},
        warnings=(),
        assumptions=_OF_ANN,
        modules=(),
    )


def baselines(
    counts: ModelCounts,
    profile: HardwareProfile,
    accuracy_notes: Mapping[str, str] | None = None,
) -> tuple[Baseline, ...]:
    """The opponents of a network on a profile; none for a plain ANN.

    A profile that prices memory is the opponents' hardware as well. Else they are priced by their
    operations at 45 nm, and on the profile itself if it has a price for a MAC; the conventions of
    an op-only profile hold for them too.

    accuracy_notes : name of a baseline -> what is known of its accuracy
    """
    if not is_baseline_due(counts):
        return ()
    told = accuracy_notes or {}
    ann, problems = None, tuple[str, ...]()
    try:
        ann = ann_of(counts)
    except CountsError as error:
        problems = tuple(str(error).splitlines())
    network = _Network(counts, profile, ann, problems)
    return tuple(
        _baseline(name, hardware, network, notes, told.get(name, UNMEASURED))
        for name, hardware, notes in _opponents(counts, profile)
    )


@dataclass(frozen=True, slots=True)
class _Network:
    """What is compared: the network where it was asked for, and its ANN, or why there is none."""

    counts: ModelCounts
    profile: HardwareProfile
    ann: ModelCounts | None
    problems: tuple[str, ...]


Opponent = tuple[str, HardwareProfile | None, tuple[str, ...]]


def _opponents(counts: ModelCounts, profile: HardwareProfile) -> list[Opponent]:
    bits = math.ceil(math.log2(counts.time_steps + 1))
    of_steps = (
        f"as many bits as tell {counts.time_steps + 1} spike counts apart: {bits}",
        "weights are taken to be as narrow as activations",
    )
    base = "cmos45-int8" if bits == _WIDEST else f"cmos45-bits+bits={bits}"
    if base != "cmos45-int8" and counts.ops.binary + counts.ops.dense_binary > 0:
        base += "+binary=fit"  # of the same fit as the MAC beside it
    if profile.kind == "lemaire":
        return _on_the_same_hardware(profile)
    if profile.kind == "sram":
        return _with_memories(profile, base, bits, of_steps)
    quantised = _like(base, profile) if _NARROWEST <= bits <= _WIDEST else None
    found: list[Opponent] = [
        ("ANN fp32", _like("cmos45-fp32", profile), ()),
        ("ANN int8", _like("cmos45-int8", profile), ()),
        (f"ANN {bits}-bit", quantised, of_steps),
        (
            "ANN int8, zero-skipping",
            _charging(_like("cmos45-int8", profile), "effective"),
            (_SKIPS,),
        ),
    ]
    if profile.kind == "chip":
        found = [(name, hardware, (*notes, _CHIP)) for name, hardware, notes in found]
    is_among_them = profile.name.partition("+")[0] in _SHIPPED
    if "mac" not in profile.prices or is_among_them:
        return found
    return [_on_the_same_hardware(profile)[0], *found]


def _on_the_same_hardware(profile: HardwareProfile) -> list[Opponent]:
    """The ANN with its memory; zero skipping where the profile knows it."""
    if "charge.mac" not in profile.choices():
        return [("ANN, same hardware", profile, ())]
    again = "a product that is skipped fetches no weight"
    return [
        ("ANN, same hardware", _charging(profile, "dense"), ()),
        ("ANN, same hardware, zero-skipping", _charging(profile, "effective"), (_SKIPS, again)),
    ]


def _with_memories(
    profile: HardwareProfile, base: str, bits: int, of_steps: tuple[str, ...]
) -> list[Opponent]:
    """On the very hardware, and in other numbers between memories of other widths."""
    plain = _charging(profile, "dense")
    narrow = _in_numbers(plain, base, bits) if _NARROWEST <= bits <= _WIDEST else None
    others: dict[str, tuple[HardwareProfile | None, tuple[str, ...]]] = {
        "ANN fp32": (_in_numbers(plain, "cmos45-fp32", 32), ()),
        "ANN int8": (_in_numbers(plain, "cmos45-int8+accumulator=32-bit", 8), ()),
        f"ANN {bits}-bit": (narrow, of_steps),
    }
    others.pop(f"ANN {profile.number_format}", None)  # that is the same hardware
    return [
        *_on_the_same_hardware(profile),
        *((name, hardware, notes) for name, (hardware, notes) in others.items()),
    ]


def _in_numbers(profile: HardwareProfile, base: str, bits: int) -> HardwareProfile:
    """The same memories around the arithmetic of another profile, for weights of so many bits."""
    numbers = load_profile(base)
    memory = profile.own_memory
    widths = {
        "weight_bits": bits,
        "activation_bits": bits,
        "state_bits": max(bits, _NARROW_STATE),
    }
    return profile.model_copy(
        update={
            "name": f"{profile.name}, in {numbers.number_format}",
            "number_format": numbers.number_format,
            "energy": numbers.energy,
            "memory": memory.model_copy(update=widths),
        }
    )


def _charging(profile: HardwareProfile, mac: Literal["dense", "effective"]) -> HardwareProfile:
    """The profile with MACs charged dense or effective; its name says so."""
    if profile.charge.mac == mac:
        return profile
    device, is_hosted, host = profile.name.partition(_HOST)
    words = [text for text in device.split("+") if not text.startswith("charge.mac=")]
    name = "+".join([*words, f"charge.mac={mac}"])
    return profile.model_copy(
        update={
            "name": f"{name}{is_hosted}{host}",
            "charge": profile.charge.model_copy(update={"mac": mac}),
        }
    )


def _like(base: str, profile: HardwareProfile) -> HardwareProfile:
    """A shipped profile under the conventions and options of an op-only profile.

    All but the width and how MACs are charged: these are what tells the opponents apart.
    """
    plain = load_profile(base)
    if profile.kind != "op-only":
        return plain
    asked = {
        **{name: getattr(profile.switches, name) for name in SWITCHES["op-only"]},
        **{f"charge.{name}": getattr(profile.charge, name) for name in CLASSES},
    }
    usual = {
        **{name: getattr(Switches(), name) for name in asked if name in Switches.model_fields},
        **{f"charge.{name}": getattr(Charge(), name) for name in CLASSES},
    }
    asked = {name: value for name, value in asked.items() if value != usual[name]}
    own, _, _ = profile.name.partition(_HOST)  # what follows are options of the host
    written = (text.partition("=") for text in own.split("+")[1:])
    asked |= {name: value for name, _, value in written if name in profile.choices()}
    choices = plain.choices()
    kept = [
        f"{name}={value}"
        for name, value in asked.items()
        if value in choices.get(name, ()) and name not in ("bits", "charge.mac")
    ]
    return load_profile("+".join([base, *kept])) if kept else plain


def _baseline(
    name: str,
    hardware: HardwareProfile | None,
    network: _Network,
    notes: tuple[str, ...],
    accuracy_note: str,
) -> Baseline:
    """One opponent of a network that is asked for on a profile."""
    if hardware is None:
        unpriced = f"no profile of so many bits: from {_NARROWEST} to {_WIDEST} are priced"
        return Baseline(name, "", None, None, (unpriced,), accuracy_note, notes)
    on = network.profile if network.profile.kind == "chip" else hardware
    own = estimate(network.counts, on)
    energy = None if network.ann is None else estimate(network.ann, hardware)
    missing = network.problems if energy is None else energy.missing
    return Baseline(
        name=name,
        profile=hardware.name,
        total_pj=None if energy is None else energy.total_pj,
        same_numbers_pj=own.total_pj,
        missing=(*missing, *(f"this network: {text}" for text in own.missing)),
        accuracy_note=accuracy_note,
        notes=(*_OF_ANN, *notes, *_of_steps(network.counts)),
        hardware=hardware,
        network_on=on.name,
    )


def _of_steps(counts: ModelCounts) -> tuple[str, ...]:
    """An ANN sees a static sample once; of a sequence it would need all steps."""
    first = next((row for row in counts.layers if row.operands), None)
    if counts.time_steps == 1 or first is None or first.reused_steps > 1:
        return ()
    return (
        "the first layer runs at every step: if the data differ from step to step (events, "
        f"sequences), an ANN has to run at each, for {counts.time_steps} times this energy",
    )


def _ann_layer(row: LayerCounts, times: int) -> LayerCounts:
    """One evaluation of a layer whose counts add up over so many."""
    dense = row.ops.dense / times
    effective = row.ops.effective / times
    if not row.operands and row.spikes_in is not None:
        effective *= times  # nobody knows how many elements spiked: all of them apart
    for operand in row.operands:
        effective *= _denser(operand, times)
    is_silent = any(is_spiking_side(one) and one.nonzero == 0 for one in row.operands)
    effective = dense if is_silent else min(effective, dense)
    calls = max(1, len(row.calls) // times)
    return replace(
        row,
        ops=OpCounts(mac=effective, dense_mac=dense),
        weight_bits=None,  # it was never trained: no width in which it ran
        activation_bits=None,
        input_kind="real",
        weight_kind="activation" if row.weight_kind == "activation" else "real",
        unit_share=None,
        outputs=row.outputs / times,
        reused_steps=1,
        spikes_in=None,
        spikes_out=None,
        operands=tuple(_real(operand, times) for operand in row.operands),
        call_operands=(),
        steps=(),
        calls=(StepCounts(mac=effective / calls),) * calls,
    )


def _denser(operand: OperandCounts, times: int) -> float:
    """Share of non-zero elements of the ANN over that of one step: spikes of T steps fall apart."""
    if not is_spiking_side(operand) or operand.nonzero == 0:
        return 1.0
    return min(float(times), operand.elements / operand.nonzero)


def _real(operand: OperandCounts, times: int) -> OperandCounts:
    elements = operand.elements / times
    nonzero = min(elements, operand.nonzero / times * _denser(operand, times))
    is_data = operand.kind == "real"
    return OperandCounts(
        kind="real",
        elements=elements,
        nonzero=nonzero,
        is_signed=is_data and operand.is_signed,
        bits=operand.bits if is_data else 0,
    )
