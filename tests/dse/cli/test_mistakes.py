"""What the user gets wrong is told at once, before torch is loaded and before anything is made."""

import json
import subprocess
import sys

import pytest
from command import dse

BAD = """\
name: mine
question: what?
data: mnits
variants: [ann, sn]
architecture: convnet
space:
  width: {range: [2.0, 0.5]}
  treshold: 1.0
objectives: [accuracy, energy_pj]
hardware: [cmos45-fp32]
budgt: {trials: 4}
budget: {trials: 4}
"""


def test_five_mistakes_are_five_lines(tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD)
    done = dse("run", "bad.yaml", folder=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 5, done.stderr
    for line, (place, hint) in zip(
        lines,
        [
            ("bad.yaml:3:", 'Did you mean "mnist"?'),
            ("bad.yaml:4:", 'Did you mean "snn"?'),
            ("bad.yaml:7:", "low 2.0 is above high 0.5. Write [0.5, 2.0]"),
            ("bad.yaml:8:", 'Did you mean "threshold"?'),
            ("bad.yaml:11:", 'Did you mean "budget"?'),
        ],
        strict=True,
    ):
        assert line.startswith(place)
        assert line.endswith(hint)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "bad.yaml"], ["hardware"], ["validate"], ["sweeps"]]
)
def test_torch_is_not_loaded_for_words(tmp_path, arguments):
    (tmp_path / "bad.yaml").write_text(BAD)
    code = (
        "import sys\nfrom dse.cli.main import main\n"
        f"sys.argv = ['dse', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'optuna', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_sweep_that_is_not_there(tmp_path):
    done = dse("run", "quickstrat", folder=tmp_path)
    assert done.returncode == 2
    assert 'Did you mean "quickstart"?' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preset_that_is_not_there(tmp_path):
    done = dse("run", "s2nn_fashion_mnist", "--preset", "smal", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'sweeps/s2nn_fashion_mnist.yaml: has no preset "smal". Did you mean "small"? '
        "It has: small\n"
    )


def test_the_sweeps_are_listed_with_their_presets(tmp_path):
    listed = json.loads(dse("sweeps", "--json", folder=tmp_path).stdout)
    assert listed["s2nn_cifar10"]["presets"] == ["small"]
    assert listed["smoke"]["presets"] == []


@pytest.mark.slow
def test_data_that_are_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    done = dse("run", "smoke", "--set", "data=mnist", "--data-dir", "empty", folder=tmp_path)
    assert done.returncode == 2
    assert "train-images-idx3-ubyte.gz" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_dry_run_trains_nothing_and_makes_nothing(tmp_path):
    done = dse("run", "smoke", "--dry-run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in (
        "space: a continuum of designs",
        "time_steps",
        "bounds before any training, of ",
        "6.77 nJ",  # of every ann here: exact
        "one snn trial",
        "4 trials, 1 at a time",
        "CPU hours",
    ):
        assert text in done.stdout
    assert not (tmp_path / "runs").exists()
