"""Contradictions: entries that may be right alone, and are wrong together."""

from dse.contradictions import contradictions


def test_a_budget_of_time_has_no_fixed_table():
    data = {"search": {"deterministic": True}, "budget": {"cpu_hours": 1}}
    [(place, text)] = contradictions(data)
    assert place == ("search", "deterministic")
    assert text.endswith("Give trials")
    assert list(contradictions({**data, "budget": {"trials": 4}})) == []


def test_what_nothing_would_look_at_is_refused():
    idle = {
        ("search", "batch"): {"search": {"batch": 9}},
        ("confirm", "seeds"): {"confirm": {"seeds": 5}},
        ("confirm", "alone"): {"confirm": {"alone": True}},
        ("stopping", "first"): {"stopping": {"first": 2}, "training": {"epochs": 2}},
    }
    for place, data in idle.items():
        assert [found for found, _ in contradictions(data)] == [place]
    used = {"search": {"batch": 9, "deterministic": True}, "confirm": {"seeds": 5, "epochs": 1}}
    assert list(contradictions({**used, "stopping": {}, "training": {"epochs": 2}})) == []
    assert list(contradictions({"training": {"epochs": 1}})) == []
