import math
from dataclasses import replace

import numpy as np
import pytest

from reports.errors import ReportDataError
from reports.pareto import Objective
from reports.points import columns, flat, front, objective_values, twins, within
from reports.text import origins


def test_a_flat_row_has_units_in_its_names(record):
    row = flat(record(4, accuracy=0.9, energy_pj=5.0))
    assert row["knob_threshold"] == 1.0
    assert row["validation_accuracy"] == 0.9 and row["validation_samples"] == 360
    assert row["test_accuracy"] is None and row["test_samples"] is None
    assert row["energy_pj_cmos45-fp32"] == 5.0
    assert (row["parameters"], row["spikes"], row["train_s"]) == (61706, None, 12.5)


def test_columns_stand_in_order_even_without_records(record):
    names = columns([record(0)])
    assert names[:2] == ("number", "parent")
    assert names.index("knob_threshold") < names.index("validation_accuracy")
    assert "seed" in columns([])


def test_only_complete_points_have_values(record, objectives):
    records = [
        record(0, accuracy=0.9, energy_pj=10.0),
        record(1, accuracy=1.0, energy_pj=1.0, state="stopped"),
        record(2, accuracy=0.95, energy_pj=None),
    ]
    values = objective_values(records, objectives)
    assert values[0].tolist() == [0.9, 10.0]
    assert all(map(math.isnan, values[1])) and math.isnan(values[2, 1])
    assert [point.number for point in front(records, objectives)] == [0]


def test_front_begins_with_the_best_of_the_first_objective(record, objectives):
    records = [
        record(0, accuracy=0.8, energy_pj=1.0),
        record(1, accuracy=0.9, energy_pj=5.0),
        record(2, accuracy=0.85, energy_pj=9.0),
        record(3, accuracy=0.9, energy_pj=5.0),
    ]
    assert [point.number for point in front(records, objectives)] == [1, 3, 0]


def test_unknown_objective_is_refused_with_a_nearest_match(record):
    wrong = (Objective("validation_acuracy", "max", "a", "%"),)
    with pytest.raises(ReportDataError, match='Did you mean "validation_accuracy"') as caught:
        objective_values([record(0)], wrong)
    assert 'objective "validation_acuracy": no such column' in str(caught.value)


def test_an_energy_that_no_record_has_is_refused_unless_there_is_none_at_all(record):
    wrong = (Objective("energy_pj_loihi", "min", "e", "pJ"),)
    with pytest.raises(ReportDataError, match="energy_pj_loihi"):
        objective_values([record(0)], wrong)
    assert front([record(0, energy={}, state="failed")], wrong) == ()


def test_a_limit_is_itself_within_and_the_unknown_is_not():
    values = np.array([[1.0, 2.0], [3.0, math.nan]])
    most = Objective("a", "min", "a", "", limit=2.0)
    least = Objective("a", "max", "a", "", limit=2.0)
    assert within(values, most).tolist() == [[True, True], [False, False]]
    assert within(values, least).tolist() == [[False, True], [True, False]]
    assert within(values, Objective("a", "min", "a", "")).all()


def test_beyond_a_limit_a_point_is_on_no_front_and_hides_nobody(record, objectives):
    accuracy, energy = objectives
    cheap = replace(energy, limit=10.0)
    records = [
        record(0, accuracy=0.9, energy_pj=10.0),
        record(1, accuracy=0.95, energy_pj=11.0),
        record(2, accuracy=0.8, energy_pj=9.0),
    ]
    assert [point.number for point in front(records, (accuracy, cheap))] == [0, 2]
    fair = replace(accuracy, limit=0.85)
    assert [point.number for point in front(records, (fair, cheap))] == [0]


def test_points_of_one_training_with_the_same_figures_stand_on_the_front_once(record, objectives):
    def read(number, reading, method, **changes):
        knobs = {"method": method}
        design = {"variant": "converted", "architecture": "lenet", "knobs": knobs}
        changes = {"accuracy": 0.9, "energy_pj": 5.0, "point": "read", **changes}
        return record(number, parent=number, reading=reading, design=design, **changes)

    records = [
        read(1, 1, "opi"),
        read(1, 2, "qcfs"),
        read(1, 3, "icsnn-1", accuracy=0.95, energy_pj=6.0),
        read(2, 1, "opi"),  # another training: chance
        read(1, 4, "rate-norm", point="fine-tuned"),  # it confirms: evidence of its own
    ]
    points = front(records, objectives)
    assert [point.name for point in points] == ["1.3", "1.1", "1.4", "2.1"]
    assert twins(points[0], records) == []
    assert [point.name for point in twins(points[1], records)] == ["1.2"]
    assert origins(points, records)[1].endswith("; the same figures: #1.2 (method qcfs)")


def test_what_differs_in_another_profile_alone_is_another_point(record, objectives):
    first = record(1, energy_pj=5.0, accuracy=0.9)
    other = replace(
        first,
        parent=1,
        reading=1,
        point="read",
        energy={**first.energy, "loihi": first.energy["cmos45-fp32"]},
    )
    assert len(front([first, other], objectives)) == 2
    assert len(front([first, replace(other, energy=first.energy)], objectives)) == 1
