"""Pricing: the energy of a record, and operators that a sweep admits by name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dse.pricing import admit, by_reason, energy_draws, missing, opponents, price
from energy_models import (
    LayerCounts,
    ModelCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    Uncounted,
    list_profiles,
    load_profile,
)

COUNTS = ModelCounts(
    samples=1,
    layers=(LayerCounts("fc", "linear", OpCounts(mac=5, dense_mac=10), weight_kind="real"),),
    uncounted={"aten.strange": Uncounted(calls=1)},
)


def test_an_unknown_operator_leaves_no_total():
    [(name, energy)] = price(COUNTS, ["cmos45-fp32"]).items()
    assert name == "cmos45-fp32"
    assert energy["total_pj"] is None
    assert energy["missing"] == ["uncounted: aten.strange"]
    assert energy["partial_pj"] == 46.0  # 10 x 4.6


def test_admitted_by_name_it_costs_nothing_and_is_said():
    admitted = admit(COUNTS, ["aten.strange", "aten.other"])
    assert price(admitted, ["cmos45-fp32"])["cmos45-fp32"]["total_pj"] == 46.0
    assert admitted.assumptions == ("not counted, admitted by name: aten.strange",)
    assert admit(COUNTS, ["aten.other"]) is COUNTS


def test_draws_of_designs_meet_the_same_hardware():
    bigger = replace(COUNTS, uncounted={}, layers=(replace(COUNTS.layers[0], name="other"),))
    designs = [replace(COUNTS, uncounted={}), None, bigger]
    draws = energy_draws(designs, {"energy_pj_x": "cmos45-int8+node=7nm"})
    assert draws is None  # a MAC has no range there
    draws = energy_draws(designs, {"energy_pj_x": "gpu-quadro-k4000"})
    assert draws is not None
    table = draws.energies_pj["energy_pj_x"]
    assert table.shape == (1000, 3)
    assert np.array_equal(table[:, 0], table[:, 2])
    assert np.isnan(table[:, 1]).all()
    assert table[:, 0].std() > 0
    assert any("energy.mac" in text for text in draws.drawn)


@pytest.mark.parametrize("name", list_profiles())
def test_stored_counts_are_priced_as_at_trial_time(name):
    counts = ModelCounts(
        samples=3,
        time_steps=2,
        layers=(
            LayerCounts(
                "conv",
                "convolution",
                OpCounts(mac=7 / 3, dense_mac=10),
                weights=5,
                weight_kind="real",
                operands=(OperandCounts("real", 9, 8 / 3, bits=32),),
                outputs=4,
                reused_steps=2,
            ),
            LayerCounts(
                "lif",
                "neuron",
                neurons=4,
                spikes_out=5 / 3,
                fed_by=("conv",),
                updates=NeuronUpdates(
                    integrate=8, compare=8, state_read=4, state_write=4, reset=5 / 3
                ),
            ),
            LayerCounts(
                "fc",
                "linear",
                OpCounts(ac=10 / 3, dense_ac=16),
                weights=8,
                weight_kind="real",
                operands=(OperandCounts("unit", 8, 5 / 3, bits=32),),
                outputs=4,
                spikes_in=5 / 3,
            ),
            LayerCounts(
                "binary",
                "linear",
                OpCounts(binary=16, dense_binary=16),
                weights=4,
                weight_kind="binary",
                weight_bits=1,
                operands=(OperandCounts("unit", 4, 4, (1.0,), is_signed=True, bits=32),),
                outputs=4,
            ),
        ),
    )
    stored = ModelCounts.from_dict(json.loads(json.dumps(counts.to_dict())))
    assert price(stored, [name]) == price(counts, [name])  # to the last bit
    assert price(counts, [name])[name]["partial_pj"] > 0


def test_what_a_design_would_do_without_a_price():
    found = missing(replace(COUNTS, uncounted={}), ["cmos45-fp32", "truenorth"])
    assert list(found) == ["truenorth"]
    assert found["truenorth"][0].startswith("fc: no energy for mac")


def test_the_ordinary_network_is_no_opponent_of_itself():
    assert opponents(replace(COUNTS, uncounted={}), load_profile("cmos45-fp32")) == ()


def test_reasons_are_told_once_with_their_first_layers():
    texts = ["a: no mac", "b: no mac", "c: no mac", "d: no mac", "a: no leak", "uncounted"]
    assert by_reason(texts) == "a, b, c ...: no mac; a: no leak; uncounted"
    assert by_reason([]) == ""
