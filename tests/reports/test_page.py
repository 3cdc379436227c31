import csv
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from reports.data import Constant, LayerRate, Opponent
from reports.errors import ReportDataError
from reports.evidence import EnergyDraws
from reports.families import Work
from reports.page import write_report

HOSTILE = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Ids, and everything that a browser would load by itself."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.loads, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            is_link = tag == "a" and name == "href"
            if name in ("src", "href", "xlink:href", "srcset", "data") and not is_link:
                self.loads.append(value)


def written(data, folder):
    return write_report(data, folder).read_text(encoding="utf-8")


@pytest.fixture
def small(report):
    """Twelve trials, layers of nobody: quick to draw."""
    return lambda **changes: report(12, layers={}, **changes)


@pytest.mark.slow
def test_the_whole_report(report, tmp_path):
    data = report(16)
    text = written(data, tmp_path)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert page.loads and all(load.startswith("#") for load in page.loads)
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    for part in (
        data.question,
        "the test set took no part",
        "dse rerun digits-lenet#",
        "incomplete",
    ):
        assert part in text
    assert text.count('class="layer"') == text.count("<option")
    assert page.tags.count("script") == 1
    headings = re.findall(r'<h2 id="(\w+)"', text)
    assert headings == [
        "trials",
        "pareto",
        "variants",
        "search",
        "layers",
        "limits",
        "hardware",
        "again",
    ]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {
        f"{name}.{kind}"
        for name in ("front", "hypervolume", "parallel")
        for kind in ("svg", "png", "pdf")
    } < names
    assert any(name.startswith("layers-") and "loihi" in name for name in names)
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    assert rows[0]["command"] == "dse rerun digits-lenet#0"
    assert {"knob_width", "energy_pj_loihi", "train_s", "on_front"} < set(rows[0])
    with (tmp_path / "layers.csv").open(encoding="utf-8", newline="") as stream:
        head = ["number", "reading", "profile", "layer", "component", "energy_pj"]
        assert next(csv.reader(stream)) == head


