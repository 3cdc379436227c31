"""The replay of stopping, by hand."""

import pytest

from benchmarks.search.learning import Curve
from benchmarks.search.stopping import OBJECTIVES, Replay, measured, volume
from dse.stopping import Rule

# few = 2, factor 2, rank alone: from the third on, who is not in the better half stops at epoch 1
RULE = Rule(1, 2, OBJECTIVES, few=2, similar=0)


def curve(number: int, *accuracies: float, energy_pj: float = 1e6) -> Curve:
    return Curve(
        "digits",
        "tpe",
        0,
        number,
        "ann",
        accuracies,
        (energy_pj,) * len(accuracies),
        accuracies[-1],
        accuracies[-1],
        energy_pj,
        float(len(accuracies)),
    )


def test_who_is_stopped_and_promoted_and_what_it_costs():
    # epoch 1: .5, .6 go on; .1 stops (3rd of 3); .7 goes on (1st of 4); .2 stops
    curves = [curve(n, first, 0.8 + n / 100) for n, first in enumerate((0.5, 0.6, 0.1, 0.7, 0.2))]
    replay = Replay(RULE, curves).run()
    assert replay.stopped == {2, 4}
    assert replay.epochs == {0: 2, 1: 2, 2: 1, 3: 2, 4: 1}
    found = measured(replay)
    assert found["epochs"] == found["seconds"] == pytest.approx(8 / 10)
    # one energy, so the volumes are as the best accuracy is above the guess: .83 in place of .84
    assert found["volume"] == pytest.approx((0.83 - 0.1) / (0.84 - 0.1))
    # eight epochs of whole trainings are the first four, with the same best
    assert found["volume, equal"] == pytest.approx(1)


def test_a_stopped_one_that_comes_into_the_better_half_is_promoted():
    # .4 stops as 3rd of 3; with .3 and .2 there are five, and it is the third: not in the best 2;
    # with .1 it is third of six, which are the best 3
    curves = [curve(n, first, 0.9) for n, first in enumerate((0.5, 0.6, 0.4, 0.3, 0.2, 0.1))]
    assert Replay(RULE, curves, is_promoting=False).run().stopped == {2, 3, 4, 5}
    assert Replay(RULE, curves).run().stopped == {3, 4, 5}


def test_the_front_is_chosen_on_validation_and_measured_on_test():
    cheap, dear = curve(0, 0.5, energy_pj=1e5), curve(1, 0.9, energy_pj=1e6)
    # (0.5 - 0.1) * (7 - 5) + (0.9 - 0.5) * (7 - 6)
    assert volume([cheap, dear], 0.1) == pytest.approx(1.2)
    assert volume([], 0.1) == 0
