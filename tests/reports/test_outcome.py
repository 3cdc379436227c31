from reports.outcome import by_variant, gaps, ranges, reasons, state_counts, summary


def test_ranges():
    assert ranges([(n, 0) for n in (5, 3, 4, 9, 4)]) == "#3–#5, #9"
    keys = [(3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (5, 2)]
    assert ranges(keys) == "#3–#4, #3.1–#3.2, #4.1, #5.2"
    assert ranges([]) == ""


def test_reasons_are_grouped_by_state_and_words(record):
    records = [
        record(0),
        record(1, state="refused", reason="no price"),
        record(2, state="failed", reason="diverged"),
        record(3, state="failed", reason=None),
        record(4, state="failed", reason="diverged"),
    ]
    found = [(r.state, r.reason, r.count, r.numbers) for r in reasons(records)]
    assert found == [
        ("failed", "diverged", 2, "#2, #4"),
        ("failed", "no reason was recorded", 1, "#3"),
        ("refused before training", "no price", 1, "#1"),
    ]
    assert list(state_counts(records).values()) == [1, 0, 3, 1]


def test_stopped_trainings_are_grouped_by_the_epoch_and_not_by_their_rank(record):
    reason = "stopped after epoch 3 of 9: rank {} of 20, and worse than the median"
    records = [record(n, state="stopped", reason=reason.format(12 + n)) for n in range(3)]
    [found] = reasons(records)
    assert (found.reason, found.numbers) == ("stopped after epoch 3 of 9", "#0–#2")


def test_gaps_name_what_is_missing(record):
    incomplete = {"cmos45": {"total_pj": None, "complete": False, "missing": ["fc: mac"]}}
    records = [record(0, energy=incomplete), record(1, energy=incomplete), record(2, energy={})]
    found = [(gap.profile, gap.missing, gap.numbers) for gap in gaps(records, ["cmos45"])]
    assert found == [
        ("cmos45", ("fc: mac",), "#0–#1"),
        ("cmos45", ("not priced on this profile",), "#2"),
    ]


def test_the_best_of_each_variant(record, objectives, units):
    records = [
        record(0, variant="ann", accuracy=0.95, energy_pj=9e3),
        record(1, variant="ann", accuracy=0.9, energy_pj=2e3),
        record(2, variant="ann", accuracy=0.95, energy_pj=5e3),
        record(3, variant="snn", state="failed"),
    ]
    ann, snn, bnn = by_variant(records, objectives, ("ann", "snn", "bnn"), units)
    assert (ann.tried, ann.complete, ann.on_front) == (3, 3, 2)
    # of two equally accurate points the one that is not dominated
    assert [(b.name, b.value, b.others) for b in ann.bests] == [
        ("2", "95.0 %", "5.00 nJ"),
        ("1", "2.00 nJ", "90.0 %"),
    ]
    assert (snn.tried, snn.complete, snn.bests) == (1, 0, ())
    assert bnn.tried == 0


def test_summary_is_one_sentence(record, objectives, units):
    records = [
        record(0, variant="ann", accuracy=0.95, energy_pj=9e3),
        record(1, accuracy=0.9, energy_pj=2e3, parent=0, point="read"),
        record(2, state="failed"),
    ]
    assert summary(records, objectives, units) == (
        "2 trials and 1 point made from them: 2 complete, 1 failed; 2 points form the front, "
        "from #0 (ann) with 95.0 % and 9.00 nJ to #1 (snn) with 90.0 % and 2.00 nJ."
    )
    refused = [record(n, state="refused", reason="beyond a limit") for n in (3, 4)]
    assert summary([*records, *refused], objectives, units).startswith(
        "2 trials and 1 point made from them: 2 complete, 1 failed, 2 refused before training;"
    )
    assert summary(records[:1], objectives, units) == (
        "1 trial: 1 complete; one point is best in everything: #0 (ann) with 95.0 % and 9.00 nJ."
    )
    assert summary([], objectives, units) == (
        "0 trials: nothing yet; no point has a value for every objective within its limit."
    )
