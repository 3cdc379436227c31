"""Hypervolume against seconds: what counts, when, and who was sooner."""

import math

import numpy as np
import pytest

from benchmarks.search.curves import curve, geometric_mean, race, volume_in_box
from benchmarks.search.page import show
from benchmarks.search.problems import PROBLEMS
from benchmarks.search.rows import Front, Row, read, sheet

DIGITS = PROBLEMS["digits"]


def row(cpu_s, accuracy, energy_pj, steps=1, test=None, point="0", method="tpe", seed=0):
    return Row(
        problem="digits",
        method=method,
        seed=seed,
        point=point,
        state="complete" if accuracy is not None else "failed",
        cpu_s=cpu_s,
        accuracy=accuracy,
        energy_pj=energy_pj,
        latency_steps=steps,
        test_accuracy=test,
        unit_s=0.05,
        knobs="{}",
    )


def test_volume_goes_from_nothing_to_one():
    assert volume_in_box(np.array([[0.0, 1e4, 1.0]]), DIGITS) == pytest.approx(1.0)
    assert volume_in_box(np.array([[0.0, 1e3, 1.0]]), DIGITS) == pytest.approx(1.0)
    assert volume_in_box(np.empty((0, 3)), DIGITS) == 0.0
    # the worst corner is a tenth of the range inside of the reference, in each of three objectives
    assert volume_in_box(np.array([[0.9, 1e7, 8.0]]), DIGITS) == pytest.approx((0.1 / 1.1) ** 3)


def test_energy_and_latency_count_by_their_logarithms():
    half = volume_in_box(np.array([[0.0, math.sqrt(1e4 * 1e7), 1.0]]), DIGITS)
    assert half == pytest.approx(0.6 / 1.1)
    assert volume_in_box(np.array([[0.0, 1e4, math.sqrt(8)]]), DIGITS) == pytest.approx(half)


def test_the_front_is_chosen_on_validation_and_its_volume_is_that_on_test():
    found = curve([row(1.0, 0.9, 1e4, test=0.8), row(2.0, 0.95, 1e4, test=0.5)], DIGITS)
    assert [state.cpu_s for state in found.states] == [0.0, 1.0, 2.0]
    assert found.at(0.5).volume == 0.0
    first, second = found.at(1.5), found.at(9.0)
    assert first.volume == pytest.approx(volume_in_box(np.array([[0.2, 1e4, 1.0]]), DIGITS))
    assert second.volume == pytest.approx(volume_in_box(np.array([[0.5, 1e4, 1.0]]), DIGITS))
    assert second.front == 1 and second.trainings == 2
    # a front that loses on test has had its volume first, and not for good
    assert found.first_with(first.volume) == 1.0
    assert found.last_without(first.volume) is None
    assert found.last_without(second.volume) == 1.0


def test_points_that_are_read_together_are_one_training():
    rows = [
        row(1.0, 0.9, 2e4, 2, test=0.9),
        row(1.0, 0.8, 1e4, 1, test=0.8, point="0.1"),
        row(1.0, 0.8, 1e4, 1, test=0.8, point="0.2"),  # the same point once more
        row(3.0, None, None, None, point="1"),
    ]
    end = curve(rows, DIGITS).states[-1]
    assert (end.trainings, end.front, end.held) == (2, 2, 2)


def test_a_race_is_the_budget_over_our_seconds():
    theirs = curve([row(20.0, 0.9, 1e4, test=0.9)], DIGITS)
    ours = curve([row(5.0, 0.8, 1e4, test=0.8), row(10.0, 0.92, 1e4, test=0.92)], DIGITS)
    won = race(ours, theirs, 30.0)
    assert (won.ratio, won.is_reached, won.lasting) == (3.0, True, 3.0)
    lost = race(theirs, ours, 30.0)
    assert (lost.ratio, lost.is_reached, lost.lasting) == (1.0, False, None)
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_only_what_may_come_to_a_front_is_new():
    front = Front()
    assert front.newcomers([(0.1, 1e4, 1.0), (0.1, 2e4, 1.0)]) == [True, False]
    assert front.newcomers([(math.nan, 1.0, 1.0), (0.05, 3e4, 2.0)]) == [False, True]
    assert front.newcomers([(0.1, 1e4, 1.0)]) == [True]  # an equal one stays


def test_a_file_bears_its_name_only_when_the_run_is_whole(tmp_path):
    rows = [row(1.0, 0.9, 1e4, test=0.8), row(2.0, None, None, None)]
    path = tmp_path / "folder" / "one.csv"
    with pytest.raises(KeyboardInterrupt), sheet(path) as file:
        file.add(rows[:1])
        raise KeyboardInterrupt
    assert not path.exists()
    with sheet(path) as file:
        file.add(rows)
    assert read(path) == rows


@pytest.mark.slow  # draws
def test_the_page_shows_who_was_sooner_and_who_lost(tmp_path, capsys):
    for method, at_s in (("tpe", 20.0), ("dse", 10.0)):
        for seed in (0, 1):
            with sheet(tmp_path / f"digits-{method}-{seed}.csv") as file:
                late = 4 * seed if method == "dse" else 1
                file.add([row(at_s * max(1, late), 0.9, 1e4, test=0.9, method=method, seed=seed)])
    show(tmp_path, ["digits"], is_markdown=True)
    text = capsys.readouterr().out
    assert "| tpe, B = 30 s | 3.00 (3.00) | 0.75 (0.75) | 1.50 | 1 | 1 |" in text
    assert "| tpe, B = 90 s | 9.00 (9.00) | 2.25 (2.25) | 4.50 | 0 | 0 |" in text
    assert (tmp_path / "digits.png").stat().st_size > 10_000
