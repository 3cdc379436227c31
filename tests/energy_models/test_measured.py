"""Raw power logs: the runs, their means and slopes."""

import numpy as np
import pytest

from energy_models.measured import Measured, measured_runs
from energy_models.units import PJ_PER_J, PJ_PER_UJ


def test_all_runs_are_there() -> None:
    assert len(measured_runs()) == 67
    assert len({run.name for run in measured_runs()}) == 67
    assert {run.network for run in measured_runs()} == {"kws", "scaled"}


def test_dynamic_energy_is_what_the_power_says() -> None:
    # (28.4753 - 17.0089) W / 1813.63 inferences/s = 6.3224 mJ; the powers have 4 to 6 digits
    for run in measured_runs():
        by_power_j = (run.running_w - run.idle_w) / run.inferences_per_s
        assert run.dynamic_j == pytest.approx(by_power_j, rel=2e-3), run.name


def test_sizes_are_those_of_the_networks() -> None:
    for run in measured_runs():
        copies = run.copies or 0
        # 390 x 256 + 256 x 256 + 256 x 29 = 172,800; a copy: 10 x 256 x 256 + 256 x 256 fan-in,
        # the first one without fan-in
        fan_in = 256 * 256 if copies else 0
        assert run.synapses == 172_800 + copies * (10 * 256 * 256 + 256 * 256) - fan_in, run.name
        assert run.neurons == 541 + copies * 2560


def test_a_mean_of_five_runs() -> None:
    # (2.717812 + 2.717445 + 2.704224 + 2.727914 + 2.711014) / 5 = 2.7156818 in 1e-4 J
    fit = Measured(device="loihi", take="mean").fit()
    assert fit.runs == 5
    assert fit.value_pj / PJ_PER_UJ == pytest.approx(271.56818)
    assert fit.low_pj == pytest.approx(270.4224 * PJ_PER_UJ)
    assert fit.high_pj == pytest.approx(272.7914 * PJ_PER_UJ)


def test_batches_are_kept_apart() -> None:
    one = Measured(device="gpu", take="mean").fit()
    many = Measured(device="gpu", take="mean", batch=64).fit()
    assert (one.runs, many.runs) == (1, 1)
    assert one.value_pj / PJ_PER_UJ == pytest.approx(29671.16)
    assert many.value_pj / PJ_PER_UJ == pytest.approx(726.9179)


@pytest.mark.parametrize(
    ("device", "slope_uj", "runs"),
    [("loihi", 16.95, 18), ("cpu", 5572.4, 5), ("gpu", 23251.5, 5), ("movidius", 694.3, 5)],
)
def test_a_slope_is_that_of_another_fit(device: str, slope_uj: float, runs: int) -> None:
    fit = Measured.model_validate({"device": device, "take": "slope"}).fit()
    chosen = [run for run in measured_runs() if run.device == device and run.copies]
    line = np.polyfit(
        [run.copies or 0 for run in chosen], [run.dynamic_j * PJ_PER_J for run in chosen], 1
    )
    assert fit.runs == runs
    assert fit.value_pj == pytest.approx(line[0], rel=1e-9)
    assert fit.fixed_pj == pytest.approx(line[1], rel=1e-9)
    assert fit.value_pj / PJ_PER_UJ == pytest.approx(slope_uj, rel=2e-4)
