"""Operations, and the memories that feed them: SRAM by size, from a table or from points.

Every layer has a memory for its weights, its states and its inputs, each as large as what it holds.
Operations are charged as by the op-only kind. Beside them, per sample:

- weights: one per product that is paid (`reuse: none`), or at most every weight once per evaluation
  (`full`), and per step where spikes drive the layer.
- inputs: a layer charged dense reads each value once per evaluation, or once per product; one
  driven by spikes scans one bit per position.
- outputs: neurons write one bit each and step; a layer without neurons writes its values; those of
  a layer that is evaluated once for T steps are written once and read T times.
- states: read and written as the counts say: a single step from zero keeps none.

A memory that the curve does not span lies in the DRAM, where the profile has one. Static power of
the memories needs a clock, and is not priced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from energy_models.bill import Bill, Gap, NetworkTerm, Term
from energy_models.columns import Columns, Floats
from energy_models.constants import Constant
from energy_models.curves import curve_of
from energy_models.events import CLASSES
from energy_models.models import op_only
from energy_models.profile import HardwareProfile, Memory
from energy_models.srams import SramCurve
from energy_models.units import BITS_PER_BYTE, BYTES_PER_KIB
from energy_models.values import SRAM

DRAM = "memory.dram"
_FETCHES = "sram fetches"
_ROUNDED = 1e-9  # totals are divided by the number of samples


@dataclass(frozen=True)
class Traffic:
    """Data that move between a memory and the arithmetic.

    data : (rows,) how many      bits : (rows,) of one      held_bits : (rows,) size of the memory
    """

    component: str
    what: str
    data: Floats
    bits: Floats
    held_bits: Floats
    is_write: bool = False


def bill(columns: Columns, profile: HardwareProfile) -> Bill:
    """What operations and memories charge."""
    memory = profile.own_memory
    compute = op_only.bill(columns, profile)
    curve = curve_of(memory.sram)
    terms: list[Term] = []
    gaps = list(compute.gaps)
    is_unknown = (columns["first_elements"] == 0) & (columns.dense > 0)
    if is_unknown.any():
        gaps.append(Gap("what flowed in is not recorded: count it again", is_unknown))
    for traffic in _traffic(columns, profile, memory):
        found = _priced(traffic, curve, memory)
        terms += found.terms
        gaps += found.gaps
    if memory.dram is None and "input_output" not in profile.excludes:
        text = "no memory.dram: nothing brings the sample in (or leave out input_output)"
        gaps.append(Gap(text, np.ones(len(columns.counts), dtype=np.bool_), of_network=True))
    return Bill(
        terms=(*compute.terms, *terms),
        network=_input_output(columns, memory),
        gaps=tuple(gaps),
        notes=_notes(columns, profile, memory),
    )


def areas_mm2(columns: Columns, profile: HardwareProfile) -> Floats:
    """(designs,) area of the memories of all layers; NaN where the curve has no area for one."""
    memory = profile.own_memory
    curve = curve_of(memory.sram)
    total = np.zeros(len(columns.counts))
    places: dict[str | int, Floats] = {}
    for index, traffic in enumerate(_traffic(columns, profile, memory)):
        # what is written and read again lies in one memory; all others are apart
        place = traffic.what if traffic.what in ("states", "kept outputs") else index
        held = np.where(traffic.data > 0, traffic.held_bits, 0.0)
        places[place] = np.maximum(places.get(place, held), held)
    for held in places.values():
        is_there = held > 0
        area = curve.area_mm2(np.where(is_there, held / BITS_PER_BYTE, 1.0))
        total += columns.by_design(np.where(is_there, area, 0.0))
    return total


def _traffic(columns: Columns, profile: HardwareProfile, memory: Memory) -> Iterator[Traffic]:
    policy = op_only.Policy.of(columns, profile)
    evaluations = columns["evaluations"]
    dense, effective = (np.zeros(len(columns.rows)) for _ in range(2))
    for name in CLASSES:
        dense = dense + columns[f"dense_{name}"] * policy.dense[name] * policy.times
        effective = effective + columns[name] * ~policy.dense[name] * policy.times
    has_weights = columns["weights"] > 0
    is_full = profile.switches.reuse == "full"
    fetched_once = columns["weights"] * evaluations * policy.times
    at_most = np.minimum(effective, _fetched_by_step(columns) * policy.times)
    weights = np.minimum(dense, fetched_once) + at_most if is_full else dense + effective
    is_binary = columns["has_binary_weights"] > 0
    weight_bits = np.where(is_binary, columns["binary_weight_bits"], memory.weight_bits)
    yield Traffic(
        "weight_memory",
        "weights",
        weights * has_weights,
        weight_bits,
        columns["weights"] * weight_bits,
    )
    activation_bits = np.where(columns["is_unit"] > 0, 1.0, memory.activation_bits)
    of_values = dense + effective * (columns["is_unit"] == 0)  # spikes are scanned, not fetched
    per_product = of_values * (0.0 if is_full else 1.0)
    for elements in (columns["first_elements"], columns["second_elements"]):
        read = np.where(per_product > 0, per_product, elements * policy.times)
        yield Traffic(
            "activation_memory",
            "inputs",
            read * (elements > 0),
            activation_bits,
            elements / evaluations * activation_bits,
        )
    is_layer = (columns["is_neuron"] == 0) & (columns["has_neurons"] == 0)
    yield Traffic(
        "activation_memory",
        "outputs",
        columns["outputs"] * is_layer * policy.times,
        np.full(len(columns.rows), float(memory.activation_bits)),
        columns["outputs"] / evaluations * memory.activation_bits,
        is_write=True,
    )
    serves_steps = np.where(policy.times > 1, 1.0, columns["reused_steps"])  # or made anew at each
    is_kept = (columns["has_neurons"] > 0) & (serves_steps > 1)
    held = columns["outputs"] / evaluations * memory.activation_bits
    values = columns["outputs"] * is_kept
    wide = np.full(len(columns.rows), float(memory.activation_bits))
    yield Traffic("activation_memory", "kept outputs", values, wide, held, is_write=True)
    yield Traffic("activation_memory", "kept outputs", values * serves_steps, wide, held)
    spikes = columns["compare"] * columns["is_neuron"]
    one_bit = np.ones(len(columns.rows))
    yield Traffic("activation_memory", "spikes", spikes, one_bit, columns["neurons"], is_write=True)
    state_bits = np.full(len(columns.rows), float(memory.state_bits))
    held = columns["neurons"] * state_bits
    for event, is_write in (("state_read", False), ("state_write", True)):
        yield Traffic("state_memory", "states", columns[event], state_bits, held, is_write)


def _fetched_by_step(columns: Columns) -> Floats:
    """(rows,) weights that effective products fetch if no step fetches one of them twice.

    A step without a spike fetches none. Where the steps do not tell all products, every weight once
    per evaluation.
    """
    known = columns.derived.get(_FETCHES)
    if isinstance(known, np.ndarray):
        return known
    found = columns["weights"] * columns["evaluations"]
    for index, row in enumerate(columns.rows):
        if len(row.steps) < 2 or row.weights == 0:
            continue
        products = [step.mac + step.ac + step.graded + step.binary for step in row.steps]
        if abs(sum(products) - row.ops.effective) <= _ROUNDED * row.ops.effective:
            at_most = found[index] / len(products)
            found[index] = sum(min(one, at_most) for one in products)
    columns.derived[_FETCHES] = found
    return found


def _priced(traffic: Traffic, curve: SramCurve, memory: Memory) -> Bill:
    """Accesses at the energy of a memory of that size, or of the DRAM, or a gap."""
    happened = traffic.data > 0
    held_bytes = np.where(happened, traffic.held_bits / BITS_PER_BYTE, 1.0)
    access_pj = curve.write_pj(held_bytes) if traffic.is_write else curve.read_pj(held_bytes)
    is_spanned = np.isfinite(access_pj)
    here = traffic.data * (happened & is_spanned)
    accesses = _accesses(here, traffic.bits, curve.access_bits, memory)
    terms = [Term(traffic.component, SRAM, accesses * np.nan_to_num(access_pj))]
    beyond = happened & ~is_spanned
    if not beyond.any():
        return Bill(tuple(terms))
    if memory.dram is not None:
        moved = _accesses(traffic.data * beyond, traffic.bits, _width(memory.dram), memory)
        return Bill((*terms, Term(traffic.component, DRAM, moved)))
    low, high = (limit / BYTES_PER_KIB for limit in curve.limit_bytes)
    gaps = tuple(
        Gap(
            f"{held_bytes[row] / BYTES_PER_KIB:.4g} KiB of {traffic.what}: the SRAM curve goes "
            f"from {low:.4g} to {high:.4g} KiB, and the profile has no memory.dram",
            np.arange(len(beyond)) == row,
        )
        for row in np.flatnonzero(beyond)
    )
    return Bill(tuple(terms), gaps=gaps)


def _accesses(data: Floats, bits: Floats, access_bits: int, memory: Memory) -> Floats:
    """A datum wider than an access takes several; packed, a part of one."""
    each = bits / access_bits
    return data * (np.ceil(each) if memory.fetch == "one-access-per-datum" else each)


def _input_output(columns: Columns, memory: Memory) -> tuple[NetworkTerm, ...]:
    """The sample comes from the DRAM, where the profile has one.

    Events are read at every step; real values that enter at every one of T steps are taken to be
    the same sample, and read once.
    """
    if memory.dram is None:
        return ()
    bits = np.where(columns["is_unit"] > 0, 1.0, memory.activation_bits)
    steps = columns.time_steps[columns.design]
    is_repeated = (columns["is_real"] > 0) & (steps > 1) & (columns["evaluations"] == steps)
    elements = columns["first_elements"] / np.where(is_repeated, steps, 1.0)
    accesses = _accesses(elements, bits, _width(memory.dram), memory)
    entering = np.zeros(len(columns.counts))
    is_fed = columns["first_elements"] > 0
    designs, first_rows = np.unique(columns.design[is_fed], return_index=True)
    entering[designs] = accesses[is_fed][first_rows]
    return (NetworkTerm("input_output", DRAM, entering),)


def _width(dram: Constant) -> int:
    if not isinstance(dram.bits, int):
        raise ValueError("a DRAM of unpublished width")  # refused when the profile was loaded
    return dram.bits


def _notes(
    columns: Columns, profile: HardwareProfile, memory: Memory
) -> dict[int, tuple[str, ...]]:
    texts = [
        f"memories: {memory.weight_bits}-bit weights, {memory.state_bits}-bit states, "
        f"{memory.activation_bits}-bit activations, {memory.fetch}; {curve_of(memory.sram).note}"
    ]
    if memory.dram is not None:
        texts.append(
            "the sample, which is what the first layer reads, comes from the DRAM: events of every "
            "step; real values once, also where they enter at every step"
        )
    return dict.fromkeys(range(len(columns.counts)), tuple(texts))
