"""An affine chip: every term with a pencil, what goes to the host, and what a file may not say."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_models import (
    EnergyBreakdown,
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    ProfileError,
    StepCounts,
    estimate,
    load_profile,
)
from energy_models.columns import Columns
from energy_models.models import chip

HEAD = """\
name: mine
title: my chip
kind: chip
node_nm: 28
voltage_v: 0.8
number_format: int8
reference: my thesis, table 2
"""
REST = """\
  neuron: {value_pj: 5, bits: 8, scope: marginal, basis: fit, source: x}
  spike: {value_pj: 7, bits: 8, scope: marginal, basis: fit, source: x}
  message: {value_pj: 11, bits: 8, scope: marginal, basis: fit, source: x}
  hop: {value_pj: 13, bits: 8, scope: marginal, basis: fit, source: x}
  input_bit: {value_pj: 3, bits: 8, scope: marginal, basis: fit, source: x}
  inference: {value_pj: 1000, bits: 8, scope: marginal, basis: fit, source: x}
power:
  leakage: {value_mw: 0.5, basis: silicon, source: x}
  clock: {value_mw: 1.5, basis: silicon, source: x}
time:
  step: {value_ns: 100, basis: silicon, source: x}
  ac: {value_ns: 4, basis: silicon, source: x}
  host: {value_ns: 50, basis: silicon, source: x}
parallelism: {value_count: 2, basis: silicon, source: x}
capacity:
  neurons: {value_count: 40, basis: silicon, source: x}
  synapses: {value_count: 1000, basis: silicon, source: x}
