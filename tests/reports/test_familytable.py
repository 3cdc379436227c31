"""The table of families in words: cells, lines, Markdown and notes."""

from dataclasses import replace

import pytest

from reports.families import Mean, Work, families
from reports.familytable import (
    family_columns,
    family_lines,
    family_markdown,
    family_notes,
    heading,
    plus_minus,
)

FP32 = "cmos45-fp32"


@pytest.fixture
def rows(record):
    def trained(number, variant, validation, test, energy_pj, **knobs):
        one = record(number, variant=variant, accuracy=validation, energy_pj=energy_pj)
        tested = {"accuracy": test, "samples": 360}
        return replace(one, design={"knobs": knobs}, metrics={**one.metrics, "test": tested})

    table = [
        trained(0, "ann", 0.90, 0.88, 4_000_000.0, width=1.0),
        trained(3, "ann", 0.94, 0.92, 4_000_000.0, width=1.0),
        trained(1, "snn", 0.80, 0.85, 1000.0, time_steps=2),
        trained(4, "snn", 0.84, 0.87, 1400.0, time_steps=2),
        replace(trained(2, "snn", 0.5, 0.5, 1.0, time_steps=4), state="failed"),
    ]
    work = {
        0: Work(mac=1.5e6, dense_mac=2e6),
        3: Work(mac=1.7e6, dense_mac=2e6),
        1: Work(ac=5e3, dense_ac=4e5, updates=64.0, spike_rate=0.10),
        4: Work(ac=7e3, dense_ac=4e5, updates=64.0, spike_rate=0.30),
    }
    return families(table, work, [FP32])


def test_cells_by_pencil(rows, units):
    found = {heading(c): c.cells for c in family_columns(rows, [FP32], units)}
    assert found == {
        "family": ("ann ✓", "snn ✓", "snn"),
        "knobs": ("–", "time_steps 2", "time_steps 4"),
        "seeds": ("2", "2", "0 (1 failed)"),
        "test accuracy (%)": ("90.0 ± 2.8", "86.0 ± 1.4", "–"),
        "validation accuracy (%)": ("92.0 ± 2.8", "82.0 ± 2.8", "–"),
        "spike rate": ("–", "0.200 ± 0.141", "–"),
        "MAC (M)": ("1.60", "0", "–"),
        "MAC, dense (M)": ("2.00", "0", "–"),
        "AC (k)": ("0", "6.00", "–"),
        "AC, dense (k)": ("0", "400", "–"),
        # no column for binary and graded products: nobody makes one
        "neuron updates": ("0", "64.0", "–"),
        "cmos45-fp32 (nJ)": ("4\u202f000 ± 0", "1.20 ± 0.28", "–"),
        "energy / ann": ("1.00", "0.000300", "–"),
        "training (s)": ("12.5 ± 0.0", "12.5 ± 0.0", "–"),
    }


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([None], "–"),
        ([12.345], "12.3"),
        ([0.0, 0.0], "0 ± 0"),
        ([268.9, 269.1], "269.0 ± 0.1"),  # as many decimals as show the spread
        ([9.99, 10.01], "10.00 ± 0.01"),
        ([1234.0, 1236.0], "1\u202f235 ± 1"),
        ([5.0, 5.0 + 1e-9], "5.00000 ± 0.00000"),  # the noise of sums is no spread
    ],
)
def test_a_mean_with_its_spread(values, text):
    assert plus_minus(Mean.of(values)) == text


def test_five_thousand_images_carry_a_second_decimal(rows, units):
    many = [replace(row, test_samples=10_000) for row in rows]
    assert family_columns(many, [FP32], units)[3].cells[0] == "90.00 ± 2.83"


def test_markdown(rows, units):
    text = family_markdown(rows[:2], [FP32], units, title="Side by side", notes=["a | b"])
    lines = text.splitlines()
    assert lines[0] == "### Side by side"
    assert lines[2].startswith("| family | knobs | seeds | test accuracy (%) |")
    assert lines[3].startswith("| --- | --- | ---: | ---: |")
    assert lines[4].startswith("| ann ✓ | – | 2 | 90.0 ± 2.8 |")
    assert lines[5].startswith("| snn ✓ | time_steps 2 | 2 |")
    assert lines[6] == ""
    assert lines[-1] == "- a | b"
    assert len({line.count("|") for line in lines[2:6]}) == 1
    assert text.endswith("\n")


def test_a_bar_in_a_name_does_not_end_a_cell(rows, units):
    odd = [replace(rows[1], knobs={"time_steps": "2|4"})]
    assert "time_steps 2\\|4" in family_markdown(odd, [FP32], units, title="")


def test_notes_say_what_was_selected_and_what_the_spread_is(rows):
    notes = family_notes(rows, [FP32])
    assert notes[0].startswith("Seeds: 0 to 2 for each design")
    assert "sample standard deviation over seeds" in notes[0]
    assert "validation" in notes[1]
    assert notes[-1].startswith("Means are over the complete trainings")
    assert family_notes(rows[:2], [FP32])[0].startswith("Seeds: 2 for each design")


def test_lines_for_a_terminal(rows, units):
    lines = family_lines(rows, [FP32], units)
    assert lines[0].split()[:3] == ["family", "knobs", "seeds"]
    assert "MAC" not in lines[0]
    assert lines[1].startswith("ann ✓   –")
    assert len(lines) == 1 + 3 + 2
    assert family_lines([], [FP32], units) == []


def test_a_design_whose_products_change_class_from_seed_to_seed_is_named(rows):
    ann, snn, other = rows
    assert not any("changed their class" in note for note in family_notes(rows, [FP32]))
    mixed = replace(snn, work={**snn.work, "dense_mac": Mean(1e5, 3e4, 2)})
    [note] = [n for n in family_notes([ann, mixed, other], [FP32]) if "changed their class" in n]
    assert note.startswith("snn time_steps 2: from seed to seed")