@pytest.mark.slow
def test_the_same_data_gives_the_same_bytes(small, tmp_path):
    for name in ("first", "second"):
        write_report(small(), tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*.*"))
    assert len(files) >= 13
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_what_comes_from_outside_is_escaped(record, report, tmp_path):
    hostile = record(0, variant=HOSTILE, notes=(HOSTILE,), design={"knobs": {HOSTILE: HOSTILE}})
    failed = record(1, variant=HOSTILE, state="failed", reason=HOSTILE)
    layers = {
        (0, 0): {"cmos45-fp32": [{"layer": HOSTILE, "component": HOSTILE, "energy_pj": 1000.0}]}
    }
    text = written(
        report(
            0,
            run=HOSTILE,
            question=HOSTILE,
            records=(hostile, failed),
            layers=layers,
            commands={(0, 0): HOSTILE},
            environment={HOSTILE: HOSTILE},
            uncounted=(HOSTILE,),
            citation=(HOSTILE,),
        ),
        tmp_path,
    )
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert Page(text).tags.count("script") == 1


def test_without_a_complete_trial_the_page_says_so(record, report, tmp_path):
    records = (record(0, state="failed", reason="the loss diverged", metrics={}, energy={}),)
    text = written(report(0, records=records), tmp_path)
    assert "There is no front" in text and "the loss diverged" in text
    assert "<svg" not in text
    assert (tmp_path / "pareto.csv").read_text(encoding="utf-8").count("\n") == 1


def test_without_any_record(report, tmp_path):
    assert "No trial has been recorded yet" in written(report(0), tmp_path)


def test_a_single_point_without_test_accuracy(record, report, tmp_path):
    text = written(report(0, records=(record(0),), baselines=()), tmp_path)
    assert "one point is best in everything" in text
    assert "The test accuracy of these points was not measured" in text
    assert "Every trial was completed" in text


def test_one_objective_makes_a_page_without_the_front_figure(small, tmp_path):
    data = small()
    text = written(replace(data, objectives=data.objectives[:1]), tmp_path)
    assert 'id="front-' not in text and 'id="hypervolume-' in text


def test_incomplete_energy_is_listed(record, report, tmp_path):
    energy = {"cmos45-fp32": {"total_pj": None, "complete": False, "missing": ["fc: no mac"]}}
    text = written(report(0, records=(record(0, energy=energy), record(1))), tmp_path)
    assert "Incomplete energies" in text and "fc: no mac" in text


def test_energy_draws_say_what_is_open(record, report, tmp_path):
    # the front is all twelve and each energy is drawn on its own, so every order is open
    records = tuple(
        record(n, accuracy=0.5 + n / 40, energy_pj=1000.0 + n, variant="ann") for n in range(12)
    )
    weak = record(12, accuracy=0.4, energy_pj=1500.0)
    energies_pj = np.random.default_rng(8).uniform(900.0, 1100.0, (400, 13))
    draws = EnergyDraws(
        {"energy_pj_cmos45-fp32": energies_pj}, 8, drawn=("mac: 3 to 5 pJ",), fixed=(HOSTILE,)
    )
    data = report(0, records=(*records, weak), baselines=())
    text = written(replace(data, energy_draws=draws), tmp_path / "drawn")
    assert HOSTILE not in text
    assert "Every point was priced 400 times (seed 8)" in text
    # 12 * 11 / 2 pairs, of which ten are named
    assert "is open in 66 of 66 pairs of front points" in text
    named = re.findall(r"#(\d+) has less energy per inference than #(\d+) in (5\d\.\d) %", text)
    assert len(set(named)) == 10 and "the ten most open" in text
    # the cheapest of 13 equals: 1 in 13
    [share] = re.findall(r"yet on it in some draws: #12 \((\d\.\d) %\)\.", text)
    assert float(share) == pytest.approx(100 / 13, abs=4)
    assert "Drawn: mac: 3 to 5 pJ." in text and "for want of a range" in text
    with (tmp_path / "drawn" / "pareto.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["number"] == "11" and float(rows[0]["front_probability"]) == 1.0
    assert all(0 < float(row["front_probability"]) <= 1 for row in rows) and len(rows) == 12
    for row in rows:
        shown = f"{100 * float(row['front_probability']):.1f} %"
        cells = text.split(f'<tr id="point-{row["number"]}">')[1].split("</tr>")[0]
        assert f'<td class="num">{shown}</td>' in cells

    without = written(data, tmp_path / "plain")
    assert "on the front</th>" in text and "on the front</th>" not in without
    assert "leave open" in text and "leave open" not in without
    for name in ("pareto.csv", "trials.csv"):
        plain = (tmp_path / "plain" / name).read_text(encoding="utf-8")
        assert "front_probability" not in plain


def test_notes_stand_on_top_and_with_the_data(record, report, tmp_path):
    records = (record(0, notes=("approximate labels",)), record(1, energy_pj=1.0))
    text = written(report(0, records=records, data_notes=("a stand-in set",)), tmp_path)
    # on top, with the data, and in each of three figures
    assert text.count("a stand-in set") == text.count("approximate labels") == 2 + 3
    assert text.index("approximate labels") < text.index("What was tried")
    assert "(#0)" in text


def test_stale_layers_are_removed(record, report, tmp_path):
    old = tmp_path / "figures" / "layers-99-old.svg"
    old.parent.mkdir()
    old.touch()
    write_report(report(0, records=(record(0),)), tmp_path)
    assert not old.exists()


def test_every_contradiction_is_named_at_once(record, report, tmp_path):
    layers = {(0, 0): {"cmos45-fp32": [{"layer": "fc", "component": "compute", "energy_pj": 1.0}]}}
    data = report(
        0,
        records=(record(0), record(0)),
        layers=layers,
        commands={(7, 0): "dse rerun a#7"},
        run="mine",
    )
    with pytest.raises(ReportDataError) as caught:
        write_report(data, tmp_path)
    assert str(caught.value).splitlines()[:3] == [
        "report mine: records: number 0 stands 2 times; a number names one point",
        "report mine: commands: there is no record 7",
        "report mine: layers: point 0, cmos45-fp32: they add up to 1 pJ, the record says 1000 pJ",
    ]


@pytest.mark.slow
def test_reports_stand_on_the_ground():
    above = "{'torch', 'optuna', 'dse', 'energy_models'}"
    code = f"import sys, reports.page; print({above} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_ordinary_network_beside_a_point(report, tmp_path):
    known = (4.2e6, 1.5e6, "0.26", 0.0912, "nobody <measured>", "cmos45-int8")
    layers = (LayerRate("conv<1>", "0.31", 0.125), LayerRate("fc", "no spikes enter", None))
    opponents = (
        Opponent("2", "cmos45-fp32", "ANN int8", *known, layers),
        Opponent("2", "loihi", "ANN fp32", None, None, "never", None, "nobody measured it", "odin"),
    )
    page = write_report(report(opponents=opponents), tmp_path).read_text(encoding="utf-8")
    assert "Beside the ordinary network of the same shape" in page
    row, _, last = page.partition("ANN int8")[2].partition("ANN fp32")
    for cell in ("4.20 µJ", "1.50 µJ", "cmos45-int8", "0.26", "0.0912", "nobody &lt;measured&gt;"):
        assert f">{cell}" in row
    assert row.count("<details>") == 1
    for cells in (
        '<td>conv&lt;1&gt;</td><td class="num">0.31</td><td class="num">0.125</td>',
        '<td>fc</td><td class="num">no spikes enter</td><td class="num">–</td>',
    ):
        assert cells in row
    assert "incomplete" in last.partition("</tr>")[0] and "<td>odin</td>" in last
    assert "<details>" not in last
    without = write_report(report(), tmp_path).read_text(encoding="utf-8")
    assert "Beside the ordinary network" not in without


def test_a_curve_a_range_and_a_node_of_a_constant(report, tmp_path):
    data = report()
    source = "CACTI"
    curve = Constant(
        *("sram", "curve", "", "64", "estimate", source, "by size", "1 to 3 x curve", "45 nm")
    )
    profile = replace(data.profiles[0], constants=(*data.profiles[0].constants, curve))
    page = write_report(replace(data, profiles=(profile,)), tmp_path).read_text(encoding="utf-8")
    row = page.partition(">sram<")[2].partition("</tr>")[0]
    # cells of their own: without tags, too, they do not run together
    assert '<td class="num">curve</td><td class="num">1 to 3 x curve</td>' in row
    assert "<td>45 nm</td>" in row


@pytest.mark.slow
def test_families_over_seeds_stand_on_the_page_and_beside_it(small, tmp_path):
    done = [one.number for one in small().records if one.state == "complete"]
    note = f"approximate data {HOSTILE}"
    data = small(work={number: Work(mac=10.0) for number in done}, data_notes=(note,))
    page = Page(written(data, tmp_path))
    assert "families" in page.ids
    assert (tmp_path / "figures" / "families.pdf").exists()
    assert f"- {note}" in (tmp_path / "families.md").read_text(encoding="utf-8").splitlines()
    with (tmp_path / "families.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["variant"] for row in rows} <= {"ann", "bnn", "snn", "s2nn"}
    assert sum(int(row["seeds"]) for row in rows) == len(done)
    # every design is trained, so nothing is searched
    assert "search" not in page.ids
    assert not (tmp_path / "figures" / "hypervolume.svg").exists()
    told = "Sweep digits-lenet: 20 epochs, 40 trials."
    assert f"- {told}" in (tmp_path / "families.md").read_text(encoding="utf-8").splitlines()
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count(told) == 2
    first = (tmp_path / "report.html").read_bytes()
    assert written(data, tmp_path / "again").encode() == first


def test_without_repeats_there_is_no_such_table(small, tmp_path):
    page = Page(written(small(), tmp_path))
    assert "families" not in page.ids
    assert "search" in page.ids
    assert not (tmp_path / "families.csv").exists()


def test_work_of_nobody_is_refused(small):
    with pytest.raises(ReportDataError, match="work: there is no record 99"):
        small(work={99: Work()}).check()


def test_the_limit_of_an_objective_stands_with_it(small, objectives, tmp_path):
    accuracy, energy = objectives
    wanted = (replace(accuracy, limit=0.5), replace(energy, limit=2e6))
    text = written(small(objectives=wanted), tmp_path)
    assert "highest validation accuracy, at least 50.0 %" in text
    assert "lowest energy per inference, at most 2.00 µJ" in text
