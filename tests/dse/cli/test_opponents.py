"""`dse energy` beside the ANN of the same shape: tables, JSON, and networks that have none."""

import json

import pytest
from command import dse

NETWORKS = """
import torch
from torch import nn
from dse.design import Design
from dse.variants import family

def of(variant, **knobs):
    torch.manual_seed(0)
    design = Design.of(variant, "mlp", knobs)
    return family.load(variant).build(design, (1, 8, 8), 10), torch.rand(3, 1, 8, 8)

def snn(): return of("snn", threshold=0.9)
def bnn(): return of("bnn")
def ann(): return of("ann")

class Hidden(nn.Module):
    time_steps = 4
    def __init__(self):
        super().__init__()
        model, _ = of("snn", threshold=0.3)
        self.layer, self.last = model.layers[0], nn.Linear(128, 3)
    def forward(self, x):
        spikes = self.layer(x.flatten(1), 1, 4).unflatten(0, (4, -1))
        return self.last(spikes.transpose(0, 1)).mean(1)

def hidden(): return Hidden(), torch.rand(3, 1, 8, 8)
"""


def split_row(line):
    return line.split("│") if line.startswith("│") else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    (folder / "nets.py").write_text(NETWORKS)
    return folder


def test_a_spiking_network_stands_beside_its_ann(folder):
    done = dse("energy", "nets.py:snn", "--hardware", "cmos45-fp32,cmos45-int8", folder=folder)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    # two profiles of operations have the same opponents: one table
    assert text.count("against the ANN of the same shape, per sample") == 1
    assert "cmos45-fp32, cmos45-int8: against" in text
    heading = next(line for line in text.splitlines() if "baseline" in line and "ratio" in line)
    cells = [cell.strip() for cell in heading.split("┃")[1:-1]]
    assert cells == [
        *("baseline", "numbers", "energy", "this network", "on", "ratio", "break-even rate")
    ]
    for name in ("ANN fp32", "ANN int8", "ANN 3-bit", "ANN int8, zero-skipping"):
        assert f"│ {name} " in text
    assert "ratio: energy of the ANN over that of this network" in text
    assert "baseline: nobody measured its accuracy" in text
    assert "measured rate: 0." in text
    # below it, once as well: a column an opponent, a row a layer
    title = "cmos45-fp32, cmos45-int8: break-even rate by layer, in spikes per input element"
    assert text.count("break-even rate by layer") == text.count(title) == 1
    table = text.partition(title)[2]
    assert "┃ layer" in table and "┃ ANN int8, zero-skipping ┃ measured rate ┃" in table
    rows = {cells[1].strip(): cells for cells in map(split_row, table.splitlines()) if cells}
    readout = [cell.strip() for cell in rows["readout.synapse"][2:7]]
    # T x rate = 4.6 / 0.9 with T = 4
    assert readout[0] == "1.28 (always cheaper)"
    assert 0 < float(readout[-1]) < 1
    assert "always cheaper: cheaper than the ANN at every rate up to 1 spike" in text
    assert "never: dearer" not in text
    # 8192 + 16384 + 1280 weights; 256 states; 64 values and 128 spikes
    assert "footprint (cmos45-int8): weights 207 k bit, states 2.05 k bit, " in text
    assert "activations of the largest layer 640 bit, area unknown" in text


def test_document_of_a_spiking_network(folder):
    names = "cmos45-fp32,cmos45-sram-int8"
    done = dse("energy", "nets.py:snn", "--hardware", names, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    fp32, sram = document["cmos45-fp32"], document["cmos45-sram-int8"]
    ann, int8, bits, skipping = fp32["baselines"]
    # (64 x 128 + 128 x 128 + 128 x 10) x 4.6, x 0.23
    assert ann["total_pj"] == pytest.approx(25856 * 4.6)
    assert int8["total_pj"] == pytest.approx(25856 * 0.23)
    assert bits["profile"] == "cmos45-bits+bits=3"
    assert skipping["total_pj"] < int8["total_pj"]
    assert ann["same_numbers_pj"] == fp32["total_pj"]
    assert ann["ratio"] == pytest.approx(ann["total_pj"] / fp32["total_pj"])
    rates = fp32["break_even"]
    assert list(rates) == [one["name"] for one in fp32["baselines"]]
    # the readout has no neurons behind it
    readout = rates["ANN fp32"]["layers"][-1]
    assert readout["name"] == "readout.synapse"
    assert readout["per_synapse"] == pytest.approx(4.6 / 0.9)
    assert [one["name"] for one in sram["baselines"]] == [
        "ANN, same hardware",
        "ANN, same hardware, zero-skipping",
        "ANN fp32",
        "ANN 3-bit",
    ]
    # memory moves the break-even below what operations alone say
    by_memory = sram["break_even"]["ANN, same hardware"]["network"]["rate"]
    assert 0 < by_memory < rates["ANN int8"]["network"]["rate"]
    assert fp32["footprint"]["weight_bits"] == 25856 * 32
    assert sram["footprint"]["state_bits"] == 256 * 16


def test_a_binary_network_has_no_rate(folder):
    done = dse("energy", "nets.py:bnn", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "ANN 1-bit" in done.stdout
    # of the network beside four opponents: a table of layers would say the same in every cell
    assert done.stdout.count("no spikes enter") == 4
    assert "measured rate" not in done.stdout


def test_a_plain_ann_has_no_opponents(folder):
    done = dse("energy", "nets.py:ann", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "baseline" not in done.stdout
    assert "footprint (cmos45-fp32): weights 827 k bit, states 0 bit" in done.stdout
    document = json.loads(dse("energy", "nets.py:ann", "--json", folder=folder).stdout)
    assert document["cmos45-fp32"]["baselines"] == []
    assert document["cmos45-fp32"]["break_even"] == {}


def test_an_ann_that_does_not_follow_is_refused_by_name(folder):
    done = dse("energy", "nets.py:hidden", folder=folder)
    # the energy of the network itself is complete
    assert done.returncode == 0, done.stderr
    assert "baseline: incomplete: no ANN of the same shape: last: called 1 times" in done.stdout
    assert "break-even rate by layer" not in done.stdout
    document = json.loads(dse("energy", "nets.py:hidden", "--json", folder=folder).stdout)
    first = document["cmos45-fp32"]["baselines"][0]
    assert first["total_pj"] is None
    assert first["same_numbers_pj"] == document["cmos45-fp32"]["total_pj"]


def test_a_chip_is_held_against_operations_and_said_to_be_unlike(folder):
    name = "odin+host=cmos45-int8"
    done = dse("energy", "nets.py:snn", "--hardware", name, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "not like against like" in done.stdout
    document = json.loads(
        dse("energy", "nets.py:snn", "--hardware", name, "--json", folder=folder).stdout
    )[name]
    fp32 = document["break_even"]["ANN fp32"]
    # the rate is that of the chip, not of the network in fp32
    assert (fp32["profile"], fp32["opponent"]) == (name, "cmos45-fp32")
    by_chip, measured = fp32["network"]["rate"], fp32["network"]["measured_rate"]
    is_cheaper = document["total_pj"] < document["baselines"][0]["total_pj"]
    assert by_chip is None or is_cheaper == (measured < by_chip)
    assert document["footprint"]["area_mm2"] > 0
