"""Conversions of a sweep: grouped by source and method, averaged over trainings, by pencil."""

import pytest

from reports.conversionruns import Near, sources
from reports.families import Mean

FP32 = "cmos45-fp32"
READINGS = {"time_steps": 32, "method": "icsnn", "percentile": 99.9}
NOTE = "converted: icsnn is a reconstruction: the text of Somebody, 2023 was not read"


def near(steps, longest=16):
    return Near(steps, longest).text


def test_a_median_training_and_its_range():
    assert near((8,)) == "8"
    assert near((4, 4, 4)) == "4"
    assert near((1, 4, 8)) == "4 (1 to 8)"
    assert near((4, 16)) == "16 (4 to 16)"  # the later of two medians
    assert near((4, 8, None)) == "8 (4 to > 16)"
    assert near((None, None)) == "> 16"
    assert near(()) == "–"


def test_means_over_trainings_at_each_t(converted):
    [source] = sources(converted(), [FP32], READINGS)
    assert source.numbers == (1, 2) and source.unfinished == 0
    assert source.name == ""
    assert source.accuracy == Mean(pytest.approx(0.9), pytest.approx(0.02 / 2**0.5), 2)
    assert [one.label for one in source.conversions] == ["icsnn †", "opi"]
    opi = source.conversions[1]
    assert [at.time_steps for at in opi.steps] == [1, 4, 16]
    # 0.50 and 0.60
    assert opi.steps[0].validation == Mean(pytest.approx(0.55), pytest.approx(0.1 / 2**0.5), 2)
    assert opi.steps[0].energy_pj[FP32].value == pytest.approx(1050.0)


def test_each_training_is_held_against_its_own_source(converted):
    [source] = sources(converted(), [FP32], READINGS)
    opi = source.conversions[1].near
    # sources 0.89 and 0.91; opi at T = 4: 0.885 and 0.87, at T = 16: 0.89 and 0.90
    assert opi[0.5].steps == (4, None)
    assert opi[1.0].steps == (4, 16)
    assert opi[2.0].steps == (4, 16)


def test_energy_beside_the_ann_of_the_run(converted, record):
    ann = record(0, variant="ann", energy_pj=5000.0)
    [source] = sources((ann, *converted()), [FP32], READINGS)
    opi = source.conversions[1]
    # 1050, 4200 and 16800 pJ
    assert opi.cheaper[FP32].time_steps == 4 and not opi.cheaper[FP32].reason
    assert source.conversions[0].cheaper[FP32].time_steps is None
    [alone] = sources(converted(), [FP32], READINGS)
    assert alone.ann is None and alone.conversions[1].cheaper == {}


def test_of_several_anns_the_one_of_the_same_width_counts(converted, record):
    anns = [
        record(
            number,
            variant="ann",
            energy_pj=energy_pj,
            accuracy=accuracy,
            design={"knobs": {"width": width}},
        )
        for number, width, energy_pj, accuracy in ((8, 1.0, 5e3, 0.8), (9, 2.0, 9e9, 0.9))
    ]
    [source] = sources((*anns, *converted()), [FP32], READINGS)
    assert source.ann_pj[FP32].value == 5e3
    assert source.ann.differences == "width 1"


def test_a_failed_point_lowers_the_count_and_is_named_once(converted):
    [source] = sources(
        converted(failed={(2, 1): "no bound", (2, 16): "no bound"}), [FP32], READINGS
    )
    opi = source.conversions[1]
    assert [(at.validation.seeds, at.failed) for at in opi.steps] == [(1, 1), (2, 0), (1, 1)]
    assert opi.near[2.0].steps == (4, None)
    [failure] = opi.failures
    assert failure.text == "at T = 1, 16: 2 points failed (#2.1, #2.3): no bound"


def test_a_method_that_failed_everywhere_still_stands_there(converted):
    failed = {(number, t): "no bound" for number in (1, 2) for t in (1, 4, 16)}
    [source] = sources(converted(failed=failed), [FP32], READINGS)
    opi = source.conversions[1]
    assert all(at.validation is None and at.energy_pj == {FP32: None} for at in opi.steps)
    assert opi.near[0.5].text == "> 16"


def test_sources_are_told_apart_by_what_was_trained_and_the_best_comes_first(converted):
    records = (*converted(activation="relu"), *converted(first=5, activation="qcfs", better=0.05))
    assert [one.name for one in sources(records, [FP32], READINGS)] == [
        "activation qcfs",
        "activation relu",
    ]


def test_turned_knobs_make_another_way_to_convert(converted):
    records = (*converted(), *converted(first=5, percentile=99.0))
    labels = [one.label for one in sources(records, [FP32], READINGS)[0].conversions]
    assert labels == ["icsnn †", "opi", "icsnn, percentile 99 †", "opi, percentile 99"]


def test_one_training_has_no_spread_and_one_that_failed_is_counted(converted, record):
    one = [point for point in converted() if point.number == 1]
    reason = {"state": "failed", "reason": "diverged", "metrics": {}}
    failed = record(3, variant="converted", design=one[0].design, **reason)
    [source] = sources((*one, failed), [FP32], READINGS)
    assert source.accuracy.sd is None and source.unfinished == 1
    assert sources([failed], [FP32], READINGS) == ()


def test_notes_that_differ_in_numbers_alone_are_one(converted):
    told = "converted: kept by {} % of 1,{}24 neurons, {{}} &"
    notes = {1: (told.format("71.5", 0), "on the data"), 2: (told.format("9.25", 5), NOTE)}
    [source] = sources(converted(notes=notes), [FP32], READINGS)
    assert source.conversions[1].notes == (
        "kept by 9.25..71.5 % of 1,024..1,524 neurons, {} &",
        NOTE.removeprefix("converted: "),
    )


def test_a_run_whose_knobs_are_not_known_has_no_conversions(converted):
    assert sources(converted(), [FP32], {}) == ()
    assert sources((), [FP32], READINGS) == ()
