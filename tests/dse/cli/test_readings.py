"""Points that were made from a training, in every verb that names points."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from command import dse

from dse import inventory
from dse.cli import target as targets
from dse.cli.report import front_lines, report_data
from dse.config import dump_sweep
from dse.confirming import fine_tune
from dse.design import Design
from dse.errors import TargetError
from dse.reading import measure_tests, read
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.selection import front, seconds_left, trainings
from dse.trial import run_trial
from reports.page import write_report

GIVEN = (
    "training.epochs=1",
    "data.samples=120",
    "variants=[ann, snn, s2nn]",
    "evaluate={time_steps: all, threshold_scale: [0.5, 1]}",
    "confirm={epochs: 1}",
    "budget={trials: 2}",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = inventory.load_sweep("smoke", GIVEN)
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "smoke")
    folder.begin(dump_sweep(config), data_dir=None, device="cpu", storage=None)
    recipe = Recipe(config)
    records = []
    for number, variant in enumerate(("ann", "snn")):
        knobs = {"width": 0.1, "depth": 1, "learning_rate": 0.01}
        knobs |= {"time_steps": 3} if variant == "snn" else {}
        design = Design.of(variant, "convnet", knobs)
        records.append(run_trial(design, number, recipe, folder.path, worker="w"))
    points = read(records[1], recipe, folder.path)
    tuned = fine_tune(points[0], 1, 1, recipe, folder.path, [len(points) + 1])
    every = [*records, *points, *tuned]
    measured = {one.key: one for one in measure_tests(every[-2:], recipe, folder.path)}
    with folder.lock():
        folder.append(*(measured.get(one.key, one) for one in every))
    torch.set_num_threads(threads)
    return folder


def test_the_report_tells_every_point_from_its_training(run: RunFolder, tmp_path: Path) -> None:
    config, records = inventory.load_sweep(run.sweep_file), run.records()
    data = report_data(run, config, records)
    data.check()
    page = write_report(data, tmp_path).read_text(encoding="utf-8")
    table = pd.read_csv(tmp_path / "trials.csv")
    assert table.columns[:4].tolist() == ["number", "parent", "reading", "point"]
    assert table["point"].tolist() == ["trained", "trained", *["read"] * 5, "fine-tuned"]
    assert table["reading"].fillna(0).tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    assert len(set(table["command"])) == len(records)
    for point in front(records, config):
        assert f'id="point-{point.name}"' in page
        if point.parent is not None:
            assert re.search(rf"(read|fine-tuned) from #{point.parent} at [^<]+", page)
    assert "2 trials and 6 points made from them" in page
    fronted = [record.name for record in front(records, config)]
    layers = pd.read_csv(tmp_path / "layers.csv", dtype=str).fillna("")
    names = layers["number"] + layers["reading"].map(lambda one: f".{one}" if one else "")
    assert set(fronted) <= set(names)


def test_the_lines_of_the_front_say_how_a_point_came(run: RunFolder) -> None:
    config, records = inventory.load_sweep(run.sweep_file), run.records()
    lines = front_lines(records, config)
    assert "made" in lines[0]
    for line, point in zip(lines[1:], front(records, config), strict=True):
        assert line.startswith(f"#{point.name} ")
        assert f"  {point.point}" in line


def test_only_trainings_count_against_the_budget(run: RunFolder) -> None:
    config, records = inventory.load_sweep(run.sweep_file), run.records()
    assert [record.number for record in trainings(records)] == [0, 1]
    assert seconds_left(records, config, 1, 2) == 0.0


def test_a_point_is_named_by_its_training_and_its_number(run: RunFolder) -> None:
    for name in ("1", "1.1", "1.6"):
        assert targets.open_point(f"{run.path}#{name}")[1].name == name
    for name, text in (
        ("1.9", "trial 1 goes from 1.1 to 1.6"),
        ("0.1", "trial 0 has no points"),
        ("5.1", "its trials go from 0 to 1"),
        ("1.0", "must be RUN#NUMBER"),
    ):
        with pytest.raises(TargetError, match=text):
            targets.open_point(f"{run.path}#{name}")


def test_the_commands_take_a_point_that_was_read(run: RunFolder) -> None:
    point = f"{run.path}#1.1"
    record = targets.open_point(point)[1]
    priced = dse("energy", point, "--hardware", "cmos45-fp32", "--json", folder=run.path)
    assert priced.returncode == 0, priced.stderr
    total_pj = json.loads(priced.stdout)["cmos45-fp32"]["total_pj"]
    assert total_pj == pytest.approx(record.energy_pj("cmos45-fp32"))
    counted = json.loads(dse("count", point, "--json", folder=run.path).stdout)
    assert counted["time_steps"] == record.metrics["latency_steps"] == 1
    status = json.loads(dse("status", str(run.path), "--json", folder=run.path).stdout)
    assert (status["done"], status["made"]) == (2, {"read": 5, "fine-tuned": 1})
    assert all(isinstance(name, str) for name in status["front"])


@pytest.mark.slow
def test_a_point_that_was_made_is_made_again(run: RunFolder) -> None:
    for name in ("1.2", "1.6"):
        done = dse("rerun", f"{run.path}#{name}", folder=run.path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.rstrip().endswith("the same")
