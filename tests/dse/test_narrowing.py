"""One training of several widths, its points, and their confirmation."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dse import inventory
from dse.design import Design
from dse.errors import CheckpointError
from dse.narrowing import narrower, train_alone
from dse.recipe import Recipe, at_width, weights_file, weights_of
from dse.training.loop import EpochResult
from dse.trial import measure_test, run_trial
from reports.record import TrialRecord

WIDTHS = (0.25, 0.5, 1.0)
PROFILE = "cmos45-fp32"
CHANCE = 0.1
DESIGN = Design.of("snn", "convnet", {"width": 1.0, "learning_rate": 0.02, "time_steps": 2})


class Stopped(Exception):
    """What a test stops a trial with."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(*overrides: str) -> Recipe:
    given = ("data.samples=600", "training.epochs=5", "space={}", "share_widths=[0.25, 0.5, 1]")
    return Recipe(inventory.load_sweep("smoke", (*given, *overrides)))


def points(folder: Path, **more) -> list[TrialRecord]:
    """The points of a training, the narrowest first, the training last."""
    record = run_trial(DESIGN, 3, recipe(), folder, worker="w", **more)
    assert record.state == "complete", record.reason
    return [*narrower(record, recipe(), folder), record]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrialRecord]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, points(folder)


def test_one_training_gives_a_point_of_each_width(run) -> None:
    folder, found = run
    assert [record.name for record in found] == ["3.1", "3.2", "3"]
    assert [record.design["knobs"]["width"] for record in found] == list(WIDTHS)
    assert [record.point for record in found] == ["read", "read", "trained"]
    assert [record.parent for record in found] == [3, 3, None]
    assert all(TrialRecord.from_dict(json.loads(json.dumps(r.to_dict()))) == r for r in found)
    for smaller, larger in itertools.pairwise(found):
        assert smaller.energy_pj(PROFILE) < larger.energy_pj(PROFILE)
        assert smaller.metrics["parameters"] < larger.metrics["parameters"]
    assert min(record.accuracy for record in found) > 5 * CHANCE
    assert len({(folder / record.counts_file).read_text() for record in found}) == len(WIDTHS)


def test_every_width_can_be_measured_on_the_test_data(run) -> None:
    folder, found = run
    assert len({weights_of(folder, record) for record in found}) == len(WIDTHS)
    assert min(measure_test(r, recipe(), folder)["accuracy"] for r in found) > 5 * CHANCE


def test_weights_that_are_gone_are_not_those_of_another_width(run, tmp_path: Path) -> None:
    _, found = run
    with pytest.raises(CheckpointError, match=r"trials/3/width-0.25/weights.safetensors: no such"):
        narrower(found[-1], recipe(), tmp_path)


def test_without_shared_widths_or_an_end_there_is_nothing_narrower(run) -> None:
    folder, found = run
    assert narrower(found[-1], recipe("share_widths=[]"), folder) == []
    assert narrower(replace(found[-1], state="failed"), recipe(), folder) == []


def test_a_stopped_training_goes_on_to_the_same_points(run, tmp_path: Path) -> None:
    def stop(result: EpochResult) -> None:
        if result.epoch == 2:
            raise Stopped

    with pytest.raises(Stopped):
        points(tmp_path, on_epoch=stop, is_resumed=True)
    folder, found = run
    again = points(tmp_path, is_resumed=True)
    assert [replace(record, times={}) for record in again] == [
        replace(record, times={}) for record in found
    ]
    for record in found:
        files = (weights_of(one, record) for one in (folder, tmp_path))
        assert len({file.read_bytes() for file in files}) == 1


def test_a_point_is_confirmed_by_trainings_of_its_own(run) -> None:
    folder, found = run
    before = weights_of(folder, found[0]).read_bytes()
    first, second = train_alone(found[0], 2, recipe(), folder, first_reading=3, worker="w")
    assert [(r.name, r.parent, r.point) for r in (first, second)] == [
        ("3.3", 3, "trained"),
        ("3.4", 3, "trained"),
    ]
    assert first.design == found[0].design
    assert first.notes[-1] == "confirmation of 3.1 by a training of its own"
    assert len({first.seed, second.seed, found[0].seed}) == 3
    assert first.metrics["parameters"] == found[0].metrics["parameters"]
    assert weights_of(folder, first) == weights_file(folder, "3/alone-3")
    assert measure_test(first, recipe(), folder)["accuracy"] > 5 * CHANCE
    assert weights_of(folder, found[0]).read_bytes() == before
    [again] = train_alone(found[0], 1, recipe(), folder, first_reading=4, worker="w")
    assert replace(again, times={}) == replace(second, times={})


def test_widths_that_make_one_network_fail_by_name_before_the_training(tmp_path: Path) -> None:
    epochs: list[EpochResult] = []
    record = run_trial(
        DESIGN,
        0,
        recipe("share_widths=[0.25, 0.251, 1]"),
        tmp_path,
        worker="w",
        on_epoch=epochs.append,
    )
    assert (record.state, epochs) == ("failed", [])
    assert "widths 0.25 and 0.251 are one network" in str(record.reason)


def test_a_narrower_design_is_not_trained_as_the_largest(tmp_path: Path) -> None:
    design = at_width(DESIGN, 0.5)
    record = run_trial(design, 0, recipe(), tmp_path, worker="w")
    assert record.state == "failed"
    assert "share_widths: width 0.5: must be that of the design" in str(record.reason)
