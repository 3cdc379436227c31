"""Warm start: points of earlier runs are told to the sampler, once, and nothing else."""

from dataclasses import replace

import pytest

from dse import inventory, warmstart
from dse.errors import TargetError
from dse.proposals import Proposer
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.study import begin, work
from dse.sweep import Sweep

OVERRIDES = ("training.epochs=1", "data.samples=200", "variants=[snn]", "budget.trials=3")


def sweep(path, *overrides):
    config = inventory.load_sweep("smoke", [*OVERRIDES, *overrides])
    folder = RunFolder(path)
    from dse.config import dump_sweep

    folder.begin(dump_sweep(config))
    return Sweep(folder, Recipe(config), inventory.space(config))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    one = sweep(tmp_path_factory.mktemp("earlier"))
    begin(one)
    work(one)
    return one


def test_the_points_of_an_earlier_run_are_kept_with_the_run(earlier, tmp_path):
    warm = f"warm_start=['{earlier.folder.path}']"
    one = sweep(tmp_path, warm, "space.time_steps={range: [1, 4]}")
    [line] = begin(one)
    assert line.startswith("warm start: 3 of 3 trainings of ")
    assert line.endswith("are designs of this space")
    before = warmstart.kept(one.folder)
    assert [record.design for record in before] == [r.design for r in earlier.folder.records()]
    assert begin(one) == []  # once
    assert one.folder.records() == []


def test_what_does_not_fit_is_left_out_and_what_differs_is_said(earlier, tmp_path):
    warm = f"warm_start=['{earlier.folder.path}']"
    fitting = [r.design["knobs"]["time_steps"] == 2 for r in earlier.folder.records()]
    one = sweep(tmp_path, warm, "space.time_steps={fixed: 2}", "training.epochs=2")
    [line] = begin(one)
    assert line.startswith(f"warm start: {sum(fitting)} of 3 trainings")
    assert line.endswith("its training differs, so its accuracies are hints only")


def test_another_profile_is_priced_from_the_stored_counts(earlier, tmp_path):
    warm = f"warm_start=['{earlier.folder.path}']"
    one = sweep(tmp_path, warm, "hardware=[cmos45-sram-fp32]", "objectives=[accuracy, energy_pj]")
    begin(one)
    for record in warmstart.kept(one.folder):
        assert record.energy_pj("cmos45-sram-fp32") > record.energy_pj("cmos45-fp32") > 0


def test_a_sampler_that_was_told_proposes_otherwise(earlier, tmp_path):
    one = sweep(tmp_path)
    warm = [
        replace(record, number=3 * i + record.number)
        for i in range(5)
        for record in earlier.folder.records()
    ]
    cold = Proposer(one.config, one.space).propose(5, [], [])
    told = Proposer(one.config, one.space, warm).propose(5, [], [])
    assert cold is not None
    assert told is not None
    assert cold.design != told.design


def test_no_such_run(tmp_path):
    with pytest.raises(TargetError, match='warm_start "nothing": there is no run there'):
        begin(sweep(tmp_path, "warm_start=[nothing]"))
