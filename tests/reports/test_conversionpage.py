"""The report of a conversion: escaped, whole, offline, the same bytes again."""

import csv
import re
from html.parser import HTMLParser

import pytest

from reports.conversion import PARTS, Comparison, LayerError, MethodReadings, Rate, Reading, Source
from reports.conversionpage import write_conversion

HOSTILE = "<script>alert('x')</script> $\\frac{ü} --> &"


def layer(name, size):
    parts = dict.fromkeys(("total", *PARTS), size)
    return LayerError(name, 16, 1.0, 2.0, 0.5, 0.4, parts, parts, 0.9)


def reading(time_steps):
    return Reading(
        time_steps,
        time_steps,
        validation=0.9,
        test=0.8 + 0.01 * time_steps,
        spikes_per_neuron=0.1 * time_steps,
        spikes=1.6 * time_steps,
        mac=10.0,
        dense_mac=20.0,
        ac=100.0 * time_steps,
        graded=0.0,
        energy_pj={"cmos45-fp32": 5e3 * time_steps, "mine": None},
        missing={"mine": ("no price",)},
        break_even={"cmos45-fp32": Rate(0.3, 0.2, "0.3"), "mine": Rate(None, 0.2, "incomplete")},
        kept_share=0.9,
        notes=(HOSTILE,),
        layers=(layer("conv", 0.1), layer(HOSTILE, 0.2)),
    )


def method(name, readings, *, is_reconstruction=False, changed=()):
    return MethodReadings(
        name, "half a threshold", "Bu et al., 2022", is_reconstruction, {}, changed, False, readings
    )


@pytest.fixture
def comparison():
    steps = (1, 2, 4)
    return Comparison(
        name=HOSTILE,
        data=HOSTILE,
        source=Source(
            HOSTILE, "Sequential", ("relu",), 1234, 0.92, 0.91, 50.0, 100.0,
            {"cmos45-fp32": 12e3, "mine": None}, {"mine": ("no price",)},
        ),
        hardware=("cmos45-fp32", "mine"),
        steps=steps,
        samples={
            "training": 100, "validation": 20, "test": 30, "calibration": 10, "counted": 5,
        },
        settings={"weights": HOSTILE},
        notes=(HOSTILE,),
        methods=(
            method("icsnn", tuple(map(reading, steps)), is_reconstruction=True),
            method("opi", tuple(map(reading, steps)), changed=("percentile: 99.0, not 99.9",)),
            method("qcfs", tuple(Reading(t, reason=HOSTILE) for t in steps)),
        ),
    )  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.tags, self.loads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and tag != "a":
                self.loads.append(value)


@pytest.mark.slow
def test_the_whole_report_is_escaped_and_offline(comparison, units, tmp_path):
    text = write_conversion(comparison, tmp_path, units).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "<script>" not in text
    assert len(page.ids) == len(set(page.ids))
    assert all(load.startswith("#") for load in page.loads)
    assert not re.search(r"url\((?!#)", text)
    # reconstructions and what was changed are marked wherever methods stand
    assert "icsnn †" in text and "opi *" in text
    assert "a reconstruction: the authors" in text
    for word in ("within 0.5", "no complete energy", "incomplete", "percentile: 99.0, not 99.9"):
        assert word in text
    assert text.count("<figure>") == 4  # accuracy, energy of one profile, spikes, errors


@pytest.mark.slow
def test_the_tables_hold_a_row_for_each_method_and_t(comparison, units, tmp_path):
    write_conversion(comparison, tmp_path, units)
    with (tmp_path / "conversion.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["time_steps"]) for row in rows] == [
        (name, str(t)) for name in ("icsnn", "opi", "qcfs") for t in (1, 2, 4)
    ]
    assert rows[0]["is_reconstruction"] == "True"
    assert rows[1]["energy_pj_cmos45-fp32"] == "10000.0"
    assert rows[1]["ann_energy_pj_cmos45-fp32"] == "12000.0"
    assert rows[0]["energy_pj_mine"] == ""
    assert rows[-1]["reason"] == HOSTILE
    with (tmp_path / "errors.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 2  # methods with a result, T, layers
    assert rows[1]["layer"] == HOSTILE
    assert float(rows[1]["rms_unevenness"]) == 0.2


@pytest.mark.slow
def test_the_same_comparison_gives_the_same_bytes(comparison, units, tmp_path):
    pages = [write_conversion(comparison, tmp_path / name, units) for name in ("a", "b")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_methods_without_a_result_are_a_report_without_figures(comparison, units, tmp_path):
    import dataclasses

    nothing = dataclasses.replace(comparison, methods=comparison.methods[-1:])
    text = write_conversion(nothing, tmp_path, units).read_text(encoding="utf-8")
    assert "No method has a result" in text
    assert list(nothing.problems()) == [f"qcfs: {HOSTILE}"]
