import pytest

from reports.errors import ReportDataError
from reports.facts import front_facts, history_facts, layer_facts
from reports.parallel import NOT_USED, parallel_facts


def test_front_facts_are_in_the_units_of_the_axes(record, objectives, units):
    records = [
        record(0, accuracy=0.8, energy_pj=1e3),
        record(1, accuracy=0.9, energy_pj=4e3),
        record(2, accuracy=0.7, energy_pj=9e3),
        record(3, state="failed"),
        record(4, energy_pj=None),
    ]
    baselines = {"old": {"validation_accuracy": 0.85, "energy_pj_cmos45-fp32": 2e3}, "none": {}}
    facts = front_facts(records, objectives, units, variants=("ann",), baselines=baselines)
    assert facts.x_axis.label == "Energy per inference (nJ)" and facts.x_axis.is_log
    assert facts.y_axis.label == "Validation accuracy (%)"
    assert facts.variants == ("ann", "snn")
    assert [(p.name, p.x, round(p.y), p.is_on_front) for p in facts.points] == [
        ("0", 1.0, 80, True),
        ("1", 4.0, 90, True),
        ("2", 9.0, 70, False),
    ]
    assert [(b.name, b.x, b.y) for b in facts.baselines] == [("old", 2.0, 85.0)]
    assert facts.not_drawn == 1


def test_staircase_goes_right_and_then_up(record, objectives, units):
    records = [
        record(0, accuracy=0.5, energy_pj=100.0),
        record(1, accuracy=0.75, energy_pj=200.0),
        record(2, accuracy=0.25, energy_pj=400.0),
    ]
    line = front_facts(records, objectives, units).line
    # from (100, 50) at the same accuracy to 200 pJ, up to 75 %, then on to the worst seen
    assert line == ((100.0, 50.0), (200.0, 50.0), (200.0, 75.0), (400.0, 75.0))


def test_a_value_without_logarithm_is_not_drawn_but_said(record, objectives, units):
    records = [record(0, energy_pj=0.0), record(1, energy_pj=10.0)]
    facts = front_facts(records, objectives, units)
    assert [p.name for p in facts.points] == ["1"] and facts.not_drawn == 1
    assert history_facts(records, objectives, units).without_volume == 1


def test_one_objective_makes_no_front_figure(record, objectives, units):
    with pytest.raises(ReportDataError, match="two objectives are needed"):
        front_facts([record(0)], objectives[:1], units)


def test_history_follows_the_number(record, objectives, units):
    records = [
        record(5, accuracy=0.9, energy_pj=10.0),
        record(1, accuracy=0.8, energy_pj=100.0),
        record(3, state="refused"),
    ]
    facts = history_facts(records, objectives, units)
    assert facts.numbers == (1, 3, 5)
    # reference: accuracy 0.8 - 0.01, log10 energy 2 + 0.1; boxes 0.01 x 0.1 and 0.11 x 1.1
    assert facts.volumes == pytest.approx((0.001, 0.001, 0.121))
    assert facts.reference == ("Validation accuracy 79.0 %", "Energy per inference 126 pJ")


def test_parallel_places_knobs_and_objectives(record, objectives, units):
    def of(number, accuracy, energy_pj, **knobs):
        design = {"variant": "snn", "architecture": "mlp", "knobs": {"depth": 2, **knobs}}
        return record(number, accuracy=accuracy, energy_pj=energy_pj, design=design)

    records = [
        of(0, 0.9, 1e4, width=64, reset="zero"),
        of(1, 0.8, 1e3, width=128, reset="subtract", leak=0.5),
        of(2, 0.7, 1e2, width=1024, reset="zero", leak=0.9),
    ]
    facts = parallel_facts(records, objectives, units)
    assert facts.constant == ("depth 2",)
    names = [axis.label for axis in facts.axes]
    assert names == ["width", "reset", "leak", "Validation accuracy", "Energy per inference"]
    by_name = {line.name: line.positions for line in facts.lines}
    # width on a logarithmic axis: 64, 128, 1024 are 0, 1 and 4 doublings
    assert [by_name[n][0] for n in "012"] == pytest.approx([0, 0.25, 1])
    assert [by_name[n][1] for n in "012"] == [1, 0, 1]
    assert [by_name[n][2] for n in "012"] == [NOT_USED, 0, 1]
    # the better end on top, in both
    assert by_name["0"][3:] == pytest.approx((1, 0)) and by_name["2"][3:] == pytest.approx((0, 1))


def test_parallel_of_a_single_point_has_no_range(record, objectives, units):
    facts = parallel_facts([record(0)], objectives, units)
    assert facts.lines[0].positions == (0.5, 0.5)
    assert facts.constant == ("threshold 1",)


def test_close_values_are_not_all_written(record, objectives, units):
    records = [
        record(i, accuracy=0.5 + i / 100, energy_pj=1.0 + i, design={"knobs": {"leak": i / 19}})
        for i in range(20)
    ]
    (leak, *_) = parallel_facts(records, objectives, units).axes
    assert leak.ticks == ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))


def test_layers_add_up_in_the_order_of_the_network(units):
    rows = [
        {"layer": "conv1", "component": "compute", "energy_pj": 1000.0},
        {"layer": "fc", "component": "compute", "energy_pj": 500.0},
        {"layer": "conv1", "component": "memory", "energy_pj": 1500.0},
        {"layer": "conv1", "component": "compute", "energy_pj": 1000.0},
    ]
    facts = layer_facts("#1", rows, units, components=("memory",))
    assert facts.layers == ("conv1", "fc") and facts.components == ("memory", "compute")
    # nJ: conv1 1.5 + (1 + 1), fc 0.5
    assert facts.unit == "nJ" and facts.energy.tolist() == [[1.5, 2.0], [0.0, 0.5]]
    assert facts.total == "4.00 nJ" and facts.shares == (0.875, 0.125)


def test_layers_without_energy(units):
    rows = [{"layer": "fc", "component": "compute", "energy_pj": 0.0}]
    assert layer_facts("#1", rows, units).shares == (0.0,)
