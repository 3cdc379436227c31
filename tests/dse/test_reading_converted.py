"""Points that are read from one trained source network, each converted for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dse import inventory
from dse.confirming import fine_tune
from dse.conversion.convert import convert
from dse.conversion.lessons import CALIBRATION_SAMPLES, calibration_images
from dse.conversion.methods import METHODS
from dse.design import Design
from dse.networks.source import SourceNetwork
from dse.reading import combinations, measure_tests, read, restored, trained_network
from dse.recipe import Recipe, weights_file
from dse.training.evaluation import accuracy
from dse.trial import held_out_counts, measure_test, run_trial
from reports.record import TrialRecord

EVERYTHING = "evaluate={time_steps: [2, 4], method: [icsnn, normalise-percentile, opi]}"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(*overrides: str) -> Recipe:
    given = (
        "variants=[converted]",
        "space={learning_rate: 0.01}",
        "training.epochs=2",
        "data.samples=300",
        *overrides,
    )
    return Recipe(inventory.load_sweep("smoke", given))


def trained(folder: Path, given: Recipe, **knobs: object) -> TrialRecord:
    values = {"width": 0.25, "learning_rate": 0.01, "time_steps": 4, **knobs}
    return run_trial(Design.of("converted", "convnet", values), 7, given, folder, worker="w")


def test_each_number_of_steps_is_read_from_a_conversion_for_it(tmp_path: Path) -> None:
    given = recipe(EVERYTHING)
    record = trained(tmp_path, given)
    points = read(record, given, tmp_path)
    said = [(p.design["knobs"]["method"], p.design["knobs"]["time_steps"]) for p in points]
    assert said == [
        (method, steps) for method in ("icsnn", "normalise-percentile", "opi") for steps in (2, 4)
    ]
    data = given.data()
    source = trained_network(record, given, tmp_path)
    images = calibration_images(data.train, CALIBRATION_SAMPLES, record.seed)
    for point, (method, steps) in zip(points, said, strict=True):
        assert point.state == "complete", point.reason
        by_hand = convert(source, images, METHODS[method], steps).network
        part = data.validation
        assert point.metrics["validation"]["accuracy"] == accuracy(
            by_hand, part.images, part.labels
        )
        counts = held_out_counts(by_hand, part, given)
        assert point.metrics["spikes"] == counts.spikes
        assert point.metrics["latency_steps"] == steps
        calibrated = f"converted: calibrated for T = {steps} on"
        depends = METHODS[method].depends_on_time_steps
        assert any(note.startswith(calibrated) for note in point.notes) == depends
        assert not any(f"T = {6 - steps} " in note for note in point.notes)


def test_points_of_one_pass_are_read_together(tmp_path: Path) -> None:
    given = recipe(EVERYTHING)
    record = trained(tmp_path, given)
    found = combinations(Design.from_dict(record.design), given.config)
    assert [(one.values.get("method"), one.steps) for one in found] == [
        ("icsnn", (2,)),
        ("icsnn", (4,)),
        ("normalise-percentile", (2, 4)),
        ("opi", (2, 4)),
    ]


def test_the_training_s_own_point_is_the_spiking_network(tmp_path: Path) -> None:
    given = recipe()
    record = trained(tmp_path, given)
    assert record.state == "complete"
    network = restored(record, given, tmp_path)
    part = given.data().validation
    assert record.metrics["validation"]["accuracy"] == accuracy(network, part.images, part.labels)
    assert record.metrics["latency_steps"] == 4
    source = trained_network(record, given, tmp_path)
    assert isinstance(source, SourceNetwork)
    assert record.metrics["source_accuracy"] == accuracy(source, part.images, part.labels)
    assert any("reconstruction" in note for note in record.notes)
    assert weights_file(tmp_path, 7).exists()


def test_test_accuracies_are_those_of_each_network(tmp_path: Path) -> None:
    given = recipe(EVERYTHING)
    record = trained(tmp_path, given)
    points = [record, *read(record, given, tmp_path)]
    part = given.data().test
    measured = {one.name: one for one in measure_tests(points, given, tmp_path)}
    assert set(measured) == {one.name for one in points}
    for point in points:
        network = restored(point, given, tmp_path)
        wanted = accuracy(network, part.images, part.labels)
        assert measured[point.name].metrics["test"]["accuracy"] == wanted
    assert measure_test(record, given, tmp_path) == measured["7"].metrics["test"]


def test_a_method_that_the_source_does_not_allow_is_a_failed_point(tmp_path: Path) -> None:
    given = recipe("evaluate={method: [qcfs, opi]}")
    record = trained(tmp_path, given, activation="relu")
    failed, other = read(record, given, tmp_path)
    assert (failed.state, other.state) == ("failed", "complete")
    assert failed.reason is not None
    assert "no bound to be the threshold: it must be clipped or qcfs" in failed.reason


def test_a_point_is_trained_on_as_a_spiking_network(tmp_path: Path) -> None:
    given = recipe("evaluate={method: [opi], time_steps: [2]}")
    record = trained(tmp_path, given)
    (point,) = read(record, given, tmp_path)
    (tuned,) = fine_tune(point, 1, 2, given, tmp_path, [2])
    assert tuned.state == "complete", tuned.reason
    assert tuned.metrics["latency_steps"] == 2
    network = restored(tuned, given, tmp_path)
    part = given.data().validation
    assert tuned.metrics["validation"]["accuracy"] == accuracy(network, part.images, part.labels)
    assert tuned.metrics["validation"]["accuracy"] >= point.metrics["validation"]["accuracy"]


def test_a_narrower_source_in_shared_weights_is_converted_for_itself(tmp_path: Path) -> None:
    given = recipe("share_widths=[0.5, 1.0]", "evaluate={method: [opi], time_steps: [2]}")
    record = trained(tmp_path, given, width=1.0)
    assert record.state == "complete", record.reason
    points = read(record, given, tmp_path)
    widths = [(point.design["knobs"]["width"], point.point) for point in points]
    assert widths == [(0.5, "read"), (1.0, "read"), (0.5, "read")]
    part = given.data().validation
    for point in points:
        network = restored(point, given, tmp_path)
        found = accuracy(network, part.images, part.labels)
        assert point.metrics["validation"]["accuracy"] == found
        assert sum("neurons, mean over layers" in note for note in point.notes) <= 1
