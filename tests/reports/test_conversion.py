"""What follows from readings: T to come near the ANN, T up to which it is cheaper."""

import pytest

from reports.conversion import Reading, cheaper_up_to, within


def readings(**values):
    """T -> accuracy and energy."""
    return [
        Reading(int(name[1:]), validation=accuracy, energy_pj={"p": energy_pj})
        for name, (accuracy, energy_pj) in values.items()
    ]


def test_within_is_the_first_t_that_no_longer_one_undoes():
    rows = readings(t1=(0.90, 1), t2=(0.97, 2), t4=(0.94, 4), t8=(0.965, 8), t16=(0.97, 16))
    assert within(rows, 0.97, 1.0).time_steps == 8
    assert within(rows, 0.97, 3.0).time_steps == 2
    assert within(rows, 0.97, 8.0).time_steps == 1


def test_a_gap_of_exactly_so_many_points_is_within():
    assert within(readings(t1=(0.95, 1)), 0.96, 1.0).time_steps == 1


def test_more_than_the_ann_is_within():
    assert within(readings(t1=(0.99, 1)), 0.96, 0.5).time_steps == 1


@pytest.mark.parametrize(
    ("rows", "ann", "reason"),
    [
        (readings(t1=(0.9, 1), t4=(0.95, 1)), 0.97, "2.00 points below the ANN at T = 4, the"),
        ([Reading(2, reason="dead layer")], 0.97, "no result at T = 2: dead layer"),
        (readings(t2=(None, 1)), 0.97, "a logit is not finite at T = 2"),
        (readings(t2=(0.9, 1)), None, "the accuracy of the ANN is not known"),
    ],
)
def test_where_there_is_no_t_there_is_a_reason(rows, ann, reason):
    found = within(rows, ann, 1.0)
    assert found.time_steps is None and found.text == "–"
    assert reason in found.reason


def test_cheaper_up_to_is_the_largest_t_below_the_ann():
    rows = readings(t1=(1, 10.0), t2=(1, 20.0), t4=(1, 40.0))
    assert cheaper_up_to(rows, 30.0, "p").time_steps == 2
    everywhere = cheaper_up_to(rows, 41.0, "p")
    assert (everywhere.time_steps, everywhere.reason) == (
        4,
        "still cheaper at T = 4, the longest read",
    )
    never = cheaper_up_to(rows, 10.0, "p")
    assert never.time_steps is None
    assert never.reason == "dearer at every T read: at least 1 times the ANN, at T = 1"


def test_an_energy_that_is_not_complete_is_no_verdict():
    assert "ANN has no complete" in cheaper_up_to(readings(t1=(1, 1.0)), None, "p").reason
    assert cheaper_up_to(readings(t1=(1, None)), 1.0, "p").reason == "no complete energy on p"
