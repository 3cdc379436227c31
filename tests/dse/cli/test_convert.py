"""`dse convert`: a user's plain model becomes a spiking one, or is refused with its line."""

import json
import os
import signal

import pytest
import torch
from command import dse, start
from safetensors.torch import save_file
from torch import nn

pytestmark = pytest.mark.slow

NET = """
from torch import nn

class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(64, 10)
        self.squash = nn.Sigmoid()

    def forward(self, x):
        x = self.squash(x.flatten(1))
        x = x * 2
        return self.a(x)

def bad():
    return Bad()

def build(features=64, classes=10):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(features, 12), nn.ReLU(), nn.Linear(12, classes)
    )

def narrow():
    return build(features=63)

def twelve():
    return build(classes=12)

def raises():
    return [].pop()

def reads():
    return open("cfg.json")

def normalised():
    class Normalised(nn.Sequential):
        def forward(self, x):
            return super().forward((x - 0.5) / 0.5)
    return Normalised(*build())

def double():
    return build().double()

def dead():
    model = build()
    nn.init.constant_(model[1].weight, 0.0)
    nn.init.constant_(model[1].bias, -1.0)
    return model
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    return tmp_path


def test_a_model_with_weights_is_converted_and_reported(folder):
    arguments = (
        "convert", "net.py:build", "--weights", "w.safetensors", "--data", "digits",
        "--method", "opi,qcfs,icsnn", "--steps", "1..2,4", "--calibration-samples", "40",
        "--samples", "8", "--coding", "direct",
    )  # fmt: skip
    done = dse(*arguments, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["steps"] == [1, 2, 4]
    assert document["source"]["parameters"] == 64 * 12 + 12 + 12 * 10 + 10
    assert document["settings"]["weights"] == "w.safetensors"
    assert document["samples"]["calibration"] == 40
    opi, qcfs, icsnn = document["methods"]
    assert all(not row["reason"] for row in (*opi["readings"], *icsnn["readings"]))
    assert all("must be clipped or qcfs" in row["reason"] for row in qcfs["readings"])
    assert icsnn["changed"] == ["coding: direct, not rate-compensated"]
    out = folder / "conversions" / "net"
    for name in (
        "conversion.json",
        "conversion.csv",
        "layers.csv",
        "errors.csv",
        "conversion.html",
    ):
        assert (out / name).stat().st_size > 300
    assert json.loads((out / "conversion.json").read_text()) == document
    # again, over its own report; in words this time
    done = dse(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    for text in ("ANN: net.py:build", "icsnn † *", "T = 4", "≥ 4", "report: conversions/net"):
        assert text in done.stdout
    assert "no result: qcfs:" in done.stderr


def test_one_method_shows_every_t_and_the_errors_of_its_layers(folder):
    done = dse(
        "convert", "net.py:build", "--data", "digits", "--method", "opi", "--steps", "2,8",
        "--out", "there", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "opi at T = 8: error of each layer" in done.stdout
    assert "unevenness" in done.stdout
    assert (folder / "there" / "conversion.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (
            ("net.py:bad",),
            ("net.py:bad: squash (net.py:11): Sigmoid cannot", "net.py:bad: mul (net.py:12): mul"),
        ),
        (("net.py:narrow",), ("of digits of shape (1, 8, 8): cannot run",)),
        (("net.py:twelve",), ("gives logits of shape (12,): must be (10,)",)),
        (
            ("net.py:twelve", "--weights", "w.safetensors"),
            ("w.safetensors: 3.weight: torch.float32 (10, 12): must be torch.float32 (12, 12)",),
        ),
        (("net.py:build", "--weights", "gone"), ("--weights gone: no such file",)),
        (("net.py:build", "--weights", "net.py"), ("must be weights saved as safetensors",)),
        # of what follows nothing is run: the model does not even exist
        (
            ("no.py:b", "--method", "icsn,opy", "--initial", "hlf", "--percentile", "0"),
            (
                '--method "icsn": unknown. Did you mean "icsnn"?',
                '--method "opy": unknown. Did you mean "opi"?',
                '--initial "hlf": unknown. Did you mean "half"?',
                "--percentile 0: must be above 0 and at most 100",
            ),
        ),
        (("no.py:b", "--steps", "0..4"), ('--steps "0..4": 0..4: must go upwards from 1',)),
        (("no.py:b", "--steps", "4..2"), ("must go upwards from 1",)),
        (("no.py:b", "--steps", "1;2"), ("must be whole numbers of time steps",)),
        (("no.py:b", "--hardware", "cmos"), ("unknown profile",)),
        (("no.py:b", "--out", "."), ("--out .: is there, and is no conversion",)),
        (("no.py:b", "--out", "net.py/x"), ("--out net.py/x: cannot be made",)),
        (("no.py:b",), ("no.py: no such file",)),
        (("build",), ("must be a model of yours",)),
        (("net.py:raises",), ("net.py:raises: net.py:30: IndexError: pop from empty list",)),
        (("net.py:reads",), ("net.py:33: FileNotFoundError", "looked for from the current fold")),
        (("net.py:normalised",), ("sub cannot be converted", "say it as BatchNorm2d")),
        (("net.py:double",), ("weights are torch.float64: must be torch.float32",)),
        (
            ("net.py:build", "--method", "qcfs", "--percentile", "99"),
            ("--percentile: qcfs: no such part, so that it would change nothing",),
        ),
        (("net.py:build", "--method", "opi,qcfs", "--epochs", "2"), ("--epochs: opi, qcfs: no",)),
    ],
)
def test_what_cannot_be_is_refused_by_name(folder, arguments, messages):
    done = dse("convert", *arguments, "--data", "digits", folder=folder)
    assert done.returncode == 2, done.stderr
    for message in messages:
        assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "conversions").exists()


def test_unknown_data_is_refused_with_the_nearest_name(folder):
    done = dse("convert", "net.py:build", "--data", "digist", folder=folder)
    assert (done.returncode, done.stderr.strip()) == (
        2,
        '--data "digist": must be a data set or a file.npz. Did you mean "digits"?',
    )


def test_a_dead_layer_is_a_failure_with_its_name(folder):
    done = dse(
        "convert", "net.py:dead", "--data", "digits", "--method", "opi", "--steps", "2",
        folder=folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no result: opi: 2 (net.py:20): dead layer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_point_of_a_run_is_converted_by_all_that_is_asked_for(folder):
    done = dse(
        "run", "smoke", "--set", "variants=[converted]", "--set", "space={width: 0.25}",
        "--set", "budget={trials: 1}", "--set", "training.epochs=2", "--no-report",
        "--set", "data.samples=400", "--out", "r", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = dse("convert", "r#0", "--method", "opi,icsnn-2", "--steps", "2,8", folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads((folder / "conversions/r-0/conversion.json").read_text())
    assert [one["name"] for one in document["methods"]] == ["opi", "icsnn-2"]
    assert document["settings"]["weights"] == "those of r#0"
    record = json.loads((folder / "r/records.jsonl").read_text())
    assert document["source"]["validation"] == record["metrics"]["source_accuracy"]
    done = dse("convert", "r#0", "--data", "digits", folder=folder)
    assert done.returncode == 2
    assert "r#0: has its own: --data and --weights are for a model of yours" in done.stderr


def test_what_was_read_before_a_stop_is_reported_and_the_rest_is_named(folder):
    arguments = ("net.py:build", "--data", "digits", "--steps", "1..64", "--samples", "8")
    process = start("convert", *arguments, "--method", "opi,icsnn-2,icsnn", folder=folder)
    for line in process.stdout:
        if "converting: icsnn-2" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    page = "conversions/net/conversion.html"
    assert f"stopped; 1 of 3 methods are in {page}" in output
    assert "with --method icsnn-2,icsnn --out conversions/net-2" in output
    document = json.loads((folder / page).with_name("conversion.json").read_text())
    assert [one["name"] for one in document["methods"]] == ["opi"]
    assert "stopped: icsnn-2, icsnn were asked for, and were not read" in document["notes"]
