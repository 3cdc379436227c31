"""Operations, addressing and memory: the model of Lemaire et al. in its two published readings.

E. Lemaire et al., An Analytical Estimation of Spiking Neural Networks Energy Efficiency, ICONIP
2022, arXiv 2210.13107. Each layer has its own memories, and each datum is one access:

    E = MAC (e_multiply + e_add) + ACC e_add + sum over memories (accesses x e_access(its size))

Of one evaluation of a formal layer (real input), and of all T steps of a spiking one (unit spikes;
theta_in and theta_out enter and leave it); N_out = C_out H_out W_out, and a matrix has K = 1:

| count           | formal                                   | spiking                             |
|-----------------|------------------------------------------|-------------------------------------|
| MAC             | N_out C_in K_h K_w                       | T N_out if leaky                    |
| ACC             | N_out                                    | theta_in ceil(K/S)^2 C_out          |
|                 |                                          | + T N_out + theta_out               |
| read input      | as MAC; a matrix N_in                    | theta_in                            |
| read weights    | as MAC                                   | theta_in C_out K_h K_w              |
| read bias       | N_out                                    | T N_out                             |
| potential       | 0                                        | theta_in C_out K_h K_w + T N_out    |
| write output    | N_out                                    | theta_out                           |
| addressing MAC  | 0                                        | convolution 2 theta_in, matrix 0    |
| addressing ACC  | N_in + N_out + C_out K_h K_w             | see below                           |

Potentials are read and written as often. In groups, C_in and C_out are those of one group.

`qualia` is qualia-plugin-snn 2.6.0, `spikingjelly` is SpikingJelly 2.0.0. They differ:

| item                   | qualia                        | spikingjelly                           |
|------------------------|-------------------------------|----------------------------------------|
| N_out or T N_out ACC   | always                        | where the layer has a bias             |
| T N_out of a readout   | ACC and potential             | ACC where it has a bias                |
| bias lies              | in a memory of its own        | with the weights                       |
| spiking addressing ACC | theta_in K_h K_w;             | theta_in K_h K_w C_out;                |
|                        | matrix theta_in / N_in N_out  | matrix theta_in N_out                  |
| formal addressing ACC  | matrix N_in N_out             | matrix N_in + N_out                    |
| formal output written  | unless neurons read it        | unless the network has neurons         |

The terms stand where they happen: T N_out, leak, reset and theta_out at the row of neurons, the
ACC of a bias (`bias`), its read (`weight_memory`) and the rest at the layer. Real values that enter
a layer of neurons follow the formal formulas, and the neurons keep theirs; qualia's own code takes
them for events of one step instead.

One extension, which the readings do not have: where a network has one step, and its potentials
start at zero and are not kept, there is no state to read, to leak or to write. What is charged as
potential is then 0, and a spiking layer that feeds no neurons writes its output once, like a formal
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from energy_models.bill import Bill, Gap, Term
from energy_models.columns import Columns, Floats, Mask
from energy_models.curves import curve_of
from energy_models.layers import LayerCounts
from energy_models.models.lemaire_rows import Rows, stateless
from energy_models.profile import HardwareProfile, Memory
from energy_models.units import BITS_PER_BYTE
from energy_models.values import SRAM


@dataclass(frozen=True, slots=True)
class Operations:
    """Additions or multiplications of every row: (rows,) of them."""

    component: str
    event: str
    quantity: Floats


@dataclass(frozen=True, slots=True)
class Accesses:
    """Data read from, or written to, one memory of every row.

    data : (rows,) data      bits : of one datum      capacity_bits : (rows,) size of the memory
    left_out_as : the name under which a profile may leave them out
    """

    component: str
    left_out_as: str
    data: Floats
    bits: int
    capacity_bits: Floats
    is_write: bool = False


def bill(columns: Columns, profile: HardwareProfile) -> Bill:
    """What the profile's reading charges; a row that no formula covers is a gap.

    The quantity of a memory is its accesses x pJ of one, so its constant is a factor.
    """
    memory = profile.own_memory
    rows = Rows.of(columns, profile)
    terms: list[Term] = []
    gaps = list(rows.gaps)
    for one in _operations(columns, rows, profile):
        if one.event in profile.excludes or one.component in profile.excludes:
            continue
        if one.event in profile.prices:
            terms.append(Term(one.component, f"energy.{one.event}", one.quantity))
        elif (one.quantity > 0).any():
            gaps.append(Gap(f"no energy for {one.event}", one.quantity > 0))
    price = _price_of(memory)
    for access in _accesses(columns, rows, profile, memory):
        if access.left_out_as in profile.excludes:
            continue
        energy_pj = price(access)
        is_unknown = np.isnan(energy_pj)
        terms.append(Term(access.component, SRAM, np.where(is_unknown, 0.0, energy_pj)))
        if is_unknown.any():
            what = f"no energy for a memory of this size ({access.component})"
            gaps.append(Gap(what, is_unknown))
    return Bill(tuple(terms), gaps=tuple(gaps), notes=_notes(columns, rows, profile))


def steps_pj(_row: LayerCounts, _profile: HardwareProfile) -> tuple[float, ...]:
    """Empty: additions and multiplications stand in several components."""
    return ()


def _operations(columns: Columns, rows: Rows, profile: HardwareProfile) -> Iterator[Operations]:
    is_qualia = profile.reading == "qualia"
    updates = columns["compare"] * rows.is_neuron  # T N_out: each compares once a step
    leaks = updates * (columns["leak"] > 0)
    for component, mac, acc in (
        ("synaptic_compute", _dense(columns, rows), _accumulates(columns, rows)),
        (
            "neuron_updates",
            leaks,
            updates * is_qualia + _spikes_out(columns) * rows.is_neuron,
        ),
        ("bias", np.zeros(len(columns.rows)), _biases(columns, rows, is_qualia=is_qualia)),
        ("addressing", *_addresses(columns, rows, is_qualia=is_qualia)),
    ):
        yield Operations(component, "multiply", mac)
        yield Operations(component, "add", mac + acc)


def _accesses(
    columns: Columns, rows: Rows, profile: HardwareProfile, memory: Memory
) -> Iterator[Accesses]:
    is_qualia = profile.reading == "qualia"
    theta_in, dense = _spikes_in(columns, rows), _dense(columns, rows)
    fan = theta_in * rows["channels_out"] * rows["kernel"]
    due = rows.times * (rows.is_formal | rows.is_spiking)
    width = memory.weight_bits
    bias_bits = columns["has_bias"] * rows["channels"] * width
    weight_bits = columns["weights"] * width
    together = weight_bits + bias_bits
    has_bias = columns["has_bias"]
    yield Accesses(
        "weight_memory",
        "memory",
        fan + dense,
        width,
        weight_bits if is_qualia else together,
    )
    yield Accesses(
        "weight_memory",
        "memory",
        columns["outputs"] * has_bias * due,
        width,
        bias_bits if is_qualia else together,
    )
    yield from _potentials(columns, rows, fan, memory, is_qualia=is_qualia)
    yield from _signals(columns, rows, memory, is_qualia=is_qualia)


def _potentials(
    columns: Columns, rows: Rows, fan: Floats, memory: Memory, *, is_qualia: bool
) -> Iterator[Accesses]:
    """Read and written alike: by each synaptic event, and by each neuron at each step."""
    is_readout = rows.is_spiking & ~rows.feeds_neurons
    at_layer = fan + columns["outputs"] * rows.times * (is_readout & is_qualia)
    at_neurons = columns["compare"] * rows.is_neuron
    kept = (at_layer + at_neurons) * ~rows.is_stateless
    neurons = np.where(rows.is_neuron, columns["neurons"], rows["size_out"])
    for event, is_write in (("state_read", False), ("state_write", True)):
        yield Accesses(
            "state_memory",
            event,
            kept,
            memory.state_bits,
            neurons * memory.state_bits,
            is_write=is_write,
        )


def _signals(
    columns: Columns, rows: Rows, memory: Memory, *, is_qualia: bool
) -> Iterator[Accesses]:
    """Inputs that are read and outputs that are written: spikes by queues, values by maps."""
    width = memory.activation_bits
    queue_bits = np.full(len(columns.rows), float((memory.fifo_entries or 0) * width))
    by_products = np.where(rows.is_conv, _dense(columns, rows), 0.0)
    by_values = rows["size_in"] * rows.evaluations * rows.times * (rows.is_formal & ~rows.is_conv)
    is_kept_back = rows.feeds_neurons if is_qualia else rows.has_neurons
    is_written = rows.is_formal & ~is_kept_back
    is_written |= rows.is_spiking & rows.is_stateless & ~rows.feeds_neurons
    outputs = columns["outputs"] * rows.times * is_written
    spikes_out = _spikes_out(columns) * rows.is_neuron
    map_in_bits, map_out_bits = rows["size_in"] * width, rows["size_out"] * width
    for data, capacity_bits, is_write in (
        (_spikes_in(columns, rows), queue_bits, False),
        (by_products + by_values, map_in_bits, False),
        (spikes_out, queue_bits, True),
        (outputs, map_out_bits, True),
    ):
        yield Accesses("activation_memory", "memory", data, width, capacity_bits, is_write=is_write)


def _dense(columns: Columns, rows: Rows) -> Floats:
    """N_out C_in K_h K_w of every evaluation that is paid."""
    return columns["dense_mac"] * rows.times * rows.is_formal


def _spikes_in(columns: Columns, rows: Rows) -> Floats:
    """theta_in of the spiking layers."""
    found: Floats = np.nan_to_num(columns["spikes_in"]) * rows.times * rows.is_spiking
    return found


def _spikes_out(columns: Columns) -> Floats:
    found: Floats = np.nan_to_num(columns["spikes_out"])
    return found


def _accumulates(columns: Columns, rows: Rows) -> Floats:
    """theta_in ceil(K/S)^2 C_out."""
    return _spikes_in(columns, rows) * rows["reached"] * rows["channels_out"]


def _biases(columns: Columns, rows: Rows, *, is_qualia: bool) -> Floats:
    """ACC of each output of a layer; in qualia's reading neurons make those of their layers."""
    is_layer = rows.is_formal | rows.is_spiking
    due = ~rows.feeds_neurons if is_qualia else columns["has_bias"] > 0
    return columns["outputs"] * rows.times * (is_layer & due)


