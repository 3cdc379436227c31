"""What the ranges of the constants make of an energy."""

import json

import numpy as np
import pytest

from energy_models import LayerCounts, ModelCounts, OpCounts, estimate, load_profile
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
