"""`dse count --conventions`: the table, the JSON key and the refusal."""

import json

import pytest
from typer.testing import CliRunner

from dse.cli import target as targets
from dse.cli.main import app
from energy_models import CountsError, Geometry, LayerCounts, ModelCounts, OpCounts, OperandCounts

# 4 of 10 inputs spike: 4 x 3 = 12 of 30 products are effective
LAYER = LayerCounts(
    name="head",
    operator="linear",
    ops=OpCounts(ac=12, dense_ac=30),
    geometry=Geometry(c_in=10, c_out=3),
    input_kind="unit",
    weight_kind="real",
    weights=30,
    nonzero_weights=30,
    outputs=3,
    operands=(OperandCounts("unit", 10, 4, (0.5,), smallest=0.5, largest=0.5),),
)


def run(monkeypatch: pytest.MonkeyPatch, layer: LayerCounts, *options: str):
    counts = ModelCounts(samples=1, layers=(layer,))
    monkeypatch.setattr(targets, "counts_of", lambda *_, **__: (counts, None))
    return CliRunner().invoke(app, ["count", "any", "--conventions", *options])


def test_rows_in_json(monkeypatch):
    result = run(monkeypatch, LAYER, "--json")
    rows = {row["name"]: row for row in json.loads(result.stdout)["conventions"]}
    assert list(rows) == [
        "exact",
        "rate x dense",
        "syops",
        "NeuroBench",
        "SpikingJelly",
        "keras-spiking",
    ]
    assert rows["syops"]["ac"] == 30 * 4 * 0.5 / 10
    # spikes of height 0.5 are real to SpikingJelly: dense, 30 for 12
    assert rows["SpikingJelly"]["mac"] == 30
    assert rows["SpikingJelly"]["total_off_percent"] == 150


def test_rows_on_the_terminal(monkeypatch, capsys):
    from dse.cli.count import _print_conventions
    from energy_models.conventions import compare

    _print_conventions(compare(ModelCounts(samples=1, layers=(LAYER,))))
    printed = capsys.readouterr().out
    assert "30 (+150 %)" in printed
    assert "NeuroBench (neurobench 2.3.0, SynapticOperations): effective products" in printed
    assert "no neurons were recognised" in printed


def test_a_document_that_does_not_tell(monkeypatch):
    layer = LayerCounts(name="old", operator="linear", geometry=Geometry(1, 1))
    result = run(monkeypatch, layer)
    assert isinstance(result.exception, CountsError)
    assert "layer 'old' does not say what its operands held" in str(result.exception)
