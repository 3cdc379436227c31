import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.text import (
    EnergyUnits,
    format_knob,
    format_percent,
    format_value,
    front_lines,
    margin,
    significant,
)

UNITS = EnergyUnits((("nJ", 1e3), ("pJ", 1.0), ("µJ", 1e6)))


@pytest.mark.parametrize(
    ("energy_pj", "text"),
    [
        (0.0, "0 pJ"),
        (0.0123, "0.0123 pJ"),
        (999.4, "999 pJ"),
        (999.9, "1.00 nJ"),  # rounded first, then the unit
        (12345.0, "12.3 nJ"),
        (4.2e9, "4\N{NARROW NO-BREAK SPACE}200 µJ"),
    ],
)
def test_energy_has_a_fitting_unit(energy_pj, text):
    assert UNITS.format(energy_pj) == text


@given(st.floats(1e-3, 1e12))
def test_a_printed_energy_is_within_half_a_percent(energy_pj):
    number, symbol = UNITS.format(energy_pj).rsplit(" ", 1)
    value = float(number.replace("\N{NARROW NO-BREAK SPACE}", ""))
    assert value * dict(UNITS.steps)[symbol] == pytest.approx(energy_pj, rel=5.1e-3)


def test_significant_digits_keep_their_zeros():
    assert [significant(v) for v in (1.0, 0.5, 99.96, -0.0123)] == [
        "1.00",
        "0.500",
        "100",
        "-0.0123",
    ]


def test_percent_has_the_digits_that_the_samples_carry():
    assert format_percent(0.97216) == "97.2 %"
    assert format_percent(0.97216, 360) == "97.2 %"
    assert format_percent(0.97216, 10_000) == "97.22 %"


def test_margin_is_half_the_wilson_interval():
    # p = 1, n = 96: z^2 / (2 n) / (1 + z^2 / n) = 3.8416 / 192 / (1 + 0.0400) = 0.01924
    assert margin(1.0, 96) == pytest.approx(0.019238, abs=1e-5)


def test_values_without_a_value_are_dashes(units):
    assert format_value(None, "pJ", units) == "–"
    assert format_value(float("nan"), "%", units) == "–"
    assert format_value(True, "", units) == "yes"
    assert format_value(12.5, "s", units) == "12.5 s"


def test_knobs_are_short():
    assert [format_knob(v) for v in (0.123456, 4, True, None, "fast")] == [
        "0.1235",
        "4",
        "yes",
        "–",
        "fast",
    ]


def test_front_lines_are_aligned(record, objectives, units):
    records = [
        record(0, accuracy=0.9, energy_pj=1000.0),
        record(11, variant="ann", accuracy=0.95, energy_pj=123456.0),
    ]
    lines = front_lines(records, objectives, ["cmos45-fp32"], units)
    assert len(lines) == 3
    assert lines[1].startswith("#11")
    assert lines[0].index("variant") == lines[1].index("ann") == lines[2].index("snn")
    assert "95.0 %" in lines[1] and "123 nJ" in lines[1] and "threshold 1" in lines[1]


def test_the_probability_of_the_front_is_the_last_measured_column(record, objectives, units):
    records = [record(0, accuracy=0.9, energy_pj=1e3), record(1, accuracy=0.95, energy_pj=1e4)]
    given = objectives, ["cmos45-fp32"], units
    heading, first, second = front_lines(records, *given, {(0, 0): 0.8342})
    assert heading.endswith("parameters  on the front  knobs")
    assert first.split()[-3:] == ["–", "threshold", "1"]  # nothing is known of #1
    assert "83.4 %" in second and second.endswith("83.4 %  threshold 1")
    assert "on the front" not in front_lines(records, *given)[0]


def test_an_empty_front_is_one_sentence(objectives, units):
    assert front_lines([], objectives, [], units) == [
        "No complete trial has a value for every objective within its limit: no front yet."
    ]
