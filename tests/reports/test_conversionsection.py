"""The conversions of a sweep on the page, in the CSV, in a figure and in a terminal."""

import csv
from dataclasses import replace

import pytest

from reports import conversionsection as section
from reports.conversionfigures import draw_curves
from reports.conversionruns import sources
from reports.page import write_report

FP32 = "cmos45-fp32"
READINGS = {"time_steps": 32, "method": "icsnn"}
HOSTILE = "<script>alert('x')</script> $\\frac{ü} {} --> &"


@pytest.fixture
def found(converted, record):
    ann = record(0, variant="ann", energy_pj=5000.0)

    def of(**changes):
        return sources((ann, *converted(**changes)), [FP32], READINGS)

    return of


def test_tables_by_pencil(found, units):
    [source] = found()
    accuracy, verdicts, energy = section.sheets(source, [FP32], units)
    assert accuracy.title == "validation accuracy (%) after T steps; the source has 90.0 ± 1.4"
    assert accuracy.columns == ("method", "T = 1", "T = 4", "T = 16", "T = 32")
    assert accuracy.rows == (
        ("icsnn †", "–", "–", "–", "88.0 ± 0.0"),
        ("opi", "55.0 ± 7.1", "87.8 ± 1.1", "89.5 ± 0.7", "–"),
    )
    assert verdicts.columns == (
        *("method", "within 0.5", "within 1", "within 2", f"cheaper up to, {FP32}"),
    )
    assert verdicts.rows == (
        ("icsnn †", "> 32", "> 32 (32 to > 32)", "> 32 (32 to > 32)", "–"),
        ("opi", "> 16 (4 to > 16)", "16 (4 to 16)", "16 (4 to 16)", "4"),
    )
    assert energy.title == f"energy per inference on {FP32} (nJ); the ann of this run needs 5.00"
    assert energy.rows[1] == ("opi", "1.05 ± 0.07", "4.20 ± 0.28", "16.8 ± 1.1", "–")
    assert section.summary(source).endswith("as it was trained, 2 trainings.")
    assert section.opponent(source) == "Energies are held against the ann of this run."


def test_without_an_ann_there_is_nothing_to_be_cheaper_than(converted, units):
    [source] = sources(converted(), [FP32], READINGS)
    _, verdicts, energy = section.sheets(source, [FP32], units)
    assert len(verdicts.columns) == 4 and "ann" not in verdicts.title + energy.title
    assert "no ann" in section.opponent(source)
    assert len(list(section.sheets(source, [], units))) == 2


def test_the_longest_t_that_was_read_is_no_limit(converted, record, units):
    ann = record(0, variant="ann", energy_pj=20_000.0)
    [source] = sources((ann, *converted()), [FP32], READINGS)
    assert section.verdict_sheet(source).rows[1][-1] == "≥ 16"


def test_a_mean_over_fewer_trainings_says_so(found):
    [source] = found(failed={(2, 1): "no bound"})
    assert section.accuracy_sheet(source).rows[1][1] == "50.0 (n = 1)"
    assert section.problems(source) == ["opi at T = 1: 1 point failed (#2.1): no bound"]


def test_tests_are_shown_where_they_were_made(converted, units):
    records = [
        replace(one, metrics={**one.metrics, "test": {"accuracy": 0.86, "samples": 360}})
        if one.name == "1.3"
        else one
        for one in converted()
    ]
    [source] = sources(records, [FP32], READINGS)
    *_, tested = section.sheets(source, [FP32], units)
    assert tested.rows == (("opi", "16", "86.0", "1", "89.5 ± 0.7"),)


def test_a_row_of_the_csv(found):
    frame = section.conversions_frame(found(failed={(2, 1): HOSTILE}))
    row = frame[(frame["method"] == "opi") & (frame["time_steps"] == 1)].iloc[0]
    assert (row["n"], row["failed"], row["reasons"]) == (1, 1, HOSTILE)
    assert row["knob_activation"] == "qcfs" and row["validation_accuracy"] == 0.5
    assert row[f"energy_pj_{FP32}"] == 1000.0 and row[f"ann_energy_pj_{FP32}"] == 5000.0
    assert list(frame["is_reconstruction"]) == [True, False, False, False]


def test_a_line_a_method_with_a_band_and_the_source_across(found):
    [source] = found()
    plot = section.plot(source, ["icsnn †", "opi"])
    axes = draw_curves(plot).axes[0]
    assert axes.get_xscale() == "log" and plot.steps == (1, 4, 16, 32)
    names = [line.get_label() for line in axes.lines]
    assert names == ["source", "icsnn †", "opi"]
    assert axes.lines[0].get_ydata()[0] == pytest.approx(90.0)
    band = axes.collections[1].get_paths()[0].vertices
    # 55 % at T = 1, half of 50 and 60; 7.07 to either side
    assert {round(float(y), 2) for x, y in band if x == 1.0} == {47.93, 62.07}


def test_many_sources_are_in_the_csv_alone(converted):
    records = [
        one
        for place in range(6)
        for one in converted(first=10 * place, activation=f"a{place}", better=place / 100)
    ]
    found = sources(records, [FP32], READINGS)
    lines = section.conversion_lines(found)
    assert sum("Source network" in line for line in lines) == section.MOST_SOURCES
    assert lines[-1].startswith("These are the 4 sources of the highest accuracy, of 6")
    assert len(section.conversions_frame(found)) == 6 * 4
    assert section.conversion_lines(()) == []


def test_lines_for_a_terminal(found):
    lines = section.conversion_lines(found())
    assert lines[0].startswith("The source network: 90.0 ± 1.4 % on validation images")
    assert lines[1].split() == [
        *("method", "T", "=", "1", "T", "=", "4", "T", "=", "16", "T", "=", "32"),
        *("within", "1", "point"),
    ]
    assert lines[3].startswith("opi ") and lines[3].endswith("16 (4 to 16)")


@pytest.mark.slow
def test_the_section_of_the_page_is_escaped(converted, report, tmp_path):
    notes = {1: (f"converted: {HOSTILE} is a reconstruction: {HOSTILE}",)}
    records = converted(activation=HOSTILE, failed={(2, 4): HOSTILE}, notes=notes)
    data = report(0, records=records, readings=READINGS, baselines=())
    text = write_report(data, tmp_path).read_text(encoding="utf-8")
    assert '<h2 id="conversions">' in text and '<a href="#conversions">' in text
    assert "<script>alert" not in text and "conversions.csv" in text
    assert "1 point failed (#2.2): &lt;script&gt;" in text
    with (tmp_path / "conversions.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 4
    assert (tmp_path / "figures" / "conversion-0.svg").exists()


@pytest.mark.slow
def test_what_was_calibrated_stands_once_and_not_on_top(converted, report, tmp_path):
    kept = "converted: calibrated potentials were kept by {} % of the neurons"
    notes = {1: (kept.format("71.5"), "drawn data"), 2: (kept.format("80.0"), "drawn data")}
    data = report(0, records=converted(notes=notes), readings=READINGS, baselines=())
    text = write_report(data, tmp_path).read_text(encoding="utf-8")
    assert "opi: calibrated potentials were kept by 71.5..80.0 % of the neurons" in text
    assert "kept by 80.0" not in text
    top = text.partition("</header>")[0]
    assert "drawn data" in top and "is a reconstruction" in top and "were kept" not in top


def test_a_run_without_conversions_has_no_such_section(report, tmp_path):
    text = write_report(report(0, readings=READINGS), tmp_path).read_text(encoding="utf-8")
    assert 'id="conversions"' not in text and not (tmp_path / "conversions.csv").exists()