"""
AC = "  ac: {value_pj: 2, bits: 8, scope: marginal, basis: fit, source: x}\n"
FULL = f"{HEAD}energy:\n{AC}{REST}"
ALL_IN = AC.replace("marginal", "all-in")
HOST = "+host=cmos45-int8"


@pytest.fixture
def full(tmp_path: Path) -> HardwareProfile:
    return load_profile(written(tmp_path, FULL))


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems_of(folder: Path, text: str) -> tuple[str, ...]:
    """What is said of a file, from its line on."""
    name = written(folder, text)
    with pytest.raises(ProfileError) as refusal:
        load_profile(name)
    assert all(problem.startswith(f"{name}:") for problem in refusal.value.problems)
    return tuple(problem.removeprefix(f"{name}:") for problem in refusal.value.problems)


def spiking(events: float = 60, **changes: object) -> LayerCounts:
    return replace(
        LayerCounts(
            "fc",
            "linear",
            ops=OpCounts(ac=events, dense_ac=600),
            weight_kind="real",
            input_kind="unit",
            weights=200,
            spikes_in=6,
            operands=(OperandCounts("unit", 60, 6, (1.0,), bits=32),),
        ),
        **changes,
    )


def real(**changes: object) -> LayerCounts:
    return replace(
        LayerCounts(
            "conv1",
            "convolution",
            ops=OpCounts(mac=7, dense_mac=10),
            weight_kind="real",
            input_kind="real",
            has_bias=True,
            outputs=20,
            weights=3,
            reused_steps=3,
            operands=(OperandCounts("real", 16, 16, bits=8),),
        ),
        **changes,
    )


LIF = LayerCounts(
    "lif",
    "neuron",
    neurons=10,
    updates=NeuronUpdates(integrate=30, compare=30, reset=4, leak=20, state_read=20),
    spikes_out=4,
    fed_by=("fc",),
)


def priced(
    profile: HardwareProfile, *rows: LayerCounts, time_steps: int = 3, **options: bool
) -> EnergyBreakdown:
    counts = ModelCounts(samples=1, layers=rows, time_steps=time_steps)
    return estimate(counts, profile, **options)


def test_every_term(full: HardwareProfile) -> None:
    energy = priced(full, spiking(), LIF)
    fc, lif = energy.layers
    # 60 events x 2
    assert fc.energy_pj == {"synaptic_compute": pytest.approx(120)}
    # 10 neurons x 3 steps x 5; 4 spikes x (7 + 11 + 13)
    assert lif.energy_pj == {
        "neuron_updates": pytest.approx(150),
        "routing": pytest.approx(124),
    }
    # max(3 x 100, 60 x 4 / 2) + 50 ns
    assert energy.latency_s == pytest.approx(350e-9)
    assert energy.network == {
        # (0.5 + 1.5) mW x 350 ns
        "static": pytest.approx(700),
        "fixed": pytest.approx(1000),
        # 60 values of one bit x 3
        "input_output": pytest.approx(180),
    }
    # 120 + 150 + 124 + 700 + 1000 + 180
    assert energy.total_pj == pytest.approx(2274)


def test_the_slower_of_steps_and_events_sets_the_time(full: HardwareProfile) -> None:
    # max(3 x 100, 600 x 4 / 2) + 50 ns
    energy = priced(full, spiking(600), LIF)
    assert energy.latency_s == pytest.approx(1250e-9)
    assert energy.network["static"] == pytest.approx(2 * 1250)


def test_without_parallelism_events_follow_one_another(tmp_path: Path) -> None:
    text = FULL.replace("parallelism: {value_count: 2, basis: silicon, source: x}\n", "")
    energy = priced(load_profile(written(tmp_path, text)), spiking())
    # max(3 x 100, 60 x 4) + 50
    assert energy.latency_s == pytest.approx(350e-9)
    energy = priced(load_profile(written(tmp_path, text)), spiking(600))
    # max(3 x 100, 600 x 4) + 50
    assert energy.latency_s == pytest.approx(2450e-9)


def test_active_and_inactive_neurons(tmp_path: Path) -> None:
    pair = (
        "  neuron_active: {value_pj: 9, bits: 8, scope: marginal, basis: fit, source: x}\n"
        "  neuron_inactive: {value_pj: 5, bits: 8, scope: marginal, basis: fit, source: x}\n"
    )
    text = FULL.replace(REST.splitlines()[0] + "\n", pair)
    energy = priced(load_profile(written(tmp_path, text)), LIF)
    # 4 spikes x 9 + (30 - 4) x 5
    assert energy.layers[0].energy_pj["neuron_updates"] == pytest.approx(166)
    # more spikes than updates leave none inactive: 30 x 9
    energy = priced(load_profile(written(tmp_path, text)), replace(LIF, spikes_out=35))
    assert energy.layers[0].energy_pj["neuron_updates"] == pytest.approx(270)


def test_a_single_step_updates_each_neuron_once(full: HardwareProfile) -> None:
    single = replace(LIF, updates=NeuronUpdates(compare=10))
    energy = priced(full, single, time_steps=1)
    # 10 x 5
    assert energy.layers[0].energy_pj["neuron_updates"] == pytest.approx(50)


def test_a_neuron_that_only_reads_out_is_updated_and_sends_nothing(full: HardwareProfile) -> None:
    readout = replace(LIF, updates=NeuronUpdates(integrate=30), spikes_out=None)
    energy = priced(full, readout)
    # 30 x 5
    assert energy.layers[0].energy_pj == {"neuron_updates": pytest.approx(150)}
    assert energy.complete


def test_neurons_whose_spikes_are_not_known_leave_no_total(full: HardwareProfile) -> None:
    energy = priced(full, replace(LIF, spikes_out=None))
    assert energy.missing == ("lif: what these neurons send is not made of spikes",)
    assert energy.total_pj is None
    # where nothing is paid by the spike, their number does not matter
    assert priced(load_profile("odin"), replace(LIF, spikes_out=None)).complete


def test_switches(full: HardwareProfile) -> None:
    name = full.name
    energy = priced(load_profile(f"{name}+neuron_updates=excluded"), spiking(), LIF)
    assert energy.total_pj == pytest.approx(2274 - 150)
    energy = priced(load_profile(f"{name}+static=excluded"), spiking(), LIF)
    assert energy.total_pj == pytest.approx(2274 - 700)


def test_a_missing_price_is_named_and_never_zero(tmp_path: Path) -> None:
    energy = priced(load_profile(written(tmp_path, f"{HEAD}energy:\n{AC}")), spiking(), LIF)
    assert energy.missing == (
        "lif: no energy for neuron",
        "lif: no energy for spike",
        "lif: no energy for message",
        "lif: no energy for hop",
        "no static power",
        "no energy for inference (the fixed part)",
        "no energy for input_bit (input and output)",
    )
    assert energy.total_pj is None
    assert energy.partial_pj == pytest.approx(120)
    assert energy.latency_s is None


def test_power_without_a_time_is_missing(tmp_path: Path) -> None:
    start, end = FULL.index("time:"), FULL.index("capacity:")
    energy = priced(load_profile(written(tmp_path, FULL[:start] + FULL[end:])), spiking())
    assert energy.missing == ("no time for the static power to flow",)


def test_what_is_left_out_is_no_gap(tmp_path: Path) -> None:
    excludes = "\nexcludes:\n" + "".join(
        f"  {event}: held by ac\n"
        for event in ("neuron", "spike", "message", "hop", "static", "fixed", "input_output")
    )
    energy = priced(
        load_profile(written(tmp_path, f"{HEAD}energy:\n{AC}{excludes}")), spiking(), LIF
    )
    # 60 x 2
    assert energy.total_pj == pytest.approx(120)
    assert "left out: neuron: held by ac" in energy.assumptions


def test_an_all_in_energy_is_the_only_term(tmp_path: Path) -> None:
    energy = priced(load_profile(written(tmp_path, f"{HEAD}energy:\n{ALL_IN}")), spiking(), LIF)
    assert energy.total_pj == pytest.approx(120)
    assert [layer.energy_pj for layer in energy.layers] == [{"synaptic_compute": 120}, {}]
    assert any(text.startswith("an all-in energy holds") for text in energy.assumptions)


def test_an_energy_as_reported_completes_no_total(tmp_path: Path) -> None:
    text = FULL.replace(AC, AC.replace("marginal", "as-reported"))
    energy = priced(load_profile(written(tmp_path, text)), spiking(), LIF)
    assert energy.missing == ("energy.ac is as reported: what it holds is not published",)
    assert energy.partial_pj == pytest.approx(2274)


def test_a_convolution_may_have_a_price_of_its_own(tmp_path: Path) -> None:
    text = FULL.replace(AC, AC + AC.replace("ac:", "ac_convolution:").replace("2,", "1.5,"))
    profile = load_profile(written(tmp_path, text))
    steps = (StepCounts(ac=20), StepCounts(ac=40))
    conv = spiking(name="conv", operator="convolution", steps=steps)
    energy = priced(profile, conv, spiking(steps=steps))
    # 60 x 1.5, 60 x 2
    assert energy.by_layer() == pytest.approx({"conv": 90, "fc": 120})
    assert energy.layers[0].steps == pytest.approx((30, 60))
    assert energy.layers[1].steps == pytest.approx((40, 80))
    # without one, it costs what any event costs
    assert priced(load_profile(written(tmp_path, FULL)), conv).by_layer()["conv"] == 120


def test_a_spike_through_a_binary_weight_is_an_event(full: HardwareProfile) -> None:
    row = spiking(ops=OpCounts(binary=40, dense_binary=100), weight_kind="binary")
    energy = priced(full, row)
    # 40 x 2
    assert energy.by_layer()["fc"] == pytest.approx(80)
    assert "a spike through a binary weight is a synaptic event like any other" in (
        energy.assumptions
    )


def test_a_direct_coded_first_layer_is_the_host_s(full: HardwareProfile) -> None:
    rows = real(), spiking(), LIF
    missing = (
        "conv1: no energy for mac: this is a spiking chip. "
        f"A host can price it: {full.name}+host=cmos45-int8"
    )
    assert priced(full, *rows).missing == (missing,)
    hosted = load_profile(full.name + HOST)
    energy = priced(hosted, *rows)
    # 10 dense MAC x 0.23, evaluated once for three steps
    assert energy.layers[0].energy_pj == {"host": pytest.approx(2.3)}
    # the rest as before, and no sample enters the chip: 180 less
    assert energy.total_pj == pytest.approx(2274 - 180 + 2.3)
    assert "traffic between host and chip is not priced" in energy.assumptions
    # the products of the host take no time of the chip, and have none of their own here
    assert energy.latency_s == pytest.approx(350e-9)
    recomputed = load_profile(f"{full.name}{HOST}+first_layer=every-step")
    assert priced(recomputed, *rows).layers[0].energy_pj == {"host": pytest.approx(6.9)}


def test_the_host_adds_the_biases_of_its_own_layers_alone(full: HardwareProfile) -> None:
    hosted = load_profile(f"{full.name}{HOST}+bias=add")
    on_chip = spiking(has_bias=True, outputs=30)
    energy = priced(hosted, real(), on_chip)
    # 10 x 0.23 + 20 outputs x 0.03; the bias of fc is no work of the host
    assert energy.layers[0].energy_pj == {"host": pytest.approx(2.9)}
    assert energy.layers[1].energy_pj == {"synaptic_compute": pytest.approx(120)}


def test_a_host_whose_time_nobody_knows_is_named(tmp_path: Path) -> None:
    text = FULL.replace("  host: {value_ns: 50, basis: silicon, source: x}\n", "")
    hosted = load_profile(written(tmp_path, text) + HOST)
    both, alone = priced(hosted, real(), spiking()), priced(hosted, spiking())
    assert alone.latency_s is not None
    # the chip's own time is told, and the static power is that of it; the latency is not
    assert both.latency_s is None
    [told] = [text for text in both.assumptions if text.startswith("time: ")]
    assert told.startswith("time: the chip takes 300 ns; the time that the host needs is not known")
    assert both.network["static"] == pytest.approx(alone.network["static"])
    assert not any(text.startswith("time: ") for text in alone.assumptions)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        # signs, not spikes: -1 and 1
        ({"operands": (OperandCounts("unit", 60, 60, (1.0,), is_signed=True, bits=1),)}, "ac"),
        # a real input whose weight is binary
        ({"ops": OpCounts(ac=60, ac_by_weight=60, dense_ac=60), "weight_kind": "binary"}, "ac"),
        # attention: no synapse stores the other factor
        ({"weight_kind": "activation"}, "ac"),
        (
            {"ops": OpCounts(graded=5, graded_accumulates=12, dense_graded=20)},
            "graded",
        ),
    ],
    ids=["signs", "binary weight", "attention", "graded"],
)
def test_what_is_no_synaptic_event(
    full: HardwareProfile, changes: dict[str, object], what: str
) -> None:
    row = spiking(**changes)
    energy = priced(full, row)
    assert energy.missing == (
        f"fc: no energy for {what}: this is a spiking chip. "
        f"A host can price it: {full.name}+host=cmos45-int8",
    )
    assert energy.layers[0].energy_pj == {}
    (layer,) = priced(load_profile(full.name + HOST), row).layers
    assert set(layer.energy_pj) == {"host"}
    assert layer.steps == ()


def test_a_gap_of_the_host_is_named(full: HardwareProfile) -> None:
    row = spiking(ops=OpCounts(graded=5, dense_graded=20))
    assert priced(load_profile(full.name + HOST), row).missing == (
        "fc: host cmos45-int8: no graded_accumulates for the graded products",
    )


def test_a_chip_that_multiplies_needs_no_host(tmp_path: Path) -> None:
    mac = AC.replace("ac:", "mac:").replace("2,", "8,")
    energy = priced(load_profile(written(tmp_path, FULL.replace(AC, AC + mac))), real(), spiking())
    # 10 dense x 8
    assert energy.layers[0].energy_pj == {"synaptic_compute": pytest.approx(80)}
    assert energy.complete


@pytest.mark.parametrize(
    ("neurons", "weights", "chips"),
    [(40, 1000, 1), (41, 1000, 2), (40, 1001, 2), (121, 1001, 4)],
)
def test_chips_that_hold_a_network(
    full: HardwareProfile, neurons: int, weights: int, chips: int
) -> None:
    rows = spiking(weights=weights), replace(LIF, neurons=neurons)
    counts = ModelCounts(samples=1, layers=rows, time_steps=3)
    assert chip.chips_needed(Columns.side_by_side([counts]), full).tolist() == [chips]
    energy = priced(full, *rows)
    # 2 mW x 350 ns each
    assert energy.network["static"] == pytest.approx(700 * chips)
    warning = (
        f"{full.name}: {chips} chips hold the network: the static power of each is paid, traffic "
        "between them is not priced; events are taken one after another: time and static are "
        "upper bounds"
    )
    assert energy.warnings == ((warning,) if chips > 1 else ())


def test_weights_of_the_host_take_no_place_on_a_chip(full: HardwareProfile) -> None:
    rows = real(weights=5000), spiking(), LIF
    assert priced(full, *rows).network["static"] == pytest.approx(700)


def test_chips_say_nothing_of_static_power_that_is_not_paid(full: HardwareProfile) -> None:
    rows = spiking(), replace(LIF, neurons=41)
    energy = priced(load_profile(f"{full.name}+static=excluded"), *rows)
    [warning] = energy.warnings
    assert "2 chips hold the network: traffic between them is not priced" in warning


def test_a_time_that_is_assumed_is_shown(tmp_path: Path) -> None:
    text = FULL.replace(
        "step: {value_ns: 100, basis: silicon, source: x}",
        "step: {value_ns: 100, basis: assumption, source: x, note: a guess}",
    )
    energy = priced(load_profile(written(tmp_path, text)), spiking())
    assert "assumption: time.step 100 ns: a guess" in energy.assumptions


def test_ranges_of_power_and_time_reach_the_interval(tmp_path: Path) -> None:
    text = FULL.replace(
        "step: {value_ns: 100,", "step: {value_ns: 100, low_ns: 50, high_ns: 200, range_source: x,"
    )
    energy = priced(load_profile(written(tmp_path, text)), spiking(), uncertainty=True)
    assert energy.intervals is not None
    assert energy.intervals.drawn == {"time.step": (50, 200)}
    # 2 mW x (3 x 50 .. 200 + 50) ns
    static = energy.intervals.components["static"]
    assert 400 <= static.low_pj < static.high_pj <= 1300


@given(
    events=st.lists(st.integers(0, 500), min_size=2, max_size=4),
    spikes=st.integers(0, 30),
    times=st.integers(2, 4),
)
def test_events_add_up_and_the_fixed_part_is_paid_once(
    events: list[int], spikes: int, times: int
) -> None:
    profile = load_profile("loihi-fit+fixed=kws-board")
    lif = replace(LIF, spikes_out=spikes)
    rows = [spiking(one, name=f"fc{index}") for index, one in enumerate(events)]
    together = priced(profile, *rows, lif)
    apart = [priced(profile, row) for row in (*rows, lif)]
    dynamic = sum(sum(one.by_layer().values()) for one in apart)
    assert sum(together.by_layer().values()) == pytest.approx(dynamic)
    assert together.network == apart[0].network
    longer = priced(profile, *rows, lif, time_steps=3 * times)
    assert longer.network["static"] == pytest.approx(together.network["static"] * times)
    assert longer.network["fixed"] == together.network["fixed"]


CONSTANT = "{value_pj: 1, bits: 8, scope: marginal, basis: fit, source: x}"
NO_SCOPE = "{value_pj: 1, bits: 8, basis: fit, source: x}"
ANY_IN = "{value_pj: 1, bits: 8, scope: all-in, basis: fit, source: x}"
REPORTED = "{value_pj: 1, bits: 8, scope: as-reported, basis: fit, source: x}"
POWER = "power: {leakage: {value_mw: 1, basis: fit, source: x}}\n"


@pytest.mark.parametrize(
    ("rest", "problems"),
    [
        (
            f"energy:\n  ac: {NO_SCOPE}\n",
            ("9:3: energy.ac.scope: missing. Say marginal, all-in or as-reported",),
        ),
        (
            f"energy:\n  ac: {ANY_IN}\n  neuron: {CONSTANT}\n{POWER}",
            (
                "10:3: energy.neuron: is added to the all-in energy.ac, which holds it already. "
                "Keep one",
                "11:1: power: energy.ac is all-in and holds it already. Keep one of the two",
            ),
        ),
        (
            f"energy:\n  ac: {ANY_IN}\n  ac_convolution: {REPORTED}\n",
            (
                "10:3: energy.ac_convolution: is added to the all-in energy.ac, which holds it "
                "already. Keep one",
            ),
        ),
        (
            f"energy:\n  inference: {ANY_IN}\n",
            (
                "9:37: energy.inference.scope: only the energy of a product can be all-in: "
                "mac, ac, graded, binary, ac_convolution. Say marginal",
            ),
        ),
        (
            "energy:\n  ac: {polynomial_pj: [1, 2], basis: fit, source: x}\n",
            ("9:3: energy.ac: a polynomial is for arithmetic. Give value_pj",),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\n  neuron: {CONSTANT}\n  neuron_active: {CONSTANT}\n",
            (
                "10:3: energy.neuron: stands beside energy.neuron_active. Keep one",
                "11:3: energy.neuron_active: needs energy.neuron_inactive beside it, or name it "
                "energy.neuron",
            ),
        ),
        (
            f"energy:\n  neuron_inactive: {CONSTANT}\n",
            (
                "9:3: energy.neuron_inactive: needs energy.neuron_active beside it, or name it "
                "energy.neuron",
            ),
        ),
        (
            f"energy:\n  ac_convolution: {CONSTANT}\n",
            ("9:3: energy.ac_convolution: needs energy.ac beside it, for all other layers",),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\n{POWER}excludes: {{static: none}}\n",
            ("11:12: excludes.static: is left out, but power prices it. Keep one",),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\n  inference: {CONSTANT}\n  input_bit: {CONSTANT}\n"
            "excludes: {fixed: none, input_output: none}\n",
            (
                "12:12: excludes.fixed: is left out, but energy.inference prices it. Keep one",
                "12:25: excludes.input_output: is left out, but energy.input_bit prices it. "
                "Keep one",
            ),
        ),
        (
            f"energy:\n  neuron_active: {CONSTANT}\n  neuron_inactive: {CONSTANT}\n"
            "excludes: {neuron: none}\n",
            ("11:12: excludes.neuron: is left out, but energy.neuron_active prices it. Keep one",),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\nexcludes: {{fixed: none}}\n"
            f"options:\n  fixed:\n    board:\n      inference: {CONSTANT}\n",
            ("10:12: excludes.fixed: is left out, but energy.inference prices it. Keep one",),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\noptions:\n  at:\n    low:\n      ac: {NO_SCOPE}\n"
            f"    high:\n      ac: {ANY_IN}\n      leak: {CONSTANT}\n",
            (
                "13:7: options.at.low.ac.scope: missing. Say marginal, all-in or as-reported",
                "15:34: options.at.high.ac.scope: an option cannot make an energy all-in, or an "
                "all-in one marginal. Write a profile of its own",
                "16:7: options.at.high.leak: a chip has no such event. It has: mac, ac, graded, "
                "binary, ac_convolution, neuron, neuron_active, neuron_inactive, spike, message, "
                "hop, input_bit, inference",
            ),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\ntime: {{host: {{value_ns: 1, basis: fit, source: x}}}}\n"
            "parallelism: {value_count: 2, basis: fit, source: x}\n",
            (
                "11:1: parallelism: has no effect without time.ac. Leave it out",
                "10:8: time.host: is added to the time of the chip. Give time.step or time.ac "
                "as well",
            ),
        ),
        (
            f"energy:\n  ac: {CONSTANT}\n  leak: {CONSTANT}\nswitches: {{bias: add}}\n",
            (
                "10:3: energy.leak: a profile of kind chip has no such event. It has: mac, ac, "
                "graded, binary, ac_convolution, neuron, neuron_active, neuron_inactive, spike, "
                "message, hop, input_bit, inference",
                "11:12: switches.bias: has no effect on kind chip. It has: static, neuron_updates",
            ),
        ),
    ],
)
def test_what_a_chip_s_file_may_not_say(
    tmp_path: Path, rest: str, problems: tuple[str, ...]
) -> None:
    assert problems_of(tmp_path, HEAD + rest) == problems


def test_a_share_keeps_the_scope(tmp_path: Path) -> None:
    options = (
        "options:\n  half:\n    'yes':\n      ac_convolution: "
        "{share_of: ac, divided_by: 4, bits: 8, basis: fit, source: x}\n"
    )
    name = written(tmp_path, f"{HEAD}energy:\n{ALL_IN}{options}")
    conv = spiking(operator="convolution")
    profile = load_profile(f"{name}+half=yes")
    assert profile.prices["ac_convolution"].scope == "all-in"
    # 60 x 2 / 4
    assert priced(profile, conv).total_pj == pytest.approx(30)


def test_a_host_must_price_operations(full: HardwareProfile) -> None:
    name = f"{full.name}+host=odin"
    with pytest.raises(ProfileError) as refusal:
        load_profile(name)
    assert refusal.value.problems == (
        f'profile "{name}": host "odin" is of kind chip; '
        "a host prices operations and must be of kind op-only",
    )


def test_a_network_of_which_nothing_runs_on_the_chip_is_the_host_s(full: HardwareProfile) -> None:
    hosted = load_profile(full.name + HOST)
    binary = replace(
        spiking(), operands=(OperandCounts("unit", 30, 30, (1.0,), is_signed=True, bits=32),)
    )
    signs = replace(LIF, spikes_out=None)
    energy = priced(hosted, real(), signs, binary)
    alone = estimate(
        ModelCounts(samples=1, layers=(real(), signs, binary), time_steps=3),
        load_profile("cmos45-int8"),
    )
    # not an idle chip and a free comparison: what it costs on the host, and nothing else
    assert energy.total_pj == pytest.approx(alone.total_pj)
    assert energy.network.get("static", 0.0) == 0.0
    assert energy.latency_s is None
    assert energy.warnings == (
        f"{hosted.name}: no layer of this network runs on the chip: this is the price of the host "
        "alone, cmos45-int8",
    )


def test_neurons_that_send_no_spikes_are_the_host_s(full: HardwareProfile) -> None:
    hosted = load_profile(full.name + HOST)
    readout = replace(LIF, name="readout", spikes_out=None)
    energy = priced(hosted, spiking(), LIF, readout)
    assert energy.complete
    of_readout = energy.layers[2].energy_pj
    # what the host charges for the same events
    [alone] = estimate(
        ModelCounts(samples=1, layers=(readout,), time_steps=3), load_profile("cmos45-int8")
    ).layers
    assert of_readout == {"host": pytest.approx(alone.total_pj)}


def test_neurons_of_the_host_take_no_place_on_a_chip(full: HardwareProfile) -> None:
    hosted = load_profile(full.name + HOST)
    signs = replace(LIF, name="signs", neurons=400, spikes_out=None)
    assert priced(hosted, real(), signs, spiking(), LIF).warnings == ()


def test_signs_cannot_pass_for_spikes_where_nobody_recorded_them(full: HardwareProfile) -> None:
    unknown = spiking(operands=(), ops=OpCounts(binary=60, dense_binary=600), spikes_in=10.0)
    energy = priced(load_profile(full.name + HOST), unknown, LIF)
    assert "fc: what flowed in is not recorded: count it again" in energy.missing
