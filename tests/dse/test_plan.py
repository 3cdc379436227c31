"""What a sweep will cost: designs spread over the space, some of them timed for a moment."""

import pytest

from dse import inventory, plan, timing
from dse.plan import make_plan
from dse.recipe import Recipe


def recipe(*overrides: str) -> Recipe:
    return Recipe(inventory.load_sweep("smoke", ["data.samples=120", *overrides]))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "DESIGNS", 3)
    monkeypatch.setattr(plan, "TIMED", 2)
    monkeypatch.setattr(timing, "_MOMENT_S", 0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_plan_adds_up() -> None:
    said: list[str] = []
    given = recipe("variants=[ann, snn]", "space.threshold=1.0")
    found = make_plan(given, inventory.space(given.config), 1, start_s=2.0, say=said.append)
    ann, snn = found.families["ann"], found.families["snn"]
    assert ann.trial_s is not None
    assert snn.trial_s is not None
    assert found.trials == 4
    assert found.cpu_s > 2.0 + plan.REPORT_S + 2 * min(ann.trial_s, snn.trial_s)
    assert found.wall_s == found.cpu_s
    assert found.refused_share == 0.0
    assert ann.latency_steps == (1.0, 1.0)
    low, high = ann.energy_pj["cmos45-fp32"] or (0.0, 1.0)
    assert low == high
    assert "timing snn" in " ".join(said)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_sweep_with_repeats_trains_every_design_as_often() -> None:
    space = "space={width: 0.1, depth: 1, learning_rate: 0.01, time_steps: {choice: [1, 2]}}"
    given = recipe("variants=[ann, snn]", space, "budget={repeats: 3}")
    found = make_plan(given, inventory.space(given.config), 2)
    assert found.trials == 9
    assert found.families["snn"].designs == 2
    assert found.wall_s < found.cpu_s


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_designs_beyond_a_limit_are_refused_and_cost_nothing() -> None:
    limit = "objectives=[accuracy, {name: energy_pj, limit: 6000}]"
    space = "space={width: 0.1, depth: 1, learning_rate: {range: [0.01, 0.02]}}"
    given = recipe("variants=[ann, bnn]", space, limit, "budget={cpu_hours: 0.01}")
    found = make_plan(given, inventory.space(given.config), 1)
    ann, bnn = found.families["ann"], found.families["bnn"]
    assert (ann.refused, ann.trial_s) == (ann.designs, None)  # 6.77 nJ each
    assert bnn.refused == 0  # 5.34 nJ
    assert found.refused_share == ann.designs / (ann.designs + bnn.designs)
    assert found.trials >= 1
