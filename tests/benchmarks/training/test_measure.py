"""Rounds, ratios and goals, on a clock that is set by hand."""

import pytest
import torch

from benchmarks.training.goals import Goal, goal
from benchmarks.training.measure import in_turns
from benchmarks.training.steps import linear_through


class Clock:
    """A clock that steps move on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: float, calls: list[str], name: str):
        def run() -> None:
            calls.append(name)
            self.now += seconds

        return run


def test_contestants_take_turns_and_nobody_is_always_first():
    clock, calls = Clock(), []
    steps = {name: clock.step(1.0, calls, name) for name in "abc"}
    in_turns(steps, rounds=3, clock=clock)
    assert "".join(calls[-9:]) == "abcbcacab"


def test_a_short_step_is_repeated_and_its_time_divided():
    clock, calls = Clock(), []
    timing = in_turns({"a": clock.step(0.002, calls, "a")}, rounds=4, clock=clock)["a"]
    assert timing.median_ms == pytest.approx(2.0)
    assert timing.min_ms == pytest.approx(2.0)
    assert len(calls) == 3 + 4 * 10  # 20 ms a measurement, after a warm-up


def test_a_budget_leaves_three_rounds():
    clock = Clock()
    steps = {"a": clock.step(1.0, [], "a")}
    assert in_turns(steps, rounds=9, clock=clock, seconds=0.0)["a"].rounds == 3


def test_goals_by_pencil():
    assert Goal(3, 4).text(3.3) == ">= 3 (4): yes"
    assert Goal(3, 4).text(2.9) == ">= 3 (4): no"
    # the floor takes 0.8 of our time, so ours is 1.25 of it
    assert Goal(1.15, 1.0, is_share=True).text(0.8) == "1.25 of it, <= 1.15 (1): no"


def test_a_goal_is_of_one_network_and_part():
    assert goal("SpikingJelly", "conv", 4, "train", bfloat16=False) == Goal(3, 4)
    assert goal("floor: the layers alone", "conv", 8, "train", bfloat16=False).bound == 1.2
    assert goal("sinabs", "conv", 4, "train", bfloat16=False) is None


def test_the_route_of_matrix_products_is_put_back():
    before = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(KeyError), linear_through("onednn"):
        raise KeyError
    assert torch.backends.mkldnn.matmul.fp32_precision == before