def _addresses(columns: Columns, rows: Rows, *, is_qualia: bool) -> tuple[Floats, Floats]:
    """MAC and ACC that find the places in the memories."""
    theta_in = _spikes_in(columns, rows)
    size_in, size_out, kernel = rows["size_in"], rows["size_out"], rows["kernel"]
    of_map = size_in + size_out + rows["channels"] * kernel
    of_matrix = size_in * size_out if is_qualia else size_in + size_out
    formal = np.where(rows.is_conv, of_map, of_matrix) * rows.evaluations * rows.times
    if is_qualia:
        rate = np.divide(theta_in, size_in, out=np.zeros(len(theta_in)), where=size_in > 0)
        spiking = np.where(rows.is_conv, theta_in * kernel, rate * size_out)
    else:
        spiking = theta_in * kernel * rows["channels_out"]
    return 2 * theta_in * rows.is_conv, formal * rows.is_formal + spiking


def _price_of(memory: Memory) -> Callable[[Accesses], Floats]:
    """pJ of all accesses of every row; NaN where the curve has no energy for the size, or for 0."""
    curve = curve_of(memory.sram)

    def price(one: Accesses) -> Floats:
        sizes_bits = np.where(one.capacity_bits > 0, one.capacity_bits, np.nan)
        capacity_bytes = sizes_bits / BITS_PER_BYTE
        each = curve.write_pj(capacity_bytes) if one.is_write else curve.read_pj(capacity_bytes)
        accesses = one.data * -(-one.bits // curve.access_bits)  # a wide datum takes several
        return np.where(one.data > 0, accesses * each, 0.0)

    return price


def _notes(columns: Columns, rows: Rows, profile: HardwareProfile) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    would_have = columns.by_design((rows.is_spiking | rows.is_neuron).astype(np.float64)) > 0
    for index in np.flatnonzero(stateless(columns) & would_have):
        found.setdefault(int(index), []).append(
            "one step from a potential of zero that is not kept: no state is read or written "
            "(an extension: the published readings charge accesses to potentials all the same)"
        )
    is_qualia = profile.reading == "qualia"
    is_cached = (columns["reused_steps"] > 1) & (rows.times == 1)
    is_binary = np.array([row.weight_kind == "binary" for row in columns.rows], dtype=np.bool_)
    for where, text in (
        (
            rows.is_formal & rows.feeds_neurons,
            "real values enter a layer of neurons: every product is a MAC, zeros are not skipped"
            + (" (qualia's own code takes them for events of one step)" if is_qualia else ""),
        ),
        (
            (rows.is_formal | rows.is_spiking) & is_cached,
            "its result is computed once; reading it again at each step is not priced",
        ),
        (rows.is_spiking & is_binary, "binary weights are read as words of the profile's width"),
    ):
        for design, names in _names(columns, where).items():
            found.setdefault(design, []).append(f"{', '.join(names)}: {text}")
    for neurons, layer in rows.guessed:
        found.setdefault(int(columns.design[neurons]), []).append(
            f"{columns.rows[neurons].name}: the counts do not say which layer feeds these neurons: "
            f"taken to be {columns.rows[layer].name}, the one before"
        )
    return {design: tuple(texts) for design, texts in found.items()}


def _names(columns: Columns, where: Mask) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for index in np.flatnonzero(where):
        found.setdefault(int(columns.design[index]), []).append(columns.rows[index].name)
    return found
