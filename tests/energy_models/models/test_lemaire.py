"""Lemaire's formulas in both readings: counts by hand, sizes of memories, laws, and gaps."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy_models import (
    Geometry,
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    estimate,
    load_profile,
)
from energy_models.bill import Bill
from energy_models.columns import Columns
from energy_models.curves import curve_of
from energy_models.models import kinds, lemaire
from energy_models.values import values_of

READINGS = ("qualia", "spikingjelly")
T = 4
# 2 channels of 5 x 5 by 3 x 3 taps, stride 2, into 3 channels of 3 x 3
CONV = Geometry(2, 3, (3, 3), (2, 2), (1, 1), (1, 1), 1, (5, 5), (3, 3))
MATRIX = Geometry(6, 5)
GROUPED = Geometry(4, 6, (3, 3), (1, 1), (1, 1), (1, 1), 2, (4, 4), (4, 4))

Counted = Mapping[str, tuple[float, float] | float]


def layer(
    geometry: Geometry,
    theta_in: float | None = None,
    *,
    bias: bool = False,
    evaluations: int = 1,
    reused_steps: int = 1,
) -> LayerCounts:
    """Real input without theta_in, else spikes; a convolution if it has a kernel."""
    g = geometry
    taps = int(np.prod(g.kernel))
    outputs = g.c_out * int(np.prod(g.out_size)) * evaluations
    dense = outputs * taps * g.c_in // g.groups
    ops = OpCounts(dense_mac=dense) if theta_in is None else OpCounts(dense_ac=dense)
    return LayerCounts(
        "layer",
        "convolution" if g.kernel else "linear",
        ops=ops,
        geometry=g,
        has_bias=bias,
        input_kind="real" if theta_in is None else "unit",
        weight_kind="real",
        weights=g.c_out * taps * g.c_in // g.groups,
        outputs=outputs,
        reused_steps=reused_steps,
        spikes_in=theta_in,
    )


def neurons(count: int, theta_out: float, *, steps: int = T, leak: bool = False) -> LayerCounts:
    kept = float(count * (steps - 1))  # the first step starts at zero, the last is not kept
    return LayerCounts(
        "neurons",
        "neuron",
        neurons=count,
        spikes_out=theta_out,
        outputs=count * steps,
        fed_by=("layer",),
        updates=NeuronUpdates(
            state_read=kept, leak=kept * leak, compare=count * steps, state_write=kept
        ),
    )


def network(*rows: LayerCounts, steps: int = T) -> ModelCounts:
    return ModelCounts(samples=1, layers=rows, time_steps=steps)


def profile_of(reading: str, options: str = "") -> HardwareProfile:
    return load_profile(f"lemaire-{reading}{options}")


def with_line(profile: HardwareProfile, floor_pj: float, per_bit_pj: float) -> HardwareProfile:
    """Every access costs `floor_pj` and `per_bit_pj` for each bit of its memory."""
    memory = profile.memory
    assert memory is not None
    line = {"curve": "line", "floor_pj": floor_pj, "per_bit_pj": per_bit_pj, "points": ()}
    sram = memory.sram.model_copy(update=line)
    return profile.model_copy(update={"memory": memory.model_copy(update={"sram": sram})})


def bill_of(counts: ModelCounts, profile: HardwareProfile) -> Bill:
    return kinds.bill(Columns.side_by_side([counts]), profile)


def counted(reading: str, *rows: LayerCounts, steps: int = T, options: str = "") -> Counted:
    """Component -> (MAC, ACC), or accesses; what did not happen is left out."""
    profile = with_line(profile_of(reading, options), 1, 0)  # 1 pJ an access
    found: dict[str, dict[str, float]] = {}
    bill = bill_of(network(*rows, steps=steps), profile)
    assert not bill.gaps
    for term in bill.terms:
        one = found.setdefault(term.component, {})
        one[term.constant] = one.get(term.constant, 0.0) + float(term.quantity.sum())
    table: dict[str, tuple[float, float] | float] = {}
    for component, one in found.items():
        if "memory.sram" in one:
            table[component] = one["memory.sram"]
        else:
            mac = one["energy.multiply"]
            table[component] = (mac, one["energy.add"] - mac)  # a MAC is one of each
    return {name: what for name, what in table.items() if what not in (0, (0, 0))}


def bits_of(reading: str, *rows: LayerCounts, steps: int = T) -> dict[str, float]:
    """Component -> accesses x bits of the memory they go to."""
    profile = with_line(profile_of(reading), 0, 1)
    bill = bill_of(network(*rows, steps=steps), profile)
    found: dict[str, float] = {}
    for term in bill.terms:
        if term.constant == "memory.sram":
            found[term.component] = found.get(term.component, 0.0) + float(term.quantity.sum())
    return found


def components_pj(counts: ModelCounts, profile: HardwareProfile) -> dict[str, float]:
    energy = estimate(counts, profile)
    assert energy.complete, energy.missing
    totals: dict[str, float] = {}
    for row in energy.rows():
        name = row["component"]
        totals[name] = totals.get(name, 0.0) + row["energy_pj"]
    return totals


# --- formulas, by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("leak", [False, True])
def test_spiking_convolution(leak: bool, bias: bool) -> None:
    rows = layer(CONV, 7, bias=bias, evaluations=T), neurons(27, 4, leak=leak)
    common = {
        "synaptic_compute": (0, 84),  # 7 x ceil(3/2) x ceil(3/2) x 3
        "weight_memory": 189 + 108 * bias,  # 7 x 3 x 9, and 4 x 27
        "state_memory": 594,  # read and write of 7 x 3 x 9 + 4 x 27
        "activation_memory": 11,  # 7 in, 4 out
    }
    leaks = 108 * leak  # 4 x 27
    assert counted("qualia", *rows) == {
        **common,
        "neuron_updates": (leaks, 112),  # 4 x 27 + 4
        "addressing": (14, 63),  # 2 x 7; 7 x 9
    }
    assert counted("spikingjelly", *rows) == {
        **common,
        "neuron_updates": (leaks, 4),
        **({"bias": (0, 108)} if bias else {}),
        "addressing": (14, 189),  # 7 x 9 x 3
    }


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("leak", [False, True])
def test_spiking_matrix(leak: bool, bias: bool) -> None:
    rows = layer(MATRIX, 9, bias=bias, evaluations=T), neurons(5, 3, leak=leak)
    common = {
        "synaptic_compute": (0, 45),  # 9 x 5
        "weight_memory": 45 + 20 * bias,  # 9 x 5, and 4 x 5
        "state_memory": 130,  # read and write of 9 x 5 + 4 x 5
        "activation_memory": 12,  # 9 in, 3 out
    }
    leaks = 20 * leak
    assert counted("qualia", *rows) == {
        **common,
        "neuron_updates": (leaks, 23),  # 4 x 5 + 3
        "addressing": (0, 7.5),  # 9 / 6 spikes an input x 5
    }
    assert counted("spikingjelly", *rows) == {
        **common,
        "neuron_updates": (leaks, 3),
        **({"bias": (0, 20)} if bias else {}),
        "addressing": (0, 45),
    }


@pytest.mark.parametrize("bias", [False, True])
def test_formal_convolution(bias: bool) -> None:
    row = layer(CONV, bias=bias)
    common = {
        "synaptic_compute": (486, 0),  # 27 x 2 x 9
        "weight_memory": 486 + 27 * bias,
        "activation_memory": 486 + 27,  # an input for every product; 27 outputs
        "addressing": (0, 104),  # 50 + 27 + 3 x 9
    }
    assert counted("qualia", row, steps=1) == {**common, "bias": (0, 27)}
    assert counted("spikingjelly", row, steps=1) == {
        **common,
        **({"bias": (0, 27)} if bias else {}),
    }


@pytest.mark.parametrize("bias", [False, True])
def test_formal_matrix(bias: bool) -> None:
    row = layer(MATRIX, bias=bias)
    common = {
        "synaptic_compute": (30, 0),  # 6 x 5
        "weight_memory": 30 + 5 * bias,
        "activation_memory": 11,  # 6 in, 5 out
    }
    assert counted("qualia", row, steps=1) == {
        **common,
        "bias": (0, 5),
        "addressing": (0, 30),  # 6 x 5
    }
    assert counted("spikingjelly", row, steps=1) == {
        **common,
        **({"bias": (0, 5)} if bias else {}),
        "addressing": (0, 11),  # 6 + 5
    }


def test_groups_have_their_own_channels() -> None:
    # 4 channels in 2 groups into 6: a tap reads 2 channels, a spike reaches 3
    assert counted("spikingjelly", layer(GROUPED, 5, evaluations=T), neurons(96, 2)) == {
        "synaptic_compute": (0, 135),  # 5 x 9 x 3
        "neuron_updates": (0, 2),
        "weight_memory": 135,
        "state_memory": 1038,  # 2 x (135 + 4 x 96)
        "activation_memory": 7,
        "addressing": (10, 135),
    }
    formal = counted("spikingjelly", layer(GROUPED), steps=1)
    assert formal["synaptic_compute"] == (1728, 0)  # 96 x 2 x 9
    assert formal["addressing"] == (0, 214)  # 64 + 96 + 6 x 9


def test_a_readout_accumulates_without_neurons() -> None:
    row = layer(MATRIX, 9, bias=True, evaluations=T)
    qualia, spikingjelly = (counted(name, row) for name in READINGS)
    assert qualia["bias"] == spikingjelly["bias"] == (0, 20)
    assert qualia["state_memory"] == 130  # 2 x (45 + 4 x 5)
    assert spikingjelly["state_memory"] == 90  # 2 x 45: its steps belong to neurons
    assert qualia["activation_memory"] == spikingjelly["activation_memory"] == 9
    bare = layer(MATRIX, 9, evaluations=T)
    assert counted("qualia", bare)["bias"] == (0, 20)
    assert "bias" not in counted("spikingjelly", bare)


# --- where the two readings differ ---------------------------------------------------------------

LIF = (layer(CONV, 7, evaluations=T), neurons(27, 4, leak=True))
IF_WITH_BIAS = (layer(CONV, 7, bias=True, evaluations=T), neurons(27, 4))
FC = (layer(MATRIX, 9, evaluations=T), neurons(5, 3))


@pytest.mark.parametrize(
    ("component", "rows", "qualia", "spikingjelly"),
    [
        # SNN convolution: theta_in K_h K_w, against theta_in K_h K_w C_out
        ("addressing", LIF, (14, 63), (14, 189)),
        # SNN matrix: spikes an input x N_out, against theta_in N_out
        ("addressing", FC, (0, 7.5), (0, 45)),
        # FNN matrix: N_in N_out, against N_in + N_out
        ("addressing", (layer(MATRIX),), (0, 30), (0, 11)),
        # T N_out additions: always, against only those of a bias; the leak alike
        ("neuron_updates", LIF, (108, 112), (108, 4)),
        ("bias", LIF, None, None),
        ("neuron_updates", IF_WITH_BIAS, (0, 112), (0, 4)),
        ("bias", IF_WITH_BIAS, None, (0, 108)),
        # Eq. 2.4 without the paper's second N_in: 9 x 5 in both
        ("synaptic_compute", FC, (0, 45), (0, 45)),
    ],
)
def test_the_readings_side_by_side(
    component: str,
    rows: tuple[LayerCounts, ...],
    qualia: tuple[float, float] | None,
    spikingjelly: tuple[float, float] | None,
) -> None:
    found = [counted(reading, *rows).get(component) for reading in READINGS]
    assert found == [qualia, spikingjelly]


def test_the_same_conv_layer_in_pj() -> None:
    counts = network(*LIF)
    qualia, spikingjelly = (components_pj(counts, profile_of(name)) for name in READINGS)
    # 189 weights in a memory of 54 x 32 bits = 216 B
    assert qualia["weight_memory"] == pytest.approx(189 * (13.2 + 1.09e-5 * 1728))
    assert spikingjelly["weight_memory"] == pytest.approx(189 * 10 * 216 / 8192)
    # 11 spikes in queues of 1000 x 32 bits = 4000 B
    assert qualia["activation_memory"] == pytest.approx(11 * (13.2 + 1.09e-5 * 32000))
    assert spikingjelly["activation_memory"] == pytest.approx(11 * 10 * 4000 / 8192)
    # MAC 108 x 3.2; ACC 112 against 4
    assert qualia["neuron_updates"] == pytest.approx(108 * 3.2 + 112 * 0.1)
    assert spikingjelly["neuron_updates"] == pytest.approx(108 * 3.2 + 4 * 0.1)
    packed = components_pj(counts, load_profile("lemaire-qualia-packed"))
    assert packed["weight_memory"] == pytest.approx(189 * 5)


# --- which memory an access goes to --------------------------------------------------------------


def test_sizes_of_the_memories_of_a_spiking_layer() -> None:
    word = 32
    common = {"state_memory": 594 * 27 * word, "activation_memory": 11 * 1000 * word}
    # weights 3 x 2 x 9 = 54, biases 3, apart
    qualia = {"weight_memory": (189 * 54 + 108 * 3) * word}
    assert bits_of("qualia", *IF_WITH_BIAS) == pytest.approx({**common, **qualia})
    # together in one memory of 57
    spikingjelly = {"weight_memory": (189 + 108) * 57 * word}
    assert bits_of("spikingjelly", *IF_WITH_BIAS) == pytest.approx({**common, **spikingjelly})


def test_sizes_of_the_memories_of_a_formal_layer() -> None:
    word = 32
    for reading in READINGS:
        found = bits_of(reading, layer(CONV), steps=1)
        # 486 reads of a map of 50, 27 writes into one of 27
        assert found["activation_memory"] == (486 * 50 + 27 * 27) * word
        assert found["weight_memory"] == 486 * 54 * word
        assert found["state_memory"] == 0


@pytest.mark.parametrize(
    ("size_bytes", "qualia_pj", "spikingjelly_pj"),
    [
        (256, 13.2, 0.31),
        (8 * 1024, 13.9, 10),
        (32 * 1024, 16.1, 20),
        (256 * 1024, 36, 38),
        (1024 * 1024, 105, 100),
        (8 * 1024 * 1024, 745, 100),
    ],
)
def test_one_weight_read_by_the_size_of_its_memory(
    size_bytes: int, qualia_pj: float, spikingjelly_pj: float
) -> None:
    inputs = size_bytes // 4
    one_output = replace(layer(Geometry(inputs, 1), 1, evaluations=T), weights=inputs)
    found = [
        components_pj(network(one_output), profile_of(reading))["weight_memory"]
        for reading in READINGS
    ]
    assert found == pytest.approx([qualia_pj, spikingjelly_pj], rel=0.02)


def test_a_curve_may_tell_reads_from_writes() -> None:
    profile = profile_of("qualia")
    assert profile.memory is not None
    table = {"curve": "cacti", "node_nm": 45, "cell": "itrs-hp", "access_bits": 32}
    sram = profile.memory.sram.model_copy(update=table)
    memory = profile.memory.model_copy(update={"sram": sram})
    found = components_pj(network(*FC), profile.model_copy(update={"memory": memory}))
    curve = curve_of(sram)
    potentials, queue = np.array([20.0]), np.array([4000.0])  # bytes
    assert curve.read_pj(potentials) != curve.write_pj(potentials)
    # 65 reads and 65 writes of potentials; 9 spikes are read, 3 are written
    one_of_each = curve.read_pj(potentials) + curve.write_pj(potentials)
    assert found["state_memory"] == pytest.approx(65 * one_of_each[0])
    spikes_pj = 9 * curve.read_pj(queue) + 3 * curve.write_pj(queue)
    assert found["activation_memory"] == pytest.approx(spikes_pj[0])


def test_a_wide_datum_takes_several_accesses() -> None:
    profile = with_line(profile_of("qualia"), 1, 0)
    assert profile.memory is not None
    sram = profile.memory.sram.model_copy(update={"access_bits": 12})
    memory = profile.memory.model_copy(update={"sram": sram})
    narrow = profile.model_copy(update={"memory": memory})
    # 32 bits by 12: 3 accesses for each of 9 x 5 weights
    assert components_pj(network(*FC), narrow)["weight_memory"] == 3 * 45


@pytest.mark.parametrize("reading", READINGS)
def test_neurons_that_do_not_say_who_feeds_them_are_fed_by_the_layer_before(reading: str) -> None:
    untold = replace(neurons(27, 4), fed_by=())
    head = replace(layer(MATRIX, 9, evaluations=T), name="head")
    assert counted(reading, LIF[0], untold, head) == counted(reading, LIF[0], neurons(27, 4), head)
    notes = estimate(network(LIF[0], untold, head), profile_of(reading)).assumptions
    assert any(note.startswith("neurons: the counts do not say") for note in notes)
    # an encoder stands before every layer, also where another design ends with one
    first = network(replace(neurons(5, 3), fed_by=()), layer(MATRIX, 9, evaluations=T))
    columns = Columns.side_by_side([network(head), first])
    bill = kinds.bill(columns, profile_of(reading))
    assert not bill.notes


# --- real values and time ------------------------------------------------------------------------


def test_real_values_that_enter_neurons() -> None:
    # computed once for 4 steps: a formal layer, whose neurons keep their states and spikes
    cached = layer(CONV, bias=True, reused_steps=T)
    after = neurons(27, 4)
    common = {
        "synaptic_compute": (486, 0),
        "weight_memory": 486 + 27,
        "state_memory": 216,  # read and write of 4 x 27
        "activation_memory": 486 + 4,  # no outputs: the spikes of the neurons
        "addressing": (0, 104),
    }
    assert counted("qualia", cached, after) == {**common, "neuron_updates": (0, 112)}
    assert counted("spikingjelly", cached, after) == {
        **common,
        "neuron_updates": (0, 4),
        "bias": (0, 27),
    }
    notes = estimate(network(cached, after), profile_of("qualia")).assumptions
    assert any(note.startswith("layer: real values enter a layer of neurons") for note in notes)
    assert "layer: its result is computed once; reading it again at each step is not priced" in (
        notes
    )


@pytest.mark.parametrize("reading", READINGS)
def test_every_step_pays_a_cached_layer_as_if_it_were_computed_at_each(reading: str) -> None:
    rows = layer(CONV, bias=True, reused_steps=T), neurons(27, 4)
    at_each = layer(CONV, bias=True, evaluations=T), neurons(27, 4)
    every_step = counted(reading, *rows, options="+first_layer=every-step")
    assert every_step == counted(reading, *at_each)
    assert every_step["synaptic_compute"] == (4 * 486, 0)
    assert every_step["addressing"] == (0, 4 * 104)
    # a picture of spikes: 4 x 9 x 5
    spikes = layer(MATRIX, 9, reused_steps=T)
    assert counted(reading, spikes)["synaptic_compute"] == (0, 45)
    again = counted(reading, spikes, options="+first_layer=every-step")
    assert again["synaptic_compute"] == (0, 180)
    # a matrix that no neurons read: 4 x (6 in + 5 out)
    head = counted(reading, layer(MATRIX, reused_steps=T), options="+first_layer=every-step")
    assert head["activation_memory"] == 44


def test_who_writes_real_outputs() -> None:
    # a formal layer beside neurons that do not read it
    rows = replace(layer(MATRIX, evaluations=T), name="head"), *LIF
    qualia, spikingjelly = (counted(name, *rows) for name in READINGS)
    assert qualia["activation_memory"] == 11 + 24 + 20  # the spikes; 4 x 6 in, 4 x 5 out
    assert spikingjelly["activation_memory"] == 11 + 24  # a network of neurons writes spikes


# --- one step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", READINGS)
def test_a_single_step_from_zero_has_no_state(reading: str) -> None:
    rows = layer(CONV, 7), neurons(27, 4, steps=1)
    assert rows[1].updates.state_read == rows[1].updates.state_write == 0
    found = counted(reading, *rows, steps=1)
    assert "state_memory" not in found
    assert found["weight_memory"] == 189
    assert found["activation_memory"] == 11
    notes = estimate(network(*rows, steps=1), profile_of(reading)).assumptions
    assert any(note.startswith("one step from a potential of zero") for note in notes)


def test_a_formal_network_has_no_state_to_speak_of() -> None:
    alone = estimate(network(layer(MATRIX), steps=1), profile_of("qualia")).assumptions
    assert not any("one step" in note for note in alone)
    # real values into neurons of one step: theirs is left out as well, and said
    rows = layer(CONV), neurons(27, 4, steps=1)
    assert "state_memory" not in counted("qualia", *rows, steps=1)
    notes = estimate(network(*rows, steps=1), profile_of("qualia")).assumptions
    assert any(note.startswith("one step from a potential of zero") for note in notes)


@pytest.mark.parametrize(("read", "written"), [(27, 27), (27, 0), (0, 27)])
@pytest.mark.parametrize("reading", READINGS)
def test_a_single_step_whose_state_is_kept_pays_for_it(
    reading: str, read: int, written: int
) -> None:
    updates = NeuronUpdates(state_read=read, compare=27, state_write=written)
    kept = replace(neurons(27, 4, steps=1), updates=updates)
    # 2 x (189 + 27)
    assert counted(reading, layer(CONV, 7), kept, steps=1)["state_memory"] == 432


@pytest.mark.parametrize("reading", READINGS)
def test_a_readout_of_one_step_writes_its_output_once(reading: str) -> None:
    found = counted(reading, layer(MATRIX, 9), steps=1)
    assert "state_memory" not in found
    assert found["activation_memory"] == 14  # 9 spikes in, 5 values out


@pytest.mark.parametrize("reading", READINGS)
def test_several_steps_without_a_state_are_charged_as_the_reading_does(reading: str) -> None:
    bare = replace(neurons(5, 3), updates=NeuronUpdates(compare=20))
    found = counted(reading, layer(MATRIX, 9, evaluations=T), bare)
    assert found["state_memory"] == 130


# --- gaps ----------------------------------------------------------------------------------------

SIGNED = OperandCounts("unit", 24, 9, levels=(1.0,), is_signed=True)
TRANSPOSED = replace(CONV, in_size=(3, 3), out_size=(5, 5))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (replace(layer(MATRIX, 9), weight_kind="activation"), "a product of two activations"),
        (replace(layer(MATRIX, 9), operator="outer"), "outer has no formula"),
        (replace(layer(MATRIX, 9), geometry=None), "the counts hold no geometry"),
        (replace(layer(MATRIX, 9), input_kind="small-integers"), "graded input has no formula"),
        (replace(layer(MATRIX, 9), input_kind=None), "the kind of the input is not known"),
        (replace(layer(MATRIX, 9), operands=(SIGNED,)), "signed spikes have no formula"),
        (replace(layer(MATRIX), weight_kind="binary"), "real input by binary weights"),
        (layer(TRANSPOSED, 7, evaluations=T), "a transposed convolution has no formula"),
        (layer(MATRIX, 9, evaluations=3 * T), "several places (tokens) a step"),
        (layer(MATRIX, evaluations=T, reused_steps=T), "several places (tokens) a step"),
        (replace(neurons(5, 3), spikes_out=None), "neurons whose output is not made of spikes"),
    ],
)
@pytest.mark.parametrize("reading", READINGS)
def test_what_no_formula_covers_is_a_gap(reading: str, row: LayerCounts, words: str) -> None:
    energy = estimate(network(row), profile_of(reading))
    [missing] = energy.missing
    assert missing.startswith(f"{row.name}: {words}")
    assert energy.total_pj is None
    if row.operator != "neuron":
        assert energy.partial_pj == 0


def test_a_module_called_at_every_step_is_no_row_of_tokens() -> None:
    calls = tuple(StepCounts() for _ in range(2 * T))
    twice_a_step = replace(layer(MATRIX, 9, evaluations=2 * T), calls=calls)
    assert counted("qualia", twice_a_step)["synaptic_compute"] == (0, 45)
    folded = replace(layer(MATRIX, 9, evaluations=2 * T), calls=calls[:2])
    assert counted("qualia", folded) == counted("qualia", twice_a_step)
    once = replace(layer(MATRIX), calls=calls)  # of a document that was rewritten
    assert counted("qualia", once)["synaptic_compute"] == (30, 0)


def test_a_memory_beyond_the_curve_is_a_gap() -> None:
    profile = profile_of("spikingjelly")
    assert profile.memory is not None
    sram = profile.memory.sram.model_copy(update={"above": "missing"})
    memory = profile.memory.model_copy(update={"sram": sram})
    profile = profile.model_copy(update={"memory": memory})
    row = replace(layer(MATRIX, 9, evaluations=T), weights=2**19)  # 2 MiB
    counts = network(row, neurons(5, 3))
    energy = estimate(counts, profile)
    assert energy.missing == ("layer: no energy for a memory of this size (weight_memory)",)
    # what is known stays known
    columns = Columns.side_by_side([counts])
    totals = bill_of(counts, profile).totals_pj(columns, values_of(profile))
    assert totals["weight_memory"] == 0
    assert sum(totals.values()) == pytest.approx(energy.partial_pj)
    assert energy.partial_pj > 0


@pytest.mark.parametrize("reading", READINGS)
def test_a_memory_of_no_size_is_a_gap(reading: str) -> None:
    row = replace(layer(MATRIX, 9, evaluations=T), weights=0)
    energy = estimate(network(row), profile_of(reading))
    assert energy.missing == ("layer: no energy for a memory of this size (weight_memory)",)


def test_a_missing_constant_is_a_gap_unless_it_is_left_out() -> None:
    profile = profile_of("qualia")
    energy = {"add": profile.energy["add"]}
    without = profile.model_copy(update={"energy": energy})
    assert estimate(network(*LIF), without).missing == (
        "layer: no energy for multiply",
        "neurons: no energy for multiply",
    )
    excludes = {"multiply": "shifts", "addressing": "not of interest", "state_read": "as well"}
    left_out = without.model_copy(update={"excludes": excludes})
    found = components_pj(network(*LIF), left_out)
    assert "addressing" not in found
    assert found["neuron_updates"] == pytest.approx(22)  # (112 + 108 of the leak) x 0.1
    whole = components_pj(network(*LIF), profile)
    assert found["state_memory"] == pytest.approx(whole["state_memory"] / 2)


def test_binary_weights_under_spikes_are_priced_as_words_and_named() -> None:
    rows = replace(FC[0], weight_kind="binary"), FC[1]
    energy = estimate(network(*rows), profile_of("qualia"))
    assert energy.total_pj == estimate(network(*FC), profile_of("qualia")).total_pj
    assert "layer: binary weights are read as words of the profile's width" in energy.assumptions


def test_steps_are_not_told() -> None:
    assert lemaire.steps_pj(FC[0], profile_of("qualia")) == ()


# --- laws ----------------------------------------------------------------------------------------

geometries = st.sampled_from([CONV, MATRIX, GROUPED])
profiles = st.sampled_from(["lemaire-qualia", "lemaire-spikingjelly", "lemaire-qualia-packed"])
spikes = st.integers(0, 10_000)


@st.composite
def pairs(draw: st.DrawFn, name: str) -> tuple[LayerCounts, LayerCounts]:
    """A spiking or formal layer, and the neurons it feeds."""
    geometry = draw(geometries)
    theta_in = draw(st.none() | spikes)
    first = layer(geometry, theta_in, bias=draw(st.booleans()), evaluations=T)
    count = int(first.outputs) // T
    after = neurons(count, draw(spikes), leak=draw(st.booleans()))
    fed = replace(after, name=f"{name} neurons", fed_by=(name,))
    return replace(first, name=name), fed


def partial_pj(counts: ModelCounts, profile: str) -> float:
    return estimate(counts, load_profile(profile)).partial_pj


@settings(max_examples=30, deadline=None)
@given(pairs("a"), pairs("b"), profiles)
def test_layers_add_up(
    one: tuple[LayerCounts, ...], other: tuple[LayerCounts, ...], profile: str
) -> None:
    apart = partial_pj(network(*one), profile) + partial_pj(network(*other), profile)
    assert partial_pj(network(*one, *other), profile) == pytest.approx(apart)


@settings(max_examples=30, deadline=None)
@given(geometries, spikes, spikes, st.booleans(), profiles, st.integers(2, 9))
def test_what_a_spike_costs_does_not_depend_on_how_many_there_are(
    geometry: Geometry, theta_in: int, theta_out: int, leak: bool, profile: str, factor: int
) -> None:
    def energy_pj(times: int) -> float:
        first = layer(geometry, times * theta_in, bias=True, evaluations=T)
        after = neurons(int(first.outputs) // T, times * theta_out, leak=leak)
        return partial_pj(network(first, after), profile)

    silent = energy_pj(0)
    assert silent > 0  # every neuron, every step
    assert energy_pj(factor) - silent == pytest.approx(factor * (energy_pj(1) - silent))


@settings(max_examples=30, deadline=None)
@given(geometries, spikes, spikes, profiles)
def test_one_step_has_no_state_whatever_fires(
    geometry: Geometry, theta_in: int, theta_out: int, profile: str
) -> None:
    first = layer(geometry, theta_in)
    after = neurons(int(first.outputs), theta_out, steps=1)
    found = components_pj(network(first, after, steps=1), load_profile(profile))
    assert "state_memory" not in found


@settings(max_examples=20, deadline=None)
@given(st.lists(pairs("a"), min_size=1, max_size=4), profiles)
def test_designs_side_by_side_do_not_touch(
    designs: list[tuple[LayerCounts, ...]], name: str
) -> None:
    profile = load_profile(name)
    ann = network(layer(MATRIX), steps=1)  # the same name, without neurons
    single = network(layer(CONV, 7), neurons(27, 4, steps=1), steps=1)
    documents = [ann, *(network(*rows) for rows in designs), single]
    columns = Columns.side_by_side(documents)
    totals = kinds.bill(columns, profile).totals_pj(columns, values_of(profile))
    together = sum(totals.values())
    apart = [partial_pj(one, name) for one in documents]
    assert np.asarray(together) == pytest.approx(apart)
