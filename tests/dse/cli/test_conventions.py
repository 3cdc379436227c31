"""`dse count --conventions`: the table and the JSON key, of models that run, and the refusal."""

import json

import pytest
from typer.testing import CliRunner

from dse.cli import target as targets
from dse.cli.main import app
from energy_models import CountsError, Geometry, LayerCounts, ModelCounts
from energy_models.conventions import compare

NETS = """
import torch
from torch import nn

class LIF(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = 0.0

    def forward(self, x):
        v = 0.5 * self.v + x
        spikes = (v > 0.5).float()
        self.v = v * (1 - spikes)
        return spikes

class Spiking(nn.Module):
    time_steps = 2

    def __init__(self):
        super().__init__()
        self.first, self.spike = nn.Conv2d(2, 2, 1), LIF()
        self.pool, self.last = nn.AvgPool2d(2), nn.Linear(8, 3)
        self.first.weight.data = torch.tensor([1.0, 2.0, 1.0, 2.0]).view(2, 2, 1, 1)
        nn.init.zeros_(self.first.bias)

    def forward(self, x):
        self.spike.v = 0.0
        steps = [self.pool(self.spike(self.first(x))) for _ in range(2)]
        return sum(self.last(step.flatten(1)) for step in steps)

def spiking():
    x = torch.zeros(1, 2, 4, 4)
    # the left column of both channels spikes, at the second step alone: 0.4, then 0.6
    x[:, 0, :, 0], x[:, 0, :, 1] = 0.4, 0.01
    return Spiking(), x

def ann():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3, bias=False),
    )
    return model, torch.rand(2, 1, 4, 4) + 1

def attention():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    return nn.Sequential(nn.Linear(6, 4, bias=False), layer)
"""
NAMES = ["exact", "rate x dense", "syops", "NeuroBench", "SpikingJelly", "keras-spiking"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def run(target: str, *options: str):
    result = CliRunner().invoke(app, ["count", target, "--conventions", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def document(target: str, *options: str):
    found = json.loads(run(target, *options, "--json"))
    return found, {row["name"]: row for row in found["conventions"]}


def test_an_ann(folder):
    found, rows = document("net.py:ann")
    assert list(rows) == NAMES
    # 16 places x 2 channels x 9 taps, and 8 x 3
    assert rows["exact"]["dense"] == rows["SpikingJelly"]["mac"] - 32 == 288 + 24
    # 10 x 10 taps meet the image: 10 x 10 x 2 = 200; two values a normalised one, its ReLU, a pool
    assert rows["NeuroBench"]["dense"] == 200 + 24
    assert rows["syops"]["mac"] == 288 + 24 + 2 * 32 + 32 + 32
    assert [module["name"] for module in found["modules"]] == ["0", "1", "2", "3", "4", "5", ""]


def test_a_spiking_network(folder):
    found, rows = document("net.py:spiking")
    [first, last] = [layer for layer in found["layers"] if layer["operator"] != "neuron"]
    # 8 values spike once; pooled, 4 of 8 are 0.5
    assert [[one["magnitude"] for one in call] for call in last["call_operands"]] == [[0], [2]]
    # 8 values of the image, 2 outputs, 2 steps
    assert [one["reached"] for one in first["operands"]] == [32]
    assert (rows["exact"]["mac"], rows["exact"]["ac"]) == (32, 4 * 3)
    # the first call is silent, the second holds 0 and 0.5 alone: spikes to syops, at their mean
    # of 2 / 8, 3 biases too; the pool of 32 values is silent, then 8 of them spike
    assert rows["syops"]["ac"] == (24 + 3) * 2 / 8 + 32 * 8 / 32
    # to SpikingJelly they are real, and dense, and so is 16 x 2 x 2 of the image at two steps
    assert (rows["SpikingJelly"]["ac"], rows["SpikingJelly"]["mac"]) == (0, 128 + 24)
    assert not any("together" in note for row in rows.values() for note in row["notes"])


def test_a_model_with_attention(folder):
    found, rows = document("net.py:attention", "--input", "2,5,6")
    # 5 tokens x 6 x 4: all that is not inside of the fused layer
    assert rows["SpikingJelly"]["mac"] == 120
    [note] = [note for note in rows["SpikingJelly"]["notes"] if "without a rule" in note]
    assert "_transformer_encoder_layer_fwd" in note and "1/matmul#1" in note
    # the hooks of the others would change what runs: no number is better than a wrong one
    for name in ("NeuroBench", "syops"):
        assert rows[name]["mac"] is rows[name]["total"] is None
        assert any("1/matmul#1" in note for note in rows[name]["notes"])
    assert len(found["layers"]) == 7


def test_the_document_that_is_printed_gives_the_same_rows(folder):
    found, rows = document("net.py:spiking")
    again = compare(ModelCounts.from_dict(found))
    assert [row.to_dict() for row in again] == list(rows.values())


def test_without_the_option_nothing_of_it_is_gathered(folder):
    result = CliRunner().invoke(app, ["count", "net.py:spiking", "--json"])
    found = json.loads(result.stdout)
    assert "conventions" not in found
    assert found["modules"] == []


def test_rows_on_the_terminal(folder):
    printed = run("net.py:spiking")
    assert "what others would print of the same run" in printed
    assert "NeuroBench (neurobench 2.3.0, SynapticOperations): effective products" in printed
    [line] = [line for line in printed.splitlines() if line.startswith("│ SpikingJelly")]
    # 152 MACs for the first layer's 32 and 12 accumulates: 152 / 44
    assert "0 (-100 %)" in line and "152 (+245 %)" in line


def test_a_document_that_does_not_tell(monkeypatch):
    layer = LayerCounts(name="old", operator="linear", geometry=Geometry(1, 1))
    counts = ModelCounts(samples=1, layers=(layer,))
    monkeypatch.setattr(targets, "counts_of", lambda *_, **__: (counts, None))
    result = CliRunner().invoke(app, ["count", "any", "--conventions"])
    assert isinstance(result.exception, CountsError)
    assert "layer 'old' does not say what its operands held" in str(result.exception)
