"""A user's own model, which knows nothing of us: counts, energy, and what is said of mistakes."""

import json

import pytest
from command import dse

pytestmark = pytest.mark.slow

NET = """
import torch
from torch import nn
import torch.nn.functional as F

class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.b = nn.Conv2d(channels, channels, 3, padding=1, groups=2)

    def forward(self, x):
        return F.relu(x + self.b(F.relu(self.norm(self.a(x)))))

def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), Block(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )

def with_batch():
    torch.manual_seed(0)
    return build(), torch.rand(2, 3, 32, 32)

class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()

def spectrum():
    return nn.Sequential(nn.Linear(8, 8), Spectrum())

def nothing():
    return 3

def broken():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(7, 10))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def test_energy_per_layer(folder):
    done = dse(
        "energy", "net.py:build", "--input", "1,3,32,32",
        "--hardware", "cmos45-fp32,cmos45-int8", "--json", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    names = [layer["name"] for layer in document["cmos45-fp32"]["layers"]]
    assert names == ["0", "2.a", "2.b", "5"]
    # dense MACs: 16 x 16 places x 27 taps x 8; 256 x 72 x 8; 256 x 36 x 8; 8 x 10
    macs = 256 * 27 * 8 + 256 * 72 * 8 + 256 * 36 * 8 + 80
    assert document["cmos45-fp32"]["total_pj"] == pytest.approx(4.6 * macs)
    assert document["cmos45-int8"]["total_pj"] == pytest.approx(0.23 * macs)
    assert any("random normal values" in text for text in document["cmos45-int8"]["assumptions"])


def test_the_table_names_every_layer_and_the_totals(folder):
    done = dse("energy", "net.py:with_batch", "--hardware", "cmos45-fp32", folder=folder)
    assert done.returncode == 0, done.stderr
    for text in ("2.a", "2.b", "cmos45-fp32: total 1.27 µJ"):
        assert text in done.stdout


def test_counts_beside_fvcore(folder):
    done = dse("count", "net.py:with_batch", "--check", folder=folder)
    assert done.returncode == 0, done.stderr
    total = 256 * 27 * 8 + 256 * 72 * 8 + 256 * 36 * 8 + 80
    assert f"ours {total:,}, fvcore {total:,}: equal" in done.stdout


SPIKING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 20), nn.Linear(20, 10)

    def forward(self, x):
        v, out = 0.0, 0.0
        for _ in range(4):
            v = 0.5 * v + self.first(x.flatten(1))
            s = (v >= 0.3).float()
            v = v - 0.3 * s
            out = out + self.second(s)
        return out

def net():
    return Net()
"""


def test_a_spiking_model_of_ones_own_shows_its_neurons_and_steps(folder):
    (folder / "snn.py").write_text(SPIKING)
    arguments = ("count", "snn.py:net", "--data", "digits", "--samples", "8", "--json")
    undeclared = json.loads(dse(*arguments, folder=folder).stdout)
    assert (undeclared["time_steps"], undeclared["time_steps_from"]) == (4, "repeated calls")
    first, neurons, second = undeclared["layers"]
    assert (first["input_kind"], second["input_kind"]) == ("real", "unit")
    assert neurons["operator"] == "neuron"
    assert neurons["fed_by"] == ["first"]
    # 20 neurons x 4 steps; 3 steps from a potential that is not zero
    events = {name: neurons["updates"][name] for name in ("compare", "integrate", "leak")}
    assert events == {"compare": 80, "integrate": 60, "leak": 60}
    assert neurons["spikes_out"] == second["spikes_in"] == undeclared["total"]["spikes"]
    declared = json.loads(dse(*arguments, "--time-steps", "4", folder=folder).stdout)
    assert declared["time_steps_from"] == "declared by the caller"
    assert declared["layers"] == undeclared["layers"]
    texts = ("first: computed on real values at each", "recognised by the flow of data")
    for text in texts:
        assert any(text in line for line in declared["assumptions"])
    wrong = json.loads(dse(*arguments, "--time-steps", "3", folder=folder).stdout)
    assert any("no layer has so many" in text for text in wrong["warnings"])


def test_an_operator_that_nobody_counts_is_named(folder):
    done = dse("energy", "net.py:spectrum", "--input", "1,2,4,8", folder=folder)
    assert done.returncode == 1
    assert "_fft_r2c" in done.stderr
    assert "in 1, sizes [1, 2, 4, 8]" in done.stderr
    assert "incomplete" in done.stdout
    assert "cmos45-fp32: incomplete; known part" in done.stdout
    assert "cmos45-fp32: total" not in done.stdout


def test_an_operator_is_admitted_by_its_name_alone(folder):
    arguments = ("energy", "net.py:spectrum", "--input", "1,2,4,8", "--allow-uncounted")
    done = dse(*arguments, "aten._fft_r2c", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "not counted, admitted by name: aten._fft_r2c" in done.stdout
    wrong = dse(*arguments, "aten.fft", folder=folder)
    assert wrong.returncode == 2
    assert "no such operator is uncounted here. Uncounted: aten._fft_r2c" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("net.py:build",), 2, "net.py:build: what shall it run on? Give --input 1,3,32,32"),
        (("net.py:biuld", "--input", "1,3,8,8"), 2, "net.py: has no callable biuld. It has: "),
        (("nat.py:build", "--input", "1,3,8,8"), 2, "nat.py: no such file"),
        (("net.py", "--input", "1,3,8,8"), 2, 'target "net.py": must be a point RUN#NUMBER, or'),
        (("net.py:build", "--input", "1,x"), 2, '--input "1,x": must be sizes with commas'),
        (("net.py:nothing", "--input", "1,3"), 2, "net.py:nothing: returned int; it must return"),
        (("net.py:build", "--data", "mnits"), 2, 'data: "mnits" is unknown. Did you mean "mnist"?'),
        (
            ("net.py:broken", "--input", "1,3,8,8"),
            1,
            "2 raised RuntimeError for an input of shape (1, 3, 8, 8): mat1 and mat2 shapes",
        ),
        (
            ("net.py:build", "--input", "1,3,8,8", "--hardware", "cmos45-fp23"),
            2,
            'Did you mean "cmos45-fp32"?',
        ),
        (("no/run#3",), 2, 'run "no/run": no such run'),
    ],
)
def test_mistakes_are_told_without_a_traceback(folder, arguments, code, message):
    done = dse("energy", *arguments, folder=folder)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_set_instead_of_random_values(folder):
    (folder / "mlp.py").write_text(
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    done = dse(
        "count", "mlp.py:build", "--data", "digits", "--samples", "5", "--json", folder=folder
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["samples"] == 5
    assert document["layers"][0]["dense_mac"] == 640
    assert 0 < document["layers"][0]["mac"] < 640  # black pixels are zeros


def test_samples_in_dimension_one(folder):
    arguments = ("count", "net.py:spectrum", "--input", "5,2,8", "--batch-dim", "1", "--json")
    arguments += ("--allow-uncounted", "aten._fft_r2c")
    document = json.loads(dse(*arguments, folder=folder).stdout)
    assert document["samples"] == 2
    wrong = dse("count", "net.py:spectrum", "--data", "digits", "--batch-dim", "1", folder=folder)
    assert wrong.returncode == 2
    assert "--batch-dim is for --input" in wrong.stderr
