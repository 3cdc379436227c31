"""A count document as a target: priced again, with intervals, without the model."""

import json

import pytest
from command import dse

from energy_models import LayerCounts, ModelCounts, NeuronUpdates, OpCounts, estimate, load_profile

COUNTS = ModelCounts(
    samples=2,
    time_steps=4,
    layers=(
        LayerCounts("conv", "convolution", ops=OpCounts(mac=80, dense_mac=100), reused_steps=4),
        LayerCounts(
            "lif",
            "neuron",
            neurons=10,
            updates=NeuronUpdates(integrate=40, compare=40),
            spikes_out=6,
            fed_by=("conv",),
        ),
        LayerCounts("fc", "linear", ops=OpCounts(ac=60, dense_ac=400), spikes_in=6),
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    (folder / "counts.json").write_text(json.dumps(COUNTS.to_dict()))
    return folder


def test_stored_counts_are_priced(folder):
    names = ["cmos45-fp32", "truenorth+host=cmos45-int8"]
    done = dse("energy", "counts.json", "--hardware", ",".join(names), "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for name in names:
        assert document[name]["total_pj"] == estimate(COUNTS, load_profile(name)).total_pj
    chip = document["truenorth+host=cmos45-int8"]
    # four ticks of 1 ms, and a host for a time that nobody knows
    assert chip["latency_s"] is None
    assert any("the chip takes 4 ms" in text for text in chip["assumptions"])
    # 64.4 mW for 4 ms
    assert chip["network"]["static"] == pytest.approx(64.4e9 * 0.004)
    # 100 * 0.23 on the host
    assert chip["layers"][0]["energy_pj"] == {"host": pytest.approx(23.0)}


def test_what_a_reader_sees_beside_the_total(folder):
    done = dse(
        "energy",
        "counts.json",
        "--hardware",
        "truenorth+host=cmos45-int8",
        "--uncertainty",
        "--seed",
        "5",
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    name = "truenorth+host=cmos45-int8"
    for line in (
        f"{name}: total 258 µJ",
        f"{name}: of which synaptic_compute 138 pJ, host 23 pJ, static 258 µJ",
        "time: the chip takes 4 ms",
        f"{name}: 95 % of 1000 draws: total ",
        f"{name}: drawn (seed 5): energy.ac 2.208 to 2.385",
        f"{name}: without a range, so fixed: host.energy.mac, time.step",
    ):
        assert line in done.stdout


def test_an_incomplete_total_ends_with_1(folder):
    done = dse("energy", "counts.json", "--hardware", "truenorth", folder=folder)
    assert done.returncode == 1
    assert "truenorth: incomplete; known part" in done.stdout
    assert "incomplete: conv: no energy for mac: this is a spiking chip" in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not a count document, as `dse count --json` prints it"),
        ("[1, 2]", "is not a count document"),
        ('{"schema": 99}', "schema is 99; this version reads 1"),
        ("[" * 100000, "mine.json: "),
    ],
)
def test_a_file_that_is_none(tmp_path, text, told):
    (tmp_path / "mine.json").write_text(text)
    done = dse("energy", "mine.json", folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_options_of_a_model_are_not_for_stored_counts(folder):
    done = dse("energy", "counts.json", "--input", "1,2", folder=folder)
    assert done.returncode == 2
    assert "its counts are stored" in done.stderr
