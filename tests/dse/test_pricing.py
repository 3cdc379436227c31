"""Pricing: the energy of a record, and operators that a sweep admits by name."""

from dse.pricing import admit, price
from energy_models import LayerCounts, ModelCounts, OpCounts, Uncounted

COUNTS = ModelCounts(
    samples=1,
    layers=(LayerCounts("fc", "linear", OpCounts(mac=5, dense_mac=10), weight_kind="real"),),
    uncounted={"aten.strange": Uncounted(calls=1)},
)


def test_an_unknown_operator_leaves_no_total():
    [(name, energy)] = price(COUNTS, ["cmos45-fp32"]).items()
    assert name == "cmos45-fp32"
    assert energy["total_pj"] is None
    assert energy["missing"] == ["uncounted: aten.strange"]
    assert energy["partial_pj"] == 46.0  # 10 x 4.6


def test_admitted_by_name_it_costs_nothing_and_is_said():
    admitted = admit(COUNTS, ["aten.strange", "aten.other"])
    assert price(admitted, ["cmos45-fp32"])["cmos45-fp32"]["total_pj"] == 46.0
    assert admitted.assumptions == ("not counted, admitted by name: aten.strange",)
    assert admit(COUNTS, ["aten.other"]) is COUNTS
