"""Break-even: the quotients of the papers, roots where the bill bends, and why there is none."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dse import count
from dse.design import Design
from dse.variants import family
from energy_models import (
    BreakEven,
    Geometry,
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
    ann_of,
    baselines,
    break_even,
    estimate,
    load_profile,
)
from energy_models.rates import at_scale

FP32 = "cmos45-fp32"
PLAIN = f"{FP32}+neuron_updates=excluded"

CHIP = """
name: bent
title: a chip whose time is that of its steps, or of its events
kind: chip
node_nm: 28
voltage_v: 0.9
number_format: int8
reference: made up
energy:
  ac: {value_pj: 1, bits: 8, scope: marginal, basis: assumption, source: made up}
power:
  static: {value_mw: 1, basis: assumption, source: made up}
time:
  step: {value_ns: 10, basis: assumption, source: made up}
  ac: {value_ns: 1, basis: assumption, source: made up}
excludes:
  neuron: made up
  spike: made up
  message: made up
  hop: made up
  inference: made up
  input_bit: made up
"""


def layer(name: str = "fc", spikes: float = 10, n_out: int = 3, steps: int = 4) -> LayerCounts:
    """5 inputs, some of which spike, to 3 outputs."""
    return LayerCounts(
        name,
        "linear",
        ops=OpCounts(ac=n_out * spikes, dense_ac=5 * n_out * steps),
        geometry=Geometry(5, n_out),
        weight_kind="real",
        input_kind="unit",
        weights=5 * n_out,
        outputs=n_out * steps,
        spikes_in=spikes,
        operands=(OperandCounts("unit", 5 * steps, spikes),),
        steps=(StepCounts(),) * steps,
        calls=(StepCounts(),),
    )


def neurons(fed_by: tuple[str, ...] = ("fc",), **updates: float) -> LayerCounts:
    found = NeuronUpdates(**updates)
    return LayerCounts(
        "lif", "neuron", neurons=3, outputs=12, spikes_out=2, fed_by=fed_by, updates=found
    )


def network(*rows: LayerCounts) -> ModelCounts:
    return ModelCounts(samples=1, layers=rows or (layer(),), time_steps=4)


def found(counts: ModelCounts, profile: str, opponent: str = FP32) -> BreakEven:
    return break_even(counts, load_profile(profile), opponent)


@pytest.mark.parametrize(
    ("numbers", "per_synapse"),
    [
        ("fp32", 4.6 / 0.9),  # 5.11
        ("fp16", 1.5 / 0.4),  # 3.75
        ("int32", 3.2 / 0.1),  # 32
        ("int8", 0.23 / 0.03),  # 7.67
    ],
)
def test_one_layer_by_its_operations(numbers: str, per_synapse: float) -> None:
    name = f"cmos45-{numbers}"
    both = found(network(), name, name)
    for crossing in (both.network, *both.layers):
        assert crossing.per_synapse == pytest.approx(per_synapse, rel=1e-12)
        assert crossing.rate == pytest.approx(per_synapse / 4, rel=1e-12)
        assert crossing.measured_rate == 0.5
        assert crossing.method == "closed form"
    assert [crossing.name for crossing in (both.network, *both.layers)] == ["(network)", "fc"]
    assert (both.profile, both.opponent) == (name, name)


def test_each_side_may_have_its_own_numbers() -> None:
    # a spiking network in fp32 against an ANN in int8: 0.23 / 0.9
    crossing = found(network(), FP32, "cmos45-int8").network
    assert crossing.per_synapse == pytest.approx(0.23 / 0.9)
    assert crossing.reason == ""


def test_a_rate_above_one_is_a_number_and_said_to_be_out_of_reach() -> None:
    # 5.11 / 4 steps = 1.28
    assert found(network(), FP32).network.reason.startswith("always cheaper: a rate above 1")
    # 3.75 / 4 = 0.94
    assert found(network(), "cmos45-fp16", "cmos45-fp16").network.reason == ""


def test_neurons_are_paid_at_every_rate() -> None:
    # s: 30 AC, and 2 resets; not s: 9 integrations and 12 comparisons
    counts = network(layer(), neurons(integrate=9, compare=12, reset=2))
    crossing = found(counts, FP32).layers[0]
    # 15 x 4.6 = (30 s + 2 s + 21) x 0.9
    scale = (15 * 4.6 - 21 * 0.9) / (32 * 0.9)
    assert crossing.rate == pytest.approx(0.5 * scale)
    assert found(counts, FP32).network.rate == pytest.approx(0.5 * scale)


def test_a_real_layer_is_paid_at_every_rate() -> None:
    stem = LayerCounts(
        "stem",
        "linear",
        ops=OpCounts(mac=30, dense_mac=30),
        outputs=5,
        reused_steps=4,
        operands=(OperandCounts("real", 6, 6),),
        calls=(StepCounts(),),
    )
    both = found(network(stem, layer()), PLAIN)
    assert both.layers[0].reason == "no spikes enter: real inputs and signs follow no rate"
    # the stem is the same in both: 30 x 4.6 + 15 x 4.6 = 30 x 4.6 + 30 s x 0.9
    assert both.network.per_synapse == pytest.approx(4.6 / 0.9)
    twice = found(network(stem, layer()), f"{PLAIN}+first_layer=every-step")
    # 45 x 4.6 = 120 x 4.6 + ...: nothing is left for spikes
    assert (twice.network.rate, twice.network.method) == (None, "none")
    assert twice.network.reason == "never: dearer with no spike at all"


def test_there_is_no_rate_where_nothing_follows_it() -> None:
    flat = found(network(), f"{FP32}+charge.ac=dense").network
    # 60 x 0.9 < 15 x 4.6
    assert (flat.rate, flat.method) == (None, "none")
    assert flat.reason == "always cheaper: nothing that it pays for follows the rate"
    # 60 x 0.9 > 15 x 0.23
    dear = found(network(), f"{FP32}+charge.ac=dense", "cmos45-int8").network
    assert dear.reason == "never: dearer with no spike at all"


def test_no_rate_to_scale() -> None:
    silent = found(network(layer(spikes=0)), FP32).network
    assert (silent.rate, silent.measured_rate) == (None, 0)
    assert silent.reason == "not one spike came in: there is no rate to scale"
    blind = found(network(replace(layer(), operands=())), FP32).layers[0]
    assert blind.reason == "the counts do not record what flowed in: count it again"
    signs = replace(layer(), operands=(OperandCounts("unit", 20, 20, is_signed=True),))
    assert found(network(signs), FP32).layers[0].reason.startswith("no spikes enter")


def test_what_has_no_price_has_no_rate() -> None:
    profile = load_profile(FP32)
    energy = {event: entry for event, entry in profile.energy.items() if event != "ac"}
    priceless = profile.model_copy(update={"energy": energy})
    both = break_even(network(), priceless, FP32)
    assert both.network.reason == "incomplete: fc: no energy for ac"
    assert both.layers[0].reason == "incomplete: fc: no energy for ac"
    wrong = replace(layer(), steps=(), calls=(StepCounts(),) * 3)
    refused = found(network(wrong), FP32)
    assert "fc: called 3 times in 4 time steps" in refused.network.reason
    assert refused.layers == ()


def test_neurons_of_several_layers_belong_to_the_last() -> None:
    both = ("fc", "shortcut")
    counts = network(layer(), layer("shortcut"), neurons(both, compare=12))
    found_here = found(counts, FP32)
    # 15 x 4.6 = 30 s x 0.9 without, and with 12 x 0.9
    assert found_here.layers[0].rate == pytest.approx(0.5 * 69 / 27)
    assert found_here.layers[1].rate == pytest.approx(0.5 * (69 - 10.8) / 27)
    assert found_here.notes == ("lif: fed by 2 layers, counted with shortcut",)
    lone = found(network(layer(), neurons((), compare=12)), FP32)
    assert lone.layers[0].rate == pytest.approx(0.5 * 69 / 27)
    assert lone.network.rate == pytest.approx(0.5 * (69 - 10.8) / 27)
    assert lone.notes == ("lif: nobody knows what feeds it: in the network alone",)


def test_spikes_that_meet_spikes_bend_the_bill() -> None:
    side = OperandCounts("unit", 20, 10)
    attention = replace(
        layer(),
        ops=OpCounts(ac=16, dense_ac=64),
        weight_kind="activation",
        weights=0,
        operands=(side, side),
    )
    crossing = found(network(attention), FP32).layers[0]
    # 16 x 4.6 = 16 s^2 x 0.9
    assert crossing.rate == pytest.approx(0.5 * (4.6 / 0.9) ** 0.5, rel=1e-9)
    assert crossing.method == "root"


@pytest.fixture
def bent(tmp_path: Path) -> HardwareProfile:
    path = tmp_path / "bent.yaml"
    path.write_text(CHIP)
    return load_profile(str(path))


@pytest.mark.parametrize(
    ("n_out", "scale"),
    [
        # 3 outputs: 30 s AC; 15 x 4.6 = 30 s + max(4 x 10, 30 s), while steps take longer
        (3, (69 - 40) / 30),
        # 9 outputs: 90 s AC; 45 x 4.6 = 90 s + max(40, 90 s), while events take longer
        (9, 207 / 180),
    ],
)
def test_a_chip_takes_the_longer_of_two_times(
    bent: HardwareProfile, n_out: int, scale: float
) -> None:
    counts = network(layer(n_out=n_out))
    crossing = break_even(counts, bent, FP32).network
    assert crossing.rate == pytest.approx(0.5 * scale, rel=1e-9)
    assert crossing.method == "root"
    # static power is of no layer: 5 n x 4.6 = 10 n s
    assert break_even(counts, bent, FP32).layers[0].rate == pytest.approx(0.5 * 2.3)


def test_static_power_alone_can_cost_more_than_the_ann(bent: HardwareProfile) -> None:
    # 4 x 10 pJ against 15 x 0.23
    crossing = break_even(network(), bent, "cmos45-int8").network
    assert crossing.reason == "never: dearer with no spike at all"


def test_an_ann_whose_layers_are_others_is_met_by_the_network_alone() -> None:
    counts = network(layer(), neurons())
    profile = load_profile(FP32)
    same = break_even(counts, profile, FP32, ann=ann_of(counts))
    assert same.network == break_even(counts, profile, FP32).network
    assert same.layers == ()
    # twice the layers of the ANN: twice the rate
    twice = network(layer("a"), layer("b"))
    doubled = break_even(network(layer()), profile, FP32, ann=ann_of(twice)).network
    assert doubled.rate == pytest.approx(2 * found(network(layer()), FP32).network.rate)


def test_document() -> None:
    document = found(network(), "cmos45-fp16", "cmos45-fp16").to_dict()
    crossing = {
        "rate": pytest.approx(0.9375),
        "per_synapse": pytest.approx(3.75),
        "measured_rate": 0.5,
        "method": "closed form",
        "reason": "",
    }
    assert document == {
        "profile": "cmos45-fp16",
        "opponent": "cmos45-fp16",
        "network": {"name": "(network)", **crossing},
        "layers": [{"name": "fc", **crossing}],
        "notes": [],
    }


@st.composite
def networks(draw: st.DrawFn) -> ModelCounts:
    """Layers that spike at random rates, with neurons that cost something at each step."""
    steps = draw(st.integers(1, 8))
    rows: list[LayerCounts] = []
    for index in range(draw(st.integers(1, 3))):
        name = f"fc{index}"
        spikes = draw(st.integers(1, 5 * steps))
        n_out = draw(st.integers(1, 40))
        rows.append(replace(layer(name, spikes, n_out, steps), name=name))
        each = draw(st.floats(0, 2))
        updates = NeuronUpdates(compare=n_out * each, reset=draw(st.floats(0, 10)))
        rows.append(replace(neurons((name,)), name=f"lif{index}", updates=updates))
    return ModelCounts(1, tuple(rows), time_steps=steps)


PROFILES = (FP32, "cmos45-int8", "cmos45-int32", "cmos45-sram-int8", "cmos45-cache-int8")


@settings(max_examples=60, deadline=None)
@given(counts=networks(), name=st.sampled_from(PROFILES), choice=st.integers(0, 3))
def test_at_the_break_even_rate_both_cost_the_same(
    counts: ModelCounts, name: str, choice: int
) -> None:
    opponents = baselines(counts, load_profile(name))
    opponent = opponents[choice % len(opponents)]
    assert opponent.hardware is not None
    assert opponent.total_pj is not None
    crossing = break_even(counts, opponent.hardware, opponent).network
    if crossing.rate is None:
        silent = at_scale(counts, 0, opponent.hardware)
        assert crossing.reason.startswith("never")
        assert estimate(silent, opponent.hardware).partial_pj >= opponent.total_pj
        return
    assert crossing.measured_rate is not None
    there = at_scale(counts, crossing.rate / crossing.measured_rate, opponent.hardware)
    exact = {"closed form": 1e-9, "root": 1e-6}[crossing.method]
    assert estimate(there, opponent.hardware).total_pj == pytest.approx(
        opponent.total_pj, rel=exact
    )


@settings(max_examples=25, deadline=None)
@given(spikes=st.integers(1, 20), n_out=st.sampled_from([3, 5, 9, 30]))
def test_a_chip_at_its_root_costs_what_the_ann_costs(
    tmp_path_factory: pytest.TempPathFactory, spikes: int, n_out: int
) -> None:
    path = tmp_path_factory.mktemp("chip") / "bent.yaml"
    path.write_text(CHIP)
    bent, counts = load_profile(str(path)), network(layer(spikes=spikes, n_out=n_out))
    target_pj = estimate(ann_of(counts), load_profile(FP32)).total_pj
    crossing = break_even(counts, bent, FP32).network
    assert crossing.rate is not None
    assert crossing.measured_rate is not None
    there = at_scale(counts, crossing.rate / crossing.measured_rate, bent)
    assert estimate(there, bent).total_pj == pytest.approx(target_pj, rel=1e-6)


@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
@pytest.mark.parametrize("name", [FP32, "cmos45-sram-int8"])
def test_real_networks_meet_their_ann(architecture: str, name: str) -> None:
    torch.manual_seed(0)
    design = Design.of("snn", architecture, {"threshold": 0.2})
    model = family.load("snn").build(design, (1, 8, 8), 10)
    counts = count(model, torch.rand(3, 1, 8, 8))
    for opponent in baselines(counts, load_profile(name)):
        assert opponent.hardware is not None
        assert opponent.ratio is not None
        both = break_even(counts, opponent.hardware, opponent)
        crossing = both.network
        assert crossing.measured_rate is not None
        assert [one.name for one in both.layers] == [row.name for row in ann_of(counts).layers]
        if crossing.rate is None:  # dearer with no spike at all
            assert crossing.reason.startswith("never")
            assert opponent.ratio < 1
            continue
        there = at_scale(counts, crossing.rate / crossing.measured_rate, opponent.hardware)
        assert estimate(there, opponent.hardware).total_pj == pytest.approx(opponent.total_pj)
        # cheaper below the rate, dearer above
        assert (opponent.ratio > 1) == (crossing.measured_rate < crossing.rate)
    with_readout = break_even(counts, load_profile(PLAIN), FP32)
    # no neurons behind it, no padding in it: the quotient of the papers
    assert with_readout.layers[-1].per_synapse == pytest.approx(4.6 / 0.9)
