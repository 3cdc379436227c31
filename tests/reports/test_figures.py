import matplotlib as mpl
import pytest

from reports.facts import front_facts, history_facts, layer_facts
from reports.families import FamilyPoint
from reports.figures import (
    COLOURS,
    MARKERS,
    draw_families,
    draw_front,
    draw_history,
    draw_layers,
    draw_parallel,
    inline_svg,
    save,
    variant_style,
)
from reports.parallel import parallel_facts

HOSTILE = "$\\frac{<script>alert(1)</script> --> & ü"


def drawn(records, objectives, units):
    rows = [{"layer": HOSTILE * 2, "component": HOSTILE, "energy_pj": 3.0}]
    notes = ("approximate data",)
    return {
        "front": draw_front(front_facts(records, objectives, units), title=HOSTILE, notes=notes),
        "history": draw_history(history_facts(records, objectives, units), title="t"),
        "parallel": draw_parallel(parallel_facts(records, objectives, units), title="t"),
        "layers": draw_layers(layer_facts("t", rows, units), notes=notes),
        "families": draw_families(
            [
                FamilyPoint("ann", "", 4.0, 0.0, 97.0, 0.5, True),
                # a spread that is wider than the mean, and an energy of nothing
                FamilyPoint(HOSTILE, HOSTILE, 1.0, 2.0, 90.0, 0.0, False),
            ],
            variants=("ann", HOSTILE),
            x_label=HOSTILE,
            title=HOSTILE,
            notes=notes,
        ),
        "free": draw_families(
            [FamilyPoint("ann", "", 0.0, 0.0, 97.0, 0.5, True)],
            variants=("ann",),
            x_label="x",
            title="t",
        ),
    }


@pytest.mark.slow
def test_all_figures_are_written_and_leave_no_trace(record, objectives, units, tmp_path):
    before = dict(mpl.rcParams)
    records = [record(0, variant=HOSTILE), record(1, energy_pj=2e5, accuracy=0.95)]
    for name, figure in drawn(records, objectives, units).items():
        paths = save(figure, tmp_path / "figures", name)
        assert [path.suffix for path in paths] == [".svg", ".png", ".pdf"]
        assert all(path.stat().st_size > 1000 for path in paths)
    assert dict(mpl.rcParams) == before


def test_the_same_facts_give_the_same_bytes(record, objectives, units, tmp_path):
    records = [record(0), record(1, energy_pj=2e3, accuracy=0.95)]
    facts = front_facts(records, objectives, units)
    for name in ("first", "second"):
        save(draw_front(facts, title="t"), tmp_path / name, "front")
    for kind in ("svg", "png", "pdf"):
        first, second = (tmp_path / name / f"front.{kind}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes(), kind


def test_a_name_becomes_a_file_name(record, objectives, units, tmp_path):
    figure = draw_history(history_facts([record(0)], objectives, units), title="t")
    (path,) = save(figure, tmp_path, "layers-1-../my file.yaml+a=b", kinds=("svg",))
    assert path == tmp_path / "layers-1-..-my-file.yaml+a-b.svg"


def test_inlined_ids_are_prefixed(record, objectives, units, tmp_path):
    figure = draw_front(front_facts([record(0)], objectives, units), title=HOSTILE)
    (path,) = save(figure, tmp_path, "front", kinds=("svg",))
    element = inline_svg(path.read_text(encoding="utf-8"), "front")
    assert element.startswith("<svg") and "<script" not in element and "<!--" not in element
    assert element.count(' id="') == element.count(' id="front-') > 0
    assert element.count('href="#') == element.count('href="#front-') > 0
    assert element.count("url(#") == element.count("url(#front-") > 0


def test_styles_follow_the_place_among_all_variants():
    variants = [f"v{i}" for i in range(len(COLOURS) + 1)]
    assert variant_style("v1", variants) == (COLOURS[1], MARKERS[1])
    assert variant_style("v8", variants) == (COLOURS[0], MARKERS[0])
    assert len(set(COLOURS)) == len(set(MARKERS)) == 8
