import csv

import pandas as pd
import pytest

from reports.families import Work, families
from reports.table import families_frame, layers_frame, pareto_frame, trials_frame, write_csv


def test_trials_are_tidy_and_sorted(record, objectives):
    records = [
        record(2, accuracy=0.8, energy_pj=50.0),
        record(0, accuracy=0.9, energy_pj=10.0, parent=None),
        record(1, state="failed", reason="diverged", metrics={}, energy={}),
    ]
    frame = trials_frame(records, objectives, {(0, 0): "dse rerun a#0"})
    assert frame["number"].tolist() == [0, 1, 2]
    assert frame["on_front"].tolist() == [True, False, False]
    assert frame.loc[0, "command"] == "dse rerun a#0"
    assert frame.loc[1, "reason"] == "diverged"
    assert frame["validation_accuracy"].isna().tolist() == [False, True, False]


def test_integers_with_gaps_stay_integers(record, objectives, tmp_path):
    records = [record(0), record(1, metrics={}, state="failed", parent=0)]
    write_csv(trials_frame(records, objectives), tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["parameters"] for row in rows] == ["61706", ""]
    assert [row["parent"] for row in rows] == ["", "0"]
    assert rows[0]["validation_accuracy"] == "0.9" and rows[0]["knob_threshold"] == "1.0"


def test_a_knob_may_be_a_number_here_and_a_word_there(record, objectives):
    designs = [{"architecture": "mlp", "knobs": {"leak": value}} for value in (0.5, "learned")]
    frame = trials_frame([record(i, design=d) for i, d in enumerate(designs)], objectives)
    assert frame["knob_leak"].tolist() == [0.5, "learned"]


def test_pareto_frame_keeps_the_order_of_the_front(record, objectives):
    records = [
        record(0, accuracy=0.8, energy_pj=1.0),
        record(1, accuracy=0.9, energy_pj=5.0),
        record(2, accuracy=0.7, energy_pj=9.0),
    ]
    assert pareto_frame(records, objectives)["number"].tolist() == [1, 0]


def test_the_probability_of_the_front_has_a_column_if_it_is_known(record, objectives):
    records = [
        record(0, accuracy=0.8, energy_pj=9.0),
        record(1, accuracy=0.9, energy_pj=5.0),
        record(2, state="failed", metrics={}, energy={}),
    ]
    shares = {(0, 0): 0.25, (1, 0): 1.0}
    trials = trials_frame(records, objectives, front_probability=shares)
    assert trials.columns[-3:].tolist() == ["on_front", "front_probability", "command"]
    assert trials["front_probability"].isna().tolist() == [False, False, True]
    pareto = pareto_frame(records, objectives, front_probability=shares)
    assert pareto.columns[-2:].tolist() == ["front_probability", "command"]
    assert pareto["front_probability"].tolist() == [1.0]
    for frame in (trials_frame(records, objectives), pareto_frame(records, objectives)):
        assert "front_probability" not in frame.columns


def test_frames_of_nothing_keep_their_columns(objectives):
    assert "validation_accuracy" in pareto_frame([], objectives).columns
    assert layers_frame({}).columns.tolist() == [
        "number",
        "reading",
        "profile",
        "layer",
        "component",
        "energy_pj",
    ]


def test_families_are_one_row_a_design(record, tmp_path):
    records = [
        record(0, variant="ann", accuracy=0.8, energy_pj=100.0, design={"knobs": {"depth": 2}}),
        record(2, variant="ann", accuracy=0.9, energy_pj=100.0, design={"knobs": {"depth": 2}}),
        record(1, variant="snn", energy_pj=25.0, design={"knobs": {"time_steps": 4}}),
    ]
    work = {0: Work(mac=2.0), 2: Work(mac=4.0), 1: Work(ac=8.0, spike_rate=0.25)}
    write_csv(families_frame(families(records, work, ["cmos45-fp32"])), tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as stream:
        ann, snn = csv.DictReader(stream)
    assert (ann["numbers"], ann["seeds"], ann["selected"]) == ("0 2", "2", "True")
    assert (ann["knob_depth"], snn["knob_depth"], snn["knob_time_steps"]) == ("2", "", "4")
    assert float(ann["validation_accuracy_sd"]) == pytest.approx(0.1 / 2**0.5)
    assert (ann["mac"], ann["energy_pj_cmos45-fp32"], ann["test_accuracy"]) == ("3.0", "100.0", "")
    assert (snn["validation_accuracy_sd"], snn["spike_rate"]) == ("", "0.25")
    assert (ann["energy_ratio"], snn["energy_ratio"]) == ("1.0", "0.25")


def test_layers_are_one_row_a_component():
    rows = [{"layer": "conv1", "component": "compute", "energy_pj": 2.5}]
    frame = layers_frame({(3, 0): {"cmos45": rows}})
    assert isinstance(frame, pd.DataFrame)
    assert frame.drop(columns="reading").iloc[0].tolist() == [3, "cmos45", "conv1", "compute", 2.5]
    assert frame["reading"].isna().all()
    assert layers_frame({(3, 2): {"cmos45": rows}})["reading"].tolist() == [2]
