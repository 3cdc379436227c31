"""What the ranges of the constants make of an energy."""

import json

import numpy as np
import pytest

from energy_models import (
    LayerCounts,
    ModelCounts,
    OpCounts,
    OperandCounts,
    estimate,
    list_profiles,
    load_profile,
)
from energy_models.values import draws_of, ranges_of, values_of

COUNTS = ModelCounts(
    samples=1,
    layers=(LayerCounts("fc", "linear", ops=OpCounts(mac=1000, dense_mac=1000)),),
)


def ranged(distribution: str = "log-uniform"):
    profile = load_profile("cmos45-fp32")
    mac = profile.prices["mac"].model_copy(
        update={"low_pj": 1.0, "high_pj": 16.0, "range_source": "x", "distribution": distribution}
    )
    return profile.model_copy(update={"energy": {**profile.energy, "mac": mac}})


def test_log_uniform_draws_have_their_middle_at_the_geometric_mean() -> None:
    draws = draws_of(ranged(), 20000, seed=1)["energy.mac"]
    assert draws.shape == (20000, 1)
    assert draws.min() >= 1.0
    assert draws.max() <= 16.0
    # sqrt(1 * 16); the median of 20000 draws lies within 2 %
    assert np.median(draws) == pytest.approx(4.0, rel=0.04)
    # half of the logarithm below, half above
    assert (draws < 2.0).mean() == pytest.approx(0.25, abs=0.02)


def test_uniform_draws() -> None:
    draws = draws_of(ranged("uniform"), 20000, seed=1)["energy.mac"]
    # (1 + 16) / 2
    assert draws.mean() == pytest.approx(8.5, rel=0.02)


def test_an_interval_holds_the_share_of_the_draws_that_it_says() -> None:
    found = estimate(COUNTS, ranged(), uncertainty=True, draws=4000, seed=2).intervals
    assert found is not None
    # 1000 MAC between 1 and 16 pJ; 95 % in the middle of the logarithm: 16 ** 0.025 and 16 ** 0.975
    assert found.total.low_pj == pytest.approx(1000 * 16**0.025, rel=0.02)
    assert found.total.median_pj == pytest.approx(4000, rel=0.06)
    assert found.total.high_pj == pytest.approx(1000 * 16**0.975, rel=0.02)
    assert found.components["synaptic_compute"] == found.total
    assert found.drawn == {"energy.mac": (1.0, 16.0)}
    assert found.fixed == ()


def test_constants_without_a_range_are_fixed_and_listed() -> None:
    found = estimate(COUNTS, load_profile("cmos45-fp32"), uncertainty=True).intervals
    assert found is not None
    assert found.drawn == {}
    assert found.fixed == ("energy.mac",)
    # 1000 * 4.6
    assert found.total.low_pj == found.total.high_pj == pytest.approx(4600.0)


def test_a_total_at_an_end_of_its_interval_says_so() -> None:
    profile = ranged()
    inside = estimate(COUNTS, profile, uncertainty=True).intervals
    assert inside is not None
    assert inside.at_an_end == ()  # 4.6 lies between 1 and 16
    low = profile.prices["mac"].model_copy(update={"low_pj": 4.6})
    at_end = profile.model_copy(update={"energy": {**profile.energy, "mac": low}})
    found = estimate(COUNTS, at_end, uncertainty=True).intervals
    assert found is not None
    assert found.at_an_end == ("energy.mac is priced at the low end of its range",)
    # 1000 * 4.6 is below all but the smallest draws
    assert found.total.low_pj > 4600


@pytest.mark.parametrize("name", list_profiles())
def test_every_shipped_total_lies_in_its_interval_or_says_why_not(name: str) -> None:
    rows = (
        LayerCounts(
            "a",
            "linear",
            ops=OpCounts(mac=1000, dense_mac=1000),
            weights=10,
            operands=(OperandCounts("real", 100, 100, bits=32),),
        ),
        LayerCounts(
            "b",
            "linear",
            ops=OpCounts(ac=1000, dense_ac=9000),
            weights=90,
            spikes_in=9,
            operands=(OperandCounts("unit", 100, 9, bits=32),),
        ),
    )
    energy = estimate(ModelCounts(1, rows), load_profile(name), uncertainty=True)
    found = energy.intervals
    assert found is not None
    is_inside = (
        found.total.low_pj * (1 - 1e-9) <= energy.partial_pj <= found.total.high_pj * (1 + 1e-9)
    )
    assert is_inside or found.at_an_end


def test_one_number_under_several_names_is_drawn_once() -> None:
    # on this CPU a spike, and a binary product, are taken like a MAC
    draws = draws_of(load_profile("cpu-xeon-e5-2630"), 100, seed=1)
    assert np.array_equal(draws["energy.mac"], draws["energy.ac"])
    # a host that quotes the same number meets the same hardware
    hosted = draws_of(load_profile("truenorth+host=cmos45-int8"), 100, seed=1)
    alone = draws_of(load_profile("cmos45-int8"), 100, seed=1)
    assert np.array_equal(hosted["host.energy.compare"], alone["energy.compare"])
    # other numbers are drawn apart
    sram = draws_of(load_profile("cmos45-sram-int8"), 100, seed=1)
    ranks = np.corrcoef(sram["memory.sram"][:, 0], sram["memory.dram"][:, 0])
    assert abs(ranks[0, 1]) < 0.5


def test_without_being_asked_there_are_none() -> None:
    assert estimate(COUNTS, ranged()).intervals is None


def test_the_document_is_plain() -> None:
    document = estimate(COUNTS, ranged(), uncertainty=True, draws=10).to_dict()
    intervals = json.loads(json.dumps(document, allow_nan=False))["intervals"]
    assert intervals["draws"] == 10
    assert intervals["drawn"] == {"energy.mac": [1.0, 16.0]}
    assert set(intervals["total"]) == {"low_pj", "median_pj", "high_pj"}


def test_the_curve_of_a_memory_is_one_factor() -> None:
    profile = load_profile("cmos45-sram-int8")
    assert ranges_of(profile)["memory.sram"] == (1.0, 3.1, "log-uniform")
    assert values_of(profile)["memory.sram"] == 1.0
