"""Pricing one row: classes, policies, switches, and what is missing."""

from dataclasses import dataclass

import pytest

from energy_models import (
    HardwareProfile,
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    StepCounts,
    estimate,
    load_profile,
)
from energy_models.columns import Columns
from energy_models.models import kinds

FP32 = "cmos45-fp32"
CLASSES = ("mac", "ac", "graded", "binary")


@dataclass(frozen=True)
class Price:
    energy_pj: dict[str, float]
    missing: tuple[str, ...]
    used: frozenset[str]
    steps: tuple[float, ...]


def price_layer(row: LayerCounts, profile: HardwareProfile) -> Price:
    """One row, priced alone."""
    counts = ModelCounts(samples=1, layers=(row,))
    breakdown = estimate(counts, profile)
    (layer,) = breakdown.layers
    missing = tuple(text.removeprefix(f"{row.name}: ") for text in breakdown.missing)
    used = kinds.bill(Columns.side_by_side([counts]), profile).constants_used()
    names = frozenset(name.removeprefix("energy.") for name in used)
    return Price(dict(layer.energy_pj), missing, names, layer.steps)


def conv(steps: tuple[StepCounts, ...] = (), reused_steps: int = 1, **ops: float) -> LayerCounts:
    return LayerCounts(
        "conv1", "convolution", ops=OpCounts(**ops), steps=steps, reused_steps=reused_steps
    )


def without(profile: HardwareProfile, *events: str) -> HardwareProfile:
    energy = {event: entry for event, entry in profile.energy.items() if event not in events}
    return profile.model_copy(update={"energy": energy})


@pytest.mark.parametrize(
    ("ops", "expected_pj"),
    [
        # 10 positions * 4.6, although 3 inputs are zero
        ({"mac": 7, "dense_mac": 10}, 46.0),
        # 3 spikes that meet a weight * 0.9
        ({"ac": 3, "dense_ac": 10}, 2.7),
        # sum of |k| is 5: 5 * 0.9, and 2 units * 0.9 in the same tensor
        ({"ac": 2, "graded": 2, "graded_accumulates": 5, "dense_graded": 10}, 6.3),
        # 100 positions * 0.03
        ({"binary": 20, "dense_binary": 100}, 3.0),
    ],
)
def test_default_charges(ops: dict[str, float], expected_pj: float) -> None:
    price = price_layer(conv(**ops), load_profile(FP32))
    assert price.energy_pj == {"synaptic_compute": pytest.approx(expected_pj)}
    assert price.missing == ()


@pytest.mark.parametrize(
    ("options", "ops", "expected_pj"),
    [
        # zero skipping: 7 * 4.6
        ("+charge.mac=effective", {"mac": 7, "dense_mac": 10}, 32.2),
        # no zero skipping: 10 * 0.9
        ("+charge.ac=dense", {"ac": 3, "dense_ac": 10}, 9.0),
        # 20 * 0.03
        ("+charge.binary=effective", {"binary": 20, "dense_binary": 100}, 0.6),
        # 3 products of small integers * 4.6
        ("+graded=mac", {"graded": 3, "graded_accumulates": 7, "dense_graded": 10}, 13.8),
        # every position of a tensor of small integers is one MAC: 10 * 4.6, its units within
        (
            "+charge.graded=dense",
            {"ac": 2, "graded": 3, "graded_accumulates": 7, "dense_graded": 10},
            46.0,
        ),
        # 64 binary operations cost one MAC: 128 * 4.6 / 64
        ("+binary=bops-64", {"binary": 20, "dense_binary": 128}, 9.2),
    ],
)
def test_charge_options(options: str, ops: dict[str, float], expected_pj: float) -> None:
    price = price_layer(conv(**ops), load_profile(FP32 + options))
    assert price.energy_pj == {"synaptic_compute": pytest.approx(expected_pj)}


def test_the_class_of_the_tensor_decides_for_all_its_products() -> None:
    # small integers by binary weights: 4 units are `binary`, 2 products are graded with sum |k| 5;
    # `binary: dense` must not lose the units, whose positions are booked to dense_graded
    row = conv(binary=4, graded=2, graded_accumulates=5, dense_graded=10)
    price = price_layer(row, load_profile(FP32))
    # 4 * 0.03 + 5 * 0.9
    assert price.energy_pj == {"synaptic_compute": pytest.approx(4.62)}
    # real values counted one by one: units are `ac`, and stand in dense_mac already
    row = conv(mac=5, ac=3, dense_mac=10)
    # 10 * 4.6, not + 3 * 0.9
    assert price_layer(row, load_profile(FP32)).energy_pj["synaptic_compute"] == pytest.approx(46)


def test_rows_of_several_tensor_classes_are_charged_class_by_class() -> None:
    row = conv(mac=5, dense_mac=10, ac=3, dense_ac=20)
    # 10 * 4.6 + 3 * 0.9
    price = price_layer(row, load_profile(FP32))
    assert price.energy_pj["synaptic_compute"] == pytest.approx(48.7)


