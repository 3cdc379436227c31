"""The breakdown: totals, what is missing, assumptions, documents, and the laws of a sum."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy_models import (
    EnergyBreakdown,
    LayerCounts,
    LayerEnergy,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    StepCounts,
    Uncounted,
    estimate,
    list_profiles,
    load_profile,
)

FP32 = "cmos45-fp32"
OP_ONLY = [name for name in list_profiles() if load_profile(name).kind == "op-only"]

whole = st.integers(min_value=0, max_value=10**12)


@st.composite
def layers(draw: st.DrawFn) -> LayerCounts:
    """A row of one tensor class with effective <= dense, and neuron events."""
    name = draw(st.sampled_from(["mac", "ac", "graded", "binary"]))
    effective, skipped = draw(whole), draw(whole)
    ops = {name: effective, f"dense_{name}": effective + skipped}
    if name == "graded":
        ops["graded_accumulates"] = 3 * effective
    updates = NeuronUpdates(leak=draw(whole), compare=draw(whole), state_read=draw(whole))
    return LayerCounts(
        f"layer{draw(st.integers(0, 3))}", "linear", ops=OpCounts(**ops), updates=updates
    )


def counts_of(*rows: LayerCounts) -> ModelCounts:
    return ModelCounts(samples=1, layers=rows)


def scaled(row: LayerCounts, factor: int) -> LayerCounts:
    ops, updates = OpCounts(), NeuronUpdates()
    for _ in range(factor):
        ops, updates = ops + row.ops, updates + row.updates
    return replace(row, ops=ops, updates=updates)


def total_pj(energy: EnergyBreakdown) -> float:
    assert energy.total_pj is not None
    return energy.total_pj


def small_network() -> ModelCounts:
    return ModelCounts(
        samples=2,
        time_steps=2,
        layers=(
            LayerCounts("conv1", "convolution", ops=OpCounts(mac=8, dense_mac=10)),
            LayerCounts("lif1", "neuron", updates=NeuronUpdates(integrate=4, compare=6)),
            LayerCounts(
                "fc",
                "linear",
                ops=OpCounts(ac=3, dense_ac=20),
                steps=(StepCounts(ac=1), StepCounts(ac=2)),
            ),
        ),
        not_priced={"max_pool2d": {"calls": 2, "elements": 5}},
        assumptions=("folded: bn1 into conv1",),
    )


def test_breakdown_by_layer_and_component() -> None:
    energy = estimate(small_network(), load_profile(FP32))
    # conv1 10 * 4.6      lif1 (4 + 6) * 0.9      fc 3 * 0.9
    assert energy.by_layer() == pytest.approx({"conv1": 46.0, "lif1": 9.0, "fc": 2.7})
    assert energy.total_pj == pytest.approx(57.7)
    assert energy.complete
    assert energy.network == {}
    assert energy.rows() == [
        {"layer": "conv1", "component": "synaptic_compute", "energy_pj": pytest.approx(46.0)},
        {"layer": "lif1", "component": "neuron_updates", "energy_pj": pytest.approx(9.0)},
        {"layer": "fc", "component": "synaptic_compute", "energy_pj": pytest.approx(2.7)},
    ]


def test_document() -> None:
    energy = estimate(small_network(), load_profile(FP32))
    document = json.loads(json.dumps(energy.to_dict(), allow_nan=False))
    assert document == {
        "total_pj": pytest.approx(57.7),
        "complete": True,
        "missing": [],
        "partial_pj": pytest.approx(57.7),
        "network": {},
        "layers": [
            {"name": "conv1", "energy_pj": {"synaptic_compute": pytest.approx(46)}, "steps": []},
            {"name": "lif1", "energy_pj": {"neuron_updates": pytest.approx(9)}, "steps": []},
            {
                "name": "fc",
                "energy_pj": {"synaptic_compute": pytest.approx(2.7)},
                "steps": pytest.approx([0.9, 1.8]),
            },
        ],
        "assumptions": list(energy.assumptions),
        "warnings": [],
        "latency_s": None,
        "intervals": None,
    }


def test_assumptions_name_every_convention() -> None:
    energy = estimate(small_network(), load_profile(f"{FP32}+first_layer=every-step"))
    assert energy.assumptions == (
        "folded: bn1 into conv1",
        "charge: mac dense, ac effective, graded effective, binary dense "
        "(dense: every position; effective: two non-zero operands)",
        "first_layer: every-step: a layer evaluated once for several steps is paid at each",
        "graded: accumulates: a product by a small integer k costs |k| accumulates",
        "neuron_updates: counted: neuron events are priced",
        "bias: excluded: a bias costs nothing: it initialises the accumulator",
        "left out: state_read: operations only: memory is not priced",
        "left out: state_write: operations only: memory is not priced",
        "left out: memory: operations only: fetching weights and moving activations is not priced",
        "left out: control: the source estimates the bare unit, without registers, wires "
        "and control",
        "left out: element_wise: pooling, normalisation that does not fold, and other "
        "element-wise work is not priced",
        "assumption: compare 0.9 pJ: the source has no comparison: "
        "taken as an addition of the same width",
        "not priced: max_pool2d",
    )


def test_every_switch_value_has_its_words() -> None:
    choices = load_profile(FP32).choices()
    switches = ["first_layer", "graded", "neuron_updates", "bias"]
    for switch in switches:
        for value in choices[switch]:
            energy = estimate(small_network(), load_profile(f"{FP32}+{switch}={value}"))
            assert any(line.startswith(f"{switch}: {value}: ") for line in energy.assumptions)


def test_a_graded_price_of_its_own_is_named() -> None:
    profile = load_profile(FP32)
    energy = {**profile.energy, "graded": profile.energy["mac"]}
    breakdown = estimate(small_network(), profile.model_copy(update={"energy": energy}))
    words = "graded: a product by a small integer has a price of its own"
    assert words in breakdown.assumptions


def test_a_missing_constant_leaves_no_total() -> None:
    profile = load_profile(FP32)
    energy = {event: entry for event, entry in profile.energy.items() if event != "mac"}
    breakdown = estimate(small_network(), profile.model_copy(update={"energy": energy}))
    assert breakdown.missing == ("conv1: no energy for mac",)
    assert not breakdown.complete
    assert breakdown.total_pj is None
    # lif1 9.0 + fc 2.7 are known
    assert breakdown.partial_pj == pytest.approx(11.7)
    assert breakdown.to_dict()["total_pj"] is None


def test_an_uncounted_operation_leaves_no_total() -> None:
    uncounted = {"aten.foo": Uncounted(calls=1), "aten.bar": Uncounted(calls=2)}
    energy = estimate(replace(small_network(), uncounted=uncounted), load_profile(FP32))
    assert energy.missing == ("uncounted: aten.foo", "uncounted: aten.bar")
    assert energy.total_pj is None
    assert energy.partial_pj == pytest.approx(57.7)


def test_network_terms_stand_beside_the_layers() -> None:
    energy = EnergyBreakdown(
        profile="chip",
        layers=(LayerEnergy("fc", "linear", {"synaptic_compute": 2.0, "bias": 1.0}),),
        network={"static": 4.0},
        missing=(),
        assumptions=(),
    )
    assert energy.total_pj == 7.0
    assert energy.rows()[-1] == {
        "layer": "(network)",
        "component": "static",
        "energy_pj": 4.0,
    }
    assert sum(row["energy_pj"] for row in energy.rows()) == energy.total_pj


def test_an_empty_network_costs_nothing() -> None:
    assert estimate(counts_of(), load_profile(FP32)).total_pj == 0


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(layers(), max_size=4))
def test_totals_are_layers_plus_network(rows: list[LayerCounts]) -> None:
    energy = estimate(counts_of(*rows), load_profile(FP32))
    parts = [*energy.by_layer().values(), *energy.network.values()]
    assert total_pj(energy) == pytest.approx(sum(parts))
    assert total_pj(energy) == pytest.approx(sum(row["energy_pj"] for row in energy.rows()))


@settings(max_examples=25, deadline=None)
@given(first=st.lists(layers(), max_size=3), second=st.lists(layers(), max_size=3))
def test_energy_adds_up_over_layers(first: list[LayerCounts], second: list[LayerCounts]) -> None:
    profile = load_profile(FP32)
    apart = [total_pj(estimate(counts_of(*rows), profile)) for rows in (first, second)]
    assert total_pj(estimate(counts_of(*first, *second), profile)) == pytest.approx(sum(apart))


@settings(max_examples=25, deadline=None)
@given(row=layers(), factor=st.integers(0, 5), profile=st.sampled_from(OP_ONLY))
def test_energy_is_linear_in_counts(row: LayerCounts, factor: int, profile: str) -> None:
    prices = load_profile(profile)
    once = total_pj(estimate(counts_of(row), prices))
    assert total_pj(estimate(counts_of(scaled(row, factor)), prices)) == pytest.approx(
        factor * once
    )


@settings(max_examples=25, deadline=None)
@given(row=layers())
def test_zero_skipping_never_costs_more(row: LayerCounts) -> None:
    skipping = load_profile(f"{FP32}+charge.mac=effective+charge.binary=effective")
    dense = estimate(counts_of(row), load_profile(FP32))
    assert total_pj(estimate(counts_of(row), skipping)) <= total_pj(dense)
