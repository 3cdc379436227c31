"""A trial that fails as trials do becomes a record with its reason, and the sweep goes on."""

import json

import pytest
from command import dse

pytestmark = pytest.mark.slow

# the decay per step is learning rate x weight decay: 0.1 for the small rate, 100,000 for the large
SWEEP = """
name: diverging
question: What happens to a training that diverges?
data: {name: digits, samples: 300}
variants: [ann]
architecture: mlp
space:
  width: 0.1
  learning_rate: {choice: [1.0e-6, 2.0e-6, 4.0e-6, 0.98, 0.99, 1.0]}
objectives: [accuracy, energy_pj]
hardware: [cmos45-fp32]
budget: {trials: 6}
training: {epochs: 2, weight_decay: 1.0e+5, grad_clip: 1.0e+30}
"""


def test_diverging_trials(tmp_path):
    (tmp_path / "diverging.yaml").write_text(SWEEP)
    done = dse("run", "diverging.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "runs/diverging/records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["number"] for record in records] == list(range(6))
    failed = [record for record in records if record["state"] == "failed"]
    assert len(failed) == 3
    for record in failed:
        assert record["design"]["knobs"]["learning_rate"] > 0.9
        assert record["reason"].startswith("DivergedFailure: ")
        assert record["energy"] == {}
    page = (tmp_path / "runs/diverging/report.html").read_text()
    assert "DivergedFailure" in page
    status = json.loads(dse("status", "diverging", "--json", folder=tmp_path).stdout)
    assert status["states"]["failed"] == len(failed)