def test_a_graded_price_of_its_own_comes_first() -> None:
    profile = load_profile(FP32)
    own = profile.energy["mac"].model_copy(update={"value_pj": 2.0})
    profile = profile.model_copy(update={"energy": {**profile.energy, "graded": own}})
    row = conv(graded=3, graded_accumulates=7, dense_graded=10)
    # 3 * 2.0
    assert price_layer(row, profile).energy_pj == {"synaptic_compute": 6.0}


def test_neuron_updates() -> None:
    updates = NeuronUpdates(state_read=7, leak=1, integrate=2, compare=3, reset=4, state_write=8)
    row = LayerCounts("lif1", "neuron", updates=updates)
    # 1 * 3.7 + (2 + 3 + 4) * 0.9; reads and writes are memory, which the profile leaves out
    price = price_layer(row, load_profile(FP32))
    assert price.energy_pj == {"neuron_updates": pytest.approx(11.8)}
    assert price.used == {"leak", "integrate", "compare", "reset"}
    excluded = price_layer(row, load_profile(f"{FP32}+neuron_updates=excluded"))
    assert excluded.energy_pj == {}
    assert excluded.missing == ()


def test_bias() -> None:
    row = LayerCounts(
        "fc",
        "linear",
        ops=OpCounts(mac=6, dense_mac=6),
        has_bias=True,
        outputs=3,
        reused_steps=4,
    )
    assert "bias" not in price_layer(row, load_profile(FP32)).energy_pj
    # 3 * 0.9
    added = price_layer(row, load_profile(f"{FP32}+bias=add"))
    assert added.energy_pj["bias"] == pytest.approx(2.7)
    # 4 steps * 3 * 0.9, and 4 * 6 * 4.6
    every_step = price_layer(row, load_profile(f"{FP32}+bias=add+first_layer=every-step"))
    assert every_step.energy_pj == {
        "synaptic_compute": pytest.approx(110.4),
        "bias": pytest.approx(10.8),
    }


def test_a_missing_constant_is_named_and_costs_nothing_known() -> None:
    profile = without(load_profile(FP32), "mac", "leak")
    assert price_layer(conv(mac=1, dense_mac=1), profile).missing == ("no energy for mac",)
    assert price_layer(conv(mac=1, dense_mac=1), profile).energy_pj == {}
    row = LayerCounts("lif", "neuron", updates=NeuronUpdates(leak=1, compare=2))
    price = price_layer(row, profile)
    assert price.missing == ("no energy for leak",)
    # 2 * 0.9 is known
    assert price.energy_pj == {"neuron_updates": pytest.approx(1.8)}


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_can_be_missing(name: str) -> None:
    profile = without(load_profile(FP32), "mac", "ac", "binary")
    row = conv(**{name: 2.0, f"dense_{name}": 4.0, "graded_accumulates": 4.0})
    needed = "ac" if name == "graded" else name
    assert price_layer(row, profile).missing == (f"no energy for {needed}",)


def test_what_did_not_happen_is_not_missing() -> None:
    profile = without(load_profile(FP32), "ac")
    assert price_layer(conv(ac=0, dense_ac=10), profile).missing == ()


def test_an_excluded_class_is_not_missing() -> None:
    profile = without(load_profile(FP32), "mac")
    profile = profile.model_copy(update={"excludes": {"mac": "the host multiplies"}})
    for row in (conv(mac=1, dense_mac=1), conv(mac=1)):
        price = price_layer(row, profile)
        assert (price.energy_pj, price.missing) == ({}, ())


def test_products_without_the_count_they_are_paid_by() -> None:
    price = price_layer(conv(mac=24), load_profile(FP32))
    assert price.energy_pj == {}
    assert price.missing == ("mac is charged dense, but of 24 products only 0 are counted dense",)
    price = price_layer(conv(mac=5, ac=9, dense_mac=5), load_profile(FP32))
    assert price.missing == ("mac is charged dense, but of 14 products only 5 are counted dense",)
    price = price_layer(conv(graded=2, dense_graded=3), load_profile(FP32))
    assert price.missing == ("no graded_accumulates for the graded products",)
    # as MACs they need no sum of |k|
    as_mac = price_layer(conv(graded=2, dense_graded=3), load_profile(f"{FP32}+graded=mac"))
    assert as_mac.missing == ()
    # effective charges need no dense count
    assert price_layer(conv(ac=24), load_profile(FP32)).missing == ()


def test_steps_add_up_to_the_layer() -> None:
    steps = (StepCounts(ac=1), StepCounts(ac=0), StepCounts(ac=4))
    price = price_layer(conv(steps=steps, ac=5, dense_ac=30), load_profile(FP32))
    # 1 * 0.9, 0 * 0.9, 4 * 0.9
    assert price.steps == pytest.approx((0.9, 0.0, 3.6))
    assert sum(price.steps) == pytest.approx(price.energy_pj["synaptic_compute"])


