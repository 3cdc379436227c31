"""A point of a run as a NIR file, on the command line."""

import json
from pathlib import Path

import pytest
import torch
from command import dse

from dse import inventory
from dse.config import dump_sweep
from dse.design import Design
from dse.interchange import nirfile
from dse.reading import read
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.trial import run_trial

GIVEN = (
    "training.epochs=1",
    "data.samples=120",
    "variants=[ann, snn, converted]",
    "evaluate={time_steps: [2], method: [light-calibration]}",
    "budget={trials: 3}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = inventory.load_sweep("smoke", GIVEN)
    made = tmp_path_factory.mktemp("export")
    run = RunFolder(made / "runs" / "smoke")
    run.begin(dump_sweep(config), data_dir=None, device="cpu", storage=None)
    recipe, records = Recipe(config), []
    own = {"ann": {}, "snn": {"time_steps": 3, "threshold": 0.3}, "converted": {"time_steps": 3}}
    for number, variant in enumerate(own):
        knobs = {"width": 0.1, "depth": 1, "learning_rate": 0.01, **own[variant]}
        design = Design.of(variant, "convnet", knobs)
        records.append(run_trial(design, number, recipe, run.path, worker="w"))
    with run.lock():
        run.append(*records, *read(records[1], recipe, run.path))
        run.append(*read(records[2], recipe, run.path))
    torch.set_num_threads(threads)
    return made


@pytest.mark.slow
def test_a_point_is_written_and_compared(folder: Path) -> None:
    done = dse("export", "smoke#1", "--out", "net.nir", "--check", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "the same, spike for spike" in done.stdout
    assert "net.nir: 8 nodes, 3 time steps" in done.stdout
    assert "a reader that knows NIR alone: layers_0_neuron: a spike takes" in done.stderr
    assert nirfile.read(folder / "net.nir").time_steps == 3


@pytest.mark.slow
def test_a_reading_is_written_at_its_own_time_steps(folder: Path) -> None:
    arguments = ("smoke#1.1", "--out", "two.nir", "--check", "--samples", "10", "--json")
    done = dse("export", *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["time_steps"] == 2 and document["check"]["same"]
    assert document["check"]["images"] == 10
    assert all(layer["differing"] == 0 for layer in document["check"]["layers"])
    assert sum(layer["spikes"] for layer in document["check"]["layers"]) > 0
    assert ["layers_0_neuron"] in [one["nodes"] for one in document["differences"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "steps", "differs"),
    [
        ("smoke#2", 3, "potentials do not start at 0"),
        ("smoke#2.1", 2, "a spike takes the threshold from the potential"),
    ],
)
def test_a_converted_network_is_written_and_compared(
    folder: Path, point: str, steps: int, differs: str
) -> None:
    arguments = (point, "--out", "converted.nir", "--check", "--samples", "20", "--json")
    done = dse("export", *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["time_steps"] == steps and document["check"]["same"]
    assert sum(layer["spikes"] for layer in document["check"]["layers"]) > 0
    assert any(differs in one["text"] for one in document["differences"])


@pytest.mark.slow
def test_what_cannot_be_written_is_named_and_leaves_no_file(folder: Path) -> None:
    done = dse("export", "smoke#0", "--out", "ann.nir", folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("layers_0: ReLU: NIR has no such neurons: must be")
    assert not (folder / "ann.nir").exists()


def test_a_point_that_is_not_there_is_asked_wrongly(folder: Path) -> None:
    done = dse("export", "smoke#7", "--out", "x.nir", folder=folder)
    assert done.returncode == 2 and "there is no trial 7" in done.stderr
