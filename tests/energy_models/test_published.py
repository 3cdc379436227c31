"""The table of published figures: its rows, what each must say, and how mistakes are told."""

import collections
from pathlib import Path

import pytest

from energy_models import ModelCounts
from energy_models.errors import EnergyModelError, PublishedError
from energy_models.published import Counts, published

IDS = {
    *("PA01", "PA02", "PA04", "PA05", "PA07", "PA08", "PA10", "PA12", "PA13", "PA14", "PA15"),
    *("PA16", "PA17", "PA18", "PA20", "PA21", "PA22", "PA23", "PA24", "PA25", "PA26", "PA27"),
    *("PA28", "PA29", "PA30", "SI01", "SI03", "SI04", "SI06", "SI07", "SI08", "SI09", "SI10"),
    *("SI11", "SI12", "SI13", "SI14", "SI16", "SI17", "SI18", "SI19", "SI20", "SI21", "SI22"),
    *("SI23", "SI24", "SI25", "SI26", "SI27", "SI28", "SI29", "SI30", "SI31"),
}

GOOD = """\
rows:
  - id: A
    kind: paper-arithmetic
    source: my paper
    doi: ""
    checked: primary
    hardware: 45 nm
    workload: a layer
    published: {value: 4.6, unit: pJ}
    verdict: reproduced
    tolerance_percent: 0.1
    profile: cmos45-fp32
    counts: {layers: [{name: only, mac: 1}]}
    convention: a MAC
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(PublishedError) as refusal:
        published(written(folder, text))
    assert isinstance(refusal.value, EnergyModelError)
    return refusal.value.problems


def counted(*layers: dict[str, object], **unknown: float) -> ModelCounts:
    return Counts.model_validate({"layers": layers}).model_counts(unknown)


def test_every_row_is_there_once() -> None:
    assert len(IDS) == 53
    times = collections.Counter(row.id for row in published())
    assert times == dict.fromkeys(IDS, 1)


def test_what_is_from_memory_is_recalled_and_nothing_else() -> None:
    recalled = {row.id for row in published() if row.verdict == "recalled"}
    assert recalled == {"PA08", "PA10", "PA12", "PA13", "SI21", "SI29", "SI30"}
    assert recalled == {row.id for row in published() if row.checked == "recall"}
    assert all(row.tolerance_percent is None for row in published() if row.id in recalled)


@pytest.mark.parametrize(
    ("verdict", "ids"),
    [
        ("reproduced", "PA01 PA02 PA04 PA05 PA07 PA17 PA18 PA20 PA22 SI04 SI24"),
        ("calibration", "SI01 SI03"),
        ("explained", "PA14 PA15 PA16 PA21"),
        ("wrong-in-source", "PA23 PA24"),
        ("falls-short", "SI07 SI08 SI09 SI10 SI11 SI12 SI14 SI16 SI17 SI18 SI19 SI22"),
        (
            "needs-input",
            "PA25 PA26 PA27 PA28 PA29 PA30 SI06 SI13 SI20 SI23 SI25 SI26 SI27 SI28 SI31",
        ),
    ],
)
def test_verdicts(verdict: str, ids: str) -> None:
    assert {row.id for row in published() if row.verdict == verdict} == set(ids.split())


def test_every_row_says_why_or_what_is_missing() -> None:
    for row in published():
        assert row.why or row.missing, row.id
        assert row.source and row.hardware and row.workload
        assert row.is_computed or row.missing, row.id


def test_a_count_is_a_product_of_its_factors() -> None:
    # 3 x 3 x 3 x 64 x 224 x 224 = 86,704,128
    found = counted({"name": "stem", "mac": [3, 3, 3, 64, 224, 224], "reused_steps": 4})
    assert found.ops.mac == found.ops.dense_mac == 86_704_128
    assert found.layers[0].reused_steps == 4


def test_an_unknown_is_a_factor_and_so_is_what_it_leaves() -> None:
    layer = {"name": "blocks", "ac": [8, "1 - share"], "graded": [8, "share"]}
    found = counted(layer, share=0.25)
    assert (found.ops.ac, found.ops.graded) == (6, 2)


def test_neurons_stand_in_a_row_of_their_own() -> None:
    found = counted({"name": "a", "ac": 5, "neurons": 3, "updates": [3, 2], "spikes": 1})
    products, neurons = found.layers
    assert (products.operator, neurons.operator) == ("linear", "neuron")
    assert (neurons.neurons, neurons.updates.compare, neurons.spikes_out) == (3, 6, 1)


def test_a_layer_without_anything_is_no_row() -> None:
    assert counted({"name": "frame"}).layers == ()


def test_a_table_of_the_same_form_is_read(tmp_path: Path) -> None:
    (row,) = published(written(tmp_path, GOOD))
    assert (row.id, row.published.number(), row.tolerance_percent) == ("A", 4.6, 0.1)


def test_a_quotient_is_a_figure(tmp_path: Path) -> None:
    # 278 mW / 40 frames a second = 6.95 mJ
    text = GOOD.replace("{value: 4.6, unit: pJ}", "{value: 278, divided_by: 40, unit: mJ}")
    assert published(written(tmp_path, text))[0].published.number() == pytest.approx(6.95)


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("mac: 1}", "mac: 1e3}", "rows.0.counts.layers.0.mac", "powers of ten are written 6.8e+9"),
        ("mac: 1}", "mac: -1}", "rows.0.counts.layers.0.mac", "a count is a number of 0 or more"),
        ("mac: 1}", "mac: []}", "rows.0.counts.layers.0.mac", "has at least one"),
        ("mac: 1}", "mca: 1}", "rows.0.counts.layers.0.mca", 'Did you mean "mac"?'),
        ("mac: 1}", "mac: share}", "rows.0.unknown", "names among the factors differ: share (A)"),
        ("unit: pJ", "unit: mW", "rows.0.published.unit", "must be a unit of energy"),
        ("{value: 4.6,", "{text: x, value: 4.6,", "rows.0.published", "give one of value"),
        ("    tolerance_percent: 0.1\n", "", "rows.0.tolerance_percent", "those need it (A)"),
        ("verdict: reproduced", "verdict: falls-short", "rows.0.tolerance_percent", "is for"),
        ("checked: primary", "checked: recall", "rows.0.verdict", "a figure from memory"),
        ("    profile: cmos45-fp32\n", "", "rows.0.counts", "need one of profile and price_list"),
        ("    convention: a MAC\n", "", "rows.0.convention", "says how"),
        ("    verdict:", "    quantity: ratio\n    verdict:", "rows.0.against", "is for ratios"),
        ("    verdict:", "    quantity: saving\n    verdict:", "rows.0.saving", "which needs it"),
        (
            "    verdict:",
            "    saving: {of: A, against: B}\n    verdict:",
            "rows.0.saving.against",
            "there is no row B",
        ),
    ],
)
def test_a_mistake_names_its_place(
    tmp_path: Path, old: str, new: str, place: str, what: str
) -> None:
    assert old in GOOD
    problems = problems_of(tmp_path, GOOD.replace(old, new, 1))
    hits = [problem for problem in problems if f": {place}: " in problem and what in problem]
    assert hits, problems
    assert hits[0].startswith(f"{tmp_path}/table.yaml:")


def test_a_row_that_needs_input_says_which(tmp_path: Path) -> None:
    text = GOOD.replace("verdict: reproduced\n    tolerance_percent: 0.1", "verdict: needs-input")
    (problem,) = problems_of(tmp_path, text)
    assert "rows.0.missing: missing. Say what" in problem


def test_two_mistakes_are_told_at_once_and_an_id_stands_once(tmp_path: Path) -> None:
    twice = GOOD + GOOD.removeprefix("rows:\n").replace("mac: 1}", "mac: x}")
    problems = problems_of(tmp_path, twice)
    assert len(problems) == 2
    assert "A is given 2 times" in problems[0]
    assert "rows.1.unknown" in problems[1]


def test_a_price_list_of_a_row_is_held_to_the_rules_of_profiles(tmp_path: Path) -> None:
    own = """\
    price_list:
      name: own
      title: own
      kind: chip
      node_nm: 28
      voltage_v: 1
      number_format: spikes
      reference: me
      energy: {ac: {value_pj: 1, bits: 1, basis: silicon, source: me}}
"""
    (problem,) = problems_of(tmp_path, GOOD.replace("    profile: cmos45-fp32\n", own))
    assert "rows.0.price_list.energy.ac.scope: missing. Say marginal" in problem
