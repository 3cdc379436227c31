"""Many points from one training, and the front trained on from them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dse import inventory
from dse.confirming import RATE_SHARE, fine_tune, made_again
from dse.design import Design
from dse.reading import combinations, measure_tests, read, restored
from dse.recipe import Recipe, weights_file
from dse.runfolder import RunFolder
from dse.seeding import trial_seed
from dse.training import checkpoint
from dse.training.evaluation import accuracy
from dse.trial import held_out_counts, run_trial
from reports.record import TrialRecord

KNOBS = {"width": 0.1, "depth": 1, "learning_rate": 0.01}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(*overrides: str) -> Recipe:
    given = ("training.epochs=2", "data.samples=120", *overrides)
    return Recipe(inventory.load_sweep("smoke", given))


def trained(
    folder: Path, given: Recipe, variant: str = "snn", architecture: str = "mlp", **knobs: object
) -> TrialRecord:
    more = {"time_steps": 3} if variant == "snn" else {}
    design = Design.of(variant, architecture, {**KNOBS, **more, **knobs})
    return run_trial(design, 7, given, folder, worker="w")


EVERYTHING = "evaluate={time_steps: all, threshold_scale: [0.5, 1], weight_bits: [3]}"


def test_one_training_gives_a_record_for_every_combination(tmp_path: Path) -> None:
    given = recipe("evaluate={time_steps: all, threshold_scale: [0.5, 1]}")
    record = trained(tmp_path, given)
    points = read(record, given, tmp_path)
    # 2 scales x 3 steps, less the training itself
    assert [point.name for point in points] == ["7.1", "7.2", "7.3", "7.4", "7.5"]
    assert [point.design["knobs"].get("threshold_scale") for point in points] == [0.5] * 3 + [
        None,
        None,
    ]
    assert [point.metrics["latency_steps"] for point in points] == [1, 2, 3, 1, 2]
    assert {point.counts_file for point in points} == {
        "trials/7/counts-3.json",
        "trials/7/counts.json",
    }
    for point in points:
        assert (point.parent, point.point, point.state, point.seed) == (
            7,
            "read",
            "complete",
            record.seed,
        )
        assert TrialRecord.from_dict(json.loads(json.dumps(point.to_dict()))) == point


def test_a_point_has_the_numbers_of_a_network_that_is_evaluated_there(tmp_path: Path) -> None:
    given = recipe(EVERYTHING.replace("[3]", "[3, 32]"))
    record = trained(tmp_path, given)
    part = given.data().validation
    points = read(record, given, tmp_path)
    assert len(points) == 2 * 2 * 3 - 1
    for point in points:
        model = restored(point, given, tmp_path)
        assert accuracy(model, part.images, part.labels) == point.accuracy
        direct = held_out_counts(model, part, given)
        counts = RunFolder(tmp_path).counts(point)
        assert replace(counts, spread={}) == replace(direct, spread={})
        assert counts.spikes == point.metrics["spikes"]
        bits = point.design["knobs"].get("weight_bits", 32)
        assert {row.weight_bits for row in counts.layers if row.weights} == {bits}


@pytest.mark.parametrize(
    ("architecture", "knobs"),
    [("mlp", {"encoding": "poisson"}), ("resnet20", {"shortcut": "add", "threshold": 0.2})],
)
def test_what_cannot_be_cut_is_counted_at_each_number_of_steps(
    tmp_path: Path, architecture: str, knobs: dict[str, str]
) -> None:
    given = recipe("evaluate={time_steps: [1, 2]}", f"architecture={architecture}")
    record = trained(tmp_path, given, architecture=architecture, width=0.05, **knobs)
    points = read(record, given, tmp_path)
    assert [point.counts_file for point in points] == [
        "trials/7/counts-1.json",
        "trials/7/counts-2.json",
    ]
    for point in points:
        counts = RunFolder(tmp_path).counts(point)
        assert counts.time_steps == point.metrics["latency_steps"]
        assert counts.spikes == point.metrics["spikes"]


def test_a_family_is_read_by_the_knobs_that_it_has(tmp_path: Path) -> None:
    given = recipe(EVERYTHING)
    for variant, wanted in (("ann", 1), ("bnn", 0), ("s2nn", 2)):
        record = trained(tmp_path, given, variant)
        points = read(record, given, tmp_path)
        assert len(points) == wanted and all(p.metrics["latency_steps"] == 1 for p in points)


def test_only_what_was_trained_is_read() -> None:
    given = recipe("evaluate={time_steps: [1, 2, 9], initial_potential: [0, 0.5]}")
    design = Design.of("snn", "mlp", {**KNOBS, "time_steps": 2, "initial_potential": 0.5})
    found = combinations(design, given.config)
    assert [(one.values, one.steps) for one in found] == [
        ({"initial_potential": 0.0}, (1, 2)),
        ({}, (1,)),
    ]


def test_a_training_that_is_not_complete_gives_no_points(tmp_path: Path) -> None:
    given = recipe(EVERYTHING)
    failed = TrialRecord(7, "failed", "snn", Design.of("snn", "mlp", KNOBS).to_dict(), 0)
    assert read(failed, given, tmp_path) == []


def test_a_point_that_cannot_be_evaluated_is_a_failed_record(tmp_path: Path) -> None:
    given = recipe("evaluate={threshold_scale: [0.5]}")
    record = trained(tmp_path, given)
    model = restored(record, given, tmp_path)
    with torch.no_grad():
        model.readout.synapse.bias.fill_(float("nan"))
    checkpoint.save_weights(model, weights_file(tmp_path, 7))
    (point,) = read(record, given, tmp_path)
    assert point.state == "failed" and "after the training" in str(point.reason)
    assert (point.metrics, point.energy, point.counts_file) == ({}, {}, None)


def test_test_data_are_measured_for_points_as_for_networks(tmp_path: Path) -> None:
    given = recipe("evaluate={time_steps: all, threshold_scale: [0.5, 1]}")
    record = trained(tmp_path, given)
    records = [record, *read(record, given, tmp_path)]
    part = given.data().test
    measured = list(measure_tests(records, given, tmp_path))
    assert sorted(one.name for one in measured) == sorted(one.name for one in records)
    for one in measured:
        model = restored(one, given, tmp_path)
        assert one.test_accuracy == accuracy(model, part.images, part.labels)


@pytest.mark.parametrize("learned", ["none", "both"])
def test_a_point_is_trained_on_at_the_knobs_it_was_read_at(tmp_path: Path, learned: str) -> None:
    given = recipe(EVERYTHING, "confirm={epochs: 1, seeds: 2}")
    record = trained(tmp_path, given, learned=learned)
    points = read(record, given, tmp_path)
    start = points[1]
    kept = weights_file(tmp_path, 7).read_bytes()
    tuned = fine_tune(start, 2, 1, given, tmp_path, range(6, 99))
    assert [one.name for one in tuned] == ["7.6", "7.7"]
    assert weights_file(tmp_path, 7).read_bytes() == kept
    part = given.data().validation
    for one in tuned:
        assert (one.parent, one.point, one.state, one.design) == (
            7,
            "fine-tuned",
            "complete",
            start.design,
        )
        assert one.seed == trial_seed(record.seed, one.key[1])
        assert "trained on for 1 epochs from #7.2" in one.notes
        model = restored(one, given, tmp_path)
        assert accuracy(model, part.images, part.labels) == one.accuracy
        assert RunFolder(tmp_path).counts(one).spikes == one.metrics["spikes"]
        (measured,) = measure_tests([one], given, tmp_path)
        assert measured.test_accuracy is not None
    assert 0 < RATE_SHARE < 1


def test_points_are_made_again_as_they_were(tmp_path: Path) -> None:
    given = recipe(EVERYTHING, "confirm={epochs: 1}")
    record = trained(tmp_path / "first", given)
    points = read(record, given, tmp_path / "first")
    (tuned,) = fine_tune(points[0], 1, 1, given, tmp_path / "first", [9])
    again = trained(tmp_path / "again", given)
    every = [record, *points, tuned]
    for one in every:
        made = made_again(one, every, again, given, tmp_path / "again")
        assert made is not None
        assert replace(made, times={}) == replace(one, times={})
    gone = replace(points[0], reading=50)
    assert made_again(gone, every, again, given, tmp_path / "again") is None