def test_steps_are_unknown_for_dense_charges_and_accumulated_integers() -> None:
    steps = (StepCounts(mac=5, graded=5),)
    assert price_layer(conv(steps=steps, mac=5, dense_mac=9), load_profile(FP32)).steps == ()
    graded = conv(steps=steps, graded=5, graded_accumulates=11, dense_graded=9)
    assert price_layer(graded, load_profile(FP32)).steps == ()
    # as MACs they are known: 5 * 4.6
    as_mac = price_layer(graded, load_profile(f"{FP32}+graded=mac"))
    assert as_mac.steps == pytest.approx((23.0,))


def test_steps_without_a_price() -> None:
    row = conv(steps=(StepCounts(mac=1, ac=2),), mac=1, ac=2, dense_mac=5, dense_ac=5)
    profile = without(load_profile(f"{FP32}+charge.mac=effective"), "ac")
    # a missing constant leaves them unknown
    assert price_layer(row, profile).steps == ()
    # an excluded class leaves the others: 1 * 4.6
    profile = profile.model_copy(update={"excludes": {"ac": "not of interest"}})
    assert price_layer(row, profile).steps == pytest.approx((4.6,))


@pytest.mark.parametrize(
    "steps",
    [(StepCounts(mac=5),), (StepCounts(mac=5), StepCounts(), StepCounts())],
    ids=["one evaluation", "zeros after it"],
)
def test_a_recomputed_layer_costs_the_same_at_each_step(steps: tuple[StepCounts, ...]) -> None:
    row = conv(steps=steps, reused_steps=3, mac=5, dense_mac=9)
    profile = load_profile(f"{FP32}+charge.mac=effective+first_layer=every-step")
    price = price_layer(row, profile)
    # 5 * 4.6, three times
    assert price.steps == pytest.approx((23.0, 23.0, 23.0))
    assert price.energy_pj["synaptic_compute"] == pytest.approx(69.0)


def hosted_parts(name: str, row: LayerCounts) -> tuple[dict[str, float], tuple[str, ...]]:
    price = price_layer(row, load_profile(name))
    return price.energy_pj, price.missing


ACCELERATOR = "bnn-xne"  # prices binary, leaves out compare, knows nothing else


@pytest.mark.parametrize(
    ("host", "row", "expected_pj"),
    [
        # 100 x 0.0432 here, and nothing for the host
        ("cmos45-int8", conv(dense_binary=100, binary=30), {"synaptic_compute": 4.32}),
        # 10 x 0.23, 3 x 0.03, and 5 accumulates x 0.03 of a tensor of small integers
        ("cmos45-int8", conv(dense_mac=10, mac=7), {"host": 2.3}),
        ("cmos45-int8", conv(dense_ac=10, ac=3), {"host": 0.09}),
        ("cmos45-int8", conv(dense_graded=10, graded=2, graded_accumulates=5), {"host": 0.15}),
        # the units of that tensor go where the tensor goes: (5 + 4) x 0.03
        (
            "cmos45-int8",
            conv(dense_graded=10, graded=2, graded_accumulates=5, binary=4),
            {"host": 0.27},
        ),
        # the host has its own conventions: zeros are skipped, 7 x 0.23
        ("cmos45-int8+charge.mac=effective", conv(dense_mac=10, mac=7), {"host": 1.61}),
    ],
)
def test_a_row_goes_to_the_host_as_a_whole(
    host: str, row: LayerCounts, expected_pj: dict[str, float]
) -> None:
    energy_pj, missing = hosted_parts(f"{ACCELERATOR}+host={host}", row)
    assert missing == ()
    assert {name: pj for name, pj in energy_pj.items() if pj} == pytest.approx(expected_pj)


def test_neuron_events_go_to_the_host_one_by_one() -> None:
    row = LayerCounts(
        "lif", "neuron", updates=NeuronUpdates(leak=5, integrate=4, compare=9, state_read=2)
    )
    # 5 x 0.2 + 4 x 0.03; the comparison is inside the accelerator, the state is left out there
    energy_pj, missing = hosted_parts(f"{ACCELERATOR}+host=cmos45-int8", row)
    assert missing == ()
    assert energy_pj == pytest.approx({"host": 1.12})
    energy_pj, missing = hosted_parts(
        f"{ACCELERATOR}+neuron_updates=excluded+host=cmos45-int8", row
    )
    assert (sum(energy_pj.values()), missing) == (0, ())


def test_what_the_host_lacks_is_missing_too() -> None:
    row = conv(dense_mac=10, mac=7)
    _, missing = hosted_parts(f"{ACCELERATOR}+host=bnn-binareye", row)
    assert missing == ("host bnn-binareye: no energy for mac",)


def test_a_host_changes_nothing_where_every_price_is_known() -> None:
    row = conv(dense_mac=10, mac=7)
    alone = price_layer(row, load_profile(FP32))
    assert price_layer(row, load_profile(f"{FP32}+host=cmos45-int8")) == alone
