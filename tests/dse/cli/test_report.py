"""`dse report --hardware`: a stored run priced again, with its opponents, or refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command import dse

import sweeps
from dse.runfolder import RunFolder
from energy_models import LayerCounts, ModelCounts, NeuronUpdates, OpCounts
from energy_models.layers import OperandCounts, StepCounts
from reports.record import TrialRecord

# a layer of MACs, which truenorth has no price for, before neurons and a layer of spikes
SPIKING = ModelCounts(
    samples=2,
    time_steps=4,
    layers=(
        LayerCounts(
            "conv",
            "convolution",
            ops=OpCounts(mac=80, dense_mac=100),
            input_kind="real",
            weight_kind="real",
            weights=10,
            outputs=10,
            reused_steps=4,
            operands=(OperandCounts("real", elements=10, nonzero=8, reached=80),),
        ),
        LayerCounts(
            "lif",
            "neuron",
            neurons=10,
            updates=NeuronUpdates(integrate=40, compare=40),
            spikes_out=6,
            fed_by=("conv",),
        ),
        LayerCounts(
            "fc",
            "linear",
            ops=OpCounts(ac=60, dense_ac=400),
            input_kind="unit",
            weight_kind="real",
            weights=100,
            outputs=40,
            spikes_in=6,
            operands=(OperandCounts("unit", elements=40, nonzero=6, reached=60),),
            steps=(StepCounts(ac=15, spikes_in=1.5),) * 4,
            calls=(StepCounts(ac=15, spikes_in=1.5),) * 4,
        ),
    ),
)


@pytest.fixture
def run(tmp_path):
    """Two complete trials, both on the front: the more accurate one spikes more."""
    folder = RunFolder(tmp_path / "runs" / "mine")
    smoke = Path(sweeps.__file__).parent / "smoke.yaml"
    text = smoke.read_text(encoding="utf-8").replace("cmos45-fp32, cmos45-int8", "cmos45-int8")
    folder.begin(text)
    for number in (0, 1):
        counts = folder.trial(number) / "counts.json"
        counts.parent.mkdir(parents=True)
        layers = (*SPIKING.layers[:2], with_spikes(12 * (number + 1)))
        document = {**SPIKING.to_dict(), "layers": [one.to_dict() for one in layers]}
        counts.write_text(json.dumps(document), encoding="utf-8")
        folder.append(
            TrialRecord(
                number=number,
                state="complete",
                variant="snn",
                design={"variant": "snn", "architecture": "convnet", "knobs": {}},
                seed=0,
                metrics={"validation": {"accuracy": 0.5 + number / 10, "samples": 60}},
                counts_file=str(counts.relative_to(folder.path)),
                times={"total_s": 1.0},
            )
        )
    return tmp_path


def with_spikes(spikes):
    """The last layer with so many spikes in, each of which enters 10 products."""
    step = StepCounts(ac=10 * spikes / 4, spikes_in=spikes / 4)
    return replace(
        SPIKING.layers[2],
        ops=OpCounts(ac=10 * spikes, dense_ac=400),
        spikes_in=spikes,
        operands=(OperandCounts("unit", elements=40, nonzero=spikes, reached=10 * spikes),),
        steps=(step,) * 4,
        calls=(step,) * 4,
    )


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_report_says_with_which_recipe_the_networks_were_trained(run):
    sweep = run / "runs/mine/sweep.yaml"
    text = sweep.read_text(encoding="utf-8")
    recipe = "training: {epochs: 3, optimizer: sgd, schedule: cosine, warmup: 0.1, mixup: 0.2}"
    lines = [line for line in text.splitlines() if not line.startswith("training:")]
    sweep.write_text("\n".join([*lines, recipe, ""]), encoding="utf-8")
    done = dse("report", "runs/mine", "--hardware", "cmos45-int8", folder=run)
    assert done.returncode == 0, done.stderr
    page = (run / "runs/mine/report.html").read_text(encoding="utf-8")
    assert "<dd>3 epochs, batch 32, SGD, cosine, warmup 0.1, mixup 0.2</dd>" in page
    assert "AdamW" not in page


def test_a_report_without_a_single_total_is_refused_and_the_old_one_kept(run):
    done = dse("report", "runs/mine", "--hardware", "cmos45-int8", folder=run)
    assert done.returncode == 0, done.stderr
    before = files(run)
    assert run / "runs/mine/report.html" in before
    done = dse("report", "runs/mine", "--hardware", "truenorth,cmos45-int8", folder=run)
    assert done.returncode == 2
    # each reason once, however many trials have it
    assert done.stderr == (
        'runs/mine: hardware "truenorth" has a total for not one of 2 complete trials: conv: no '
        "energy for mac: this is a spiking chip. A host can price it: "
        "truenorth+host=cmos45-int8. No report was written; put a profile first that prices them\n"
    )
    assert files(run) == before
    # the profile of the objective comes first: another one may be incomplete
    done = dse("report", "runs/mine", "--hardware", "cmos45-int8,truenorth", folder=run)
    assert done.returncode == 0, done.stderr


def test_a_run_without_a_complete_trial_is_reported(run):
    records = run / "runs/mine/records.jsonl"
    records.write_text(records.read_text().replace('"complete"', '"failed"'))
    done = dse("report", "runs/mine", "--hardware", "truenorth", folder=run)
    assert done.returncode == 0, done.stderr


def test_an_empty_name_is_refused_before_anything_is_written(run):
    shutil.rmtree(run / "runs/mine/figures", ignore_errors=True)
    before = files(run)
    done = dse("report", "runs/mine", "--hardware", "cmos45-int8,", folder=run)
    assert done.returncode == 2
    assert '--hardware "cmos45-int8,": a name is empty' in done.stderr
    assert files(run) == before


def test_every_point_of_the_front_has_its_opponents_by_layer(run):
    names = "cmos45-int8,truenorth+host=cmos45-int8,cmos45-sram-int8"
    done = dse("report", "runs/mine", "--hardware", names, folder=run)
    assert done.returncode == 0, done.stderr
    page = (run / "runs/mine/report.html").read_text(encoding="utf-8")
    table = page.partition('<h2 id="opponents">')[2].partition("<h2")[0]
    # the best of the variant is #1; #0 is on the front alone
    for point in ("#0", "#1"):
        assert f"<td>{point}</td><td>cmos45-int8</td><td>ANN int8</td>" in table
    rows = table.count("<td>#0</td>")
    assert rows > 4 and table.count("<details>") == 2 * rows
    assert table.count("<td>fc</td>") == 2 * rows
    # the curve, its range, and the memory in numbers, as `dse hardware` says them
    assert '<td class="num">curve</td><td class="num">1 to 3.1 x curve</td>' in page
    assert "memory.sram: read: 1 KiB 0.787 pJ" in page
