"""The whole way: a sweep file in, real trainings, a report out, and what can be asked of it."""

import csv
import json
from pathlib import Path

import pytest
from command import dse

import energy_models

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smoke sweep, run once."""
    folder = tmp_path_factory.mktemp("smoke")
    done = dse("run", "smoke", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def records(folder, name="smoke"):
    lines = (folder / "runs" / name / "records.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def without_times(rows):
    """And without the name of the worker, which nobody had before."""
    return [{k: v for k, v in row.items() if k not in ("times", "worker")} for row in rows]


def test_the_run_ends_with_its_report(run):
    folder, done = run
    assert done.stdout.splitlines()[-1] == "report: runs/smoke/report.html"
    rows = records(folder)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert {row["state"] for row in rows} == {"complete"}
    # each variant's default design comes first
    assert [row["variant"] for row in rows] == ["ann", "bnn", "snn", "s2nn"]
    for name in (
        "sweep.yaml",
        "settings.json",
        "environment.json",
        "study.journal",
        "report.html",
    ):
        assert (folder / "runs" / "smoke" / name).stat().st_size > 0
    for kind in ("svg", "png", "pdf"):
        assert list((folder / "runs/smoke/figures").glob(f"*.{kind}"))


def test_only_what_is_shown_has_seen_the_test_data(run):
    folder, _ = run
    tested = {row["number"] for row in records(folder) if row["metrics"]["test"] is not None}
    with (folder / "runs/smoke/pareto.csv").open() as file:
        front = {int(row["number"]) for row in csv.DictReader(file)}
    assert front
    # one trial a variant: each is the best of its variant
    assert tested == {0, 1, 2, 3}


def test_the_tables_hold_every_trial_and_layer(run):
    folder, _ = run
    with (folder / "runs/smoke/trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == 4
    assert all(float(row["energy_pj_cmos45-fp32"]) > 0 for row in trials)
    with (folder / "runs/smoke/layers.csv").open() as file:
        layers = list(csv.DictReader(file))
    for trial in trials:
        total = sum(
            float(row["energy_pj"])
            for row in layers
            if row["number"] == trial["number"] and row["profile"] == "cmos45-fp32"
        )
        # each of the four is the best of its variant, so its layers are in the report
        assert total == pytest.approx(float(trial["energy_pj_cmos45-fp32"]))


def test_the_page_is_whole_and_opens_offline(run):
    folder, _ = run
    page = (folder / "runs/smoke/report.html").read_text()
    assert "Does everything work here" in page
    assert "dse rerun runs/smoke#" in page
    assert "Horowitz" in page
    assert 'src="http' not in page
    assert "<link" not in page


def test_the_same_command_again_trains_nothing(run):
    folder, _ = run
    before = records(folder)
    again = dse("run", "smoke", "--no-report", folder=folder)
    assert again.returncode == 0, again.stderr
    assert "going on with runs/smoke: 4 trials are there" in again.stderr
    assert records(folder) == before


def test_the_same_seed_gives_the_same_records(run):
    folder, _ = run
    done = dse("run", "smoke", "--out", "runs/again", "--no-report", folder=folder)
    assert done.returncode == 0, done.stderr
    assert without_times(records(folder, "again")) == without_times(records(folder))


def test_another_sweep_in_the_same_folder_is_refused(run):
    folder, _ = run
    done = dse("run", "smoke", "--set", "seed=1", folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "runs/smoke: holds a run of this sweep with other entries: seed; "
        "give --out another folder, or remove this one\n"
    )


def test_status(run):
    folder, _ = run
    done = dse("status", "smoke", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["states"] == {"complete": 4}
    assert (status["done"], status["budget"]["trials"]) == (4, 4)
    assert status["hypervolume"] > 0


def test_a_point_comes_out_again_the_same(run):
    folder, _ = run
    done = dse("rerun", "runs/smoke#2", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the same"


def test_stored_counts_are_priced_on_other_hardware_without_torch(run):
    folder, _ = run
    record = records(folder)[2]
    done = dse(
        "energy", "runs/smoke#2", "--hardware", "cmos45-fp32,cmos45-fp16", "--json", folder=folder
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["cmos45-fp32"]["total_pj"] == record["energy"]["cmos45-fp32"]["total_pj"]
    layers = document["cmos45-fp16"]["layers"]
    total = sum(value for layer in layers for value in layer["energy_pj"].values())
    assert total == pytest.approx(document["cmos45-fp16"]["total_pj"])


def test_the_report_on_other_hardware(run):
    folder, _ = run
    done = dse("report", "runs/smoke", "--hardware", "cmos45-int32", folder=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "runs/smoke/trials.csv").open() as file:
        assert "energy_pj_cmos45-int32" in next(csv.reader(file))
    assert dse("report", "runs/smoke", folder=folder).returncode == 0


def test_the_report_on_hardware_with_ranges_and_a_host(run):
    folder, _ = run
    names = "cmos45-sram-int8,truenorth+host=cmos45-int8"
    done = dse("report", "runs/smoke", "--hardware", names, "--out", "again", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "on the front" in done.stdout
    with (folder / "again/smoke/pareto.csv").open() as file:
        shares = [float(row["front_probability"]) for row in csv.DictReader(file)]
    assert shares
    assert all(0 <= share <= 1 for share in shares)
    page = (folder / "again/smoke/report.html").read_text(encoding="utf-8")
    assert "What the energy constants leave open" in page
    assert "Beside the ordinary network of the same shape" in page
    assert "ANN, same hardware, zero-skipping" in page
    assert '<td class="num">curve</td><td class="num">1 to 3.1 x curve</td>' in page
    assert dse("report", "runs/smoke", folder=folder).returncode == 0


def test_a_chip_without_a_price_is_refused_before_training(run):
    folder, _ = run
    options = ("--set", "hardware=[truenorth]", "--out", "runs/refused")
    done = dse("run", "smoke", *options, folder=folder)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f'hardware "truenorth" cannot price variant {name}'
        for name in ("ann", "bnn", "snn", "s2nn")
    ]
    assert "truenorth+host=cmos45-int8" in lines[0]
    assert not (folder / "runs/refused").exists()


def test_a_profile_that_changed_since_is_told_and_prices_again(run):
    folder, _ = run
    shipped = Path(energy_models.__file__).parent / "hardware" / "cmos45-fp32.yaml"
    own = folder / "mine.yaml"
    own.write_text(shipped.read_text().replace("name: cmos45-fp32", "name: mine"))
    options = ("--set", "hardware=[mine.yaml]", "--out", "runs/own", "--trials", "1")
    done = dse("run", "smoke", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    own.write_text(own.read_text().replace("value_pj: 4.6", "value_pj: 460.0"))
    told = dse("report", "runs/own", folder=folder)
    assert told.returncode == 1
    assert told.stderr == (
        "runs/own: mine.yaml has changed since this run was priced; "
        "`dse report runs/own --hardware mine.yaml` prices its counts again\n"
    )
    assert dse("report", "runs/own", "--hardware", "mine.yaml", folder=folder).returncode == 0


def test_counts_of_a_point(run):
    folder, _ = run
    done = dse("count", "runs/smoke#2", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["coverage"] == 1
    assert document["uncounted"] == {}
    first = document["layers"][0]
    assert first["dense_mac"] > 0
    assert first["ac"] == 0


@pytest.mark.parametrize("verb", ["count", "energy"])
def test_a_point_is_not_run_on_other_data(run, verb):
    folder, _ = run
    done = dse(verb, "runs/smoke#2", "--data", "mnist", folder=folder)
    assert done.returncode == 2
    assert "its counts are stored" in done.stderr


def test_a_point_that_is_not_there(run):
    folder, _ = run
    done = dse("count", "runs/smoke#17", folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        'point "runs/smoke#17": there is no trial 17; its trials go from 0 to 3\n'
    )


def test_two_workers_train_each_trial_once(run):
    folder, _ = run
    done = dse("run", "smoke", "--workers", "2", "--out", "runs/two", "--no-report", folder=folder)
    assert done.returncode == 0, done.stderr
    assert [row["number"] for row in records(folder, "two")] == [0, 1, 2, 3]
