"""Contradictions: entries that may be right alone, and are wrong together."""

from dse.contradictions import contradictions


def test_a_budget_of_time_has_no_fixed_table():
    data = {"search": {"deterministic": True}, "budget": {"cpu_hours": 1}}
    [(place, text)] = contradictions(data)
    assert place == ("search", "deterministic")
    assert text.endswith("Give trials")
    assert list(contradictions({**data, "budget": {"trials": 4}})) == []
