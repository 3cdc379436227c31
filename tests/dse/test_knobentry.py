"""Entries of the space: their forms, and the message for each wrong one."""

from typing import Any

import pytest
from pydantic import ValidationError

from dse.domain import Choice, Domain, Fixed, Range, SpaceEntry
from dse.knobentry import KnobEntry, spelled_out


@pytest.mark.parametrize(
    ("raw", "domain"),
    [
        (2, Fixed(2)),
        (False, Fixed(False)),
        ("soft", Fixed("soft")),
        ("1e-3", Fixed(0.001)),
        ({"fixed": 0}, Fixed(0)),
        ({"range": [1, 8]}, Range(1, 8)),
        ({"range": [2, 8], "step": 2}, Range(2, 8, step=2)),
        ({"range": [0.1, 0.7], "step": 0.2}, Range(0.1, 0.7, step=0.2)),
        ({"log_range": ["1e-4", "1E-1"]}, Range(1e-4, 0.1, log=True)),
        ({"choice": ["soft", "hard"]}, Choice(("soft", "hard"))),
    ],
)
def test_forms(raw: Any, domain: Domain) -> None:
    assert KnobEntry.model_validate(spelled_out(raw)).entry() == SpaceEntry(domain)


def test_when_names_the_variants() -> None:
    raw = {"range": [1, 8], "when": {"variant": ["snn", "s2nn"]}}
    assert KnobEntry.model_validate(raw).entry().variants == ("snn", "s2nn")


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        ({}, "must give one of range, log_range, choice, fixed"),
        ({"range": [1, 2], "fixed": 3}, "must give one of range, log_range, choice, fixed"),
        ({"range": [2, 1]}, "low 2 is above high 1. Write [1, 2]"),
        ({"range": [1]}, "must be two numbers. Write [low, high]"),
        ({"range": ["a", 2]}, "must be a number"),
        ({"range": [True, 2]}, "must be a number"),
        ({"range": [1, float("inf")]}, "must be a finite number"),
        (float("nan"), "must be a finite number"),
        (None, "must give one of range, log_range, choice, fixed"),
        ({"choice": [None]}, "must be a number or a word"),
        ({"log_range": [0, 1]}, "low 0 has no logarithm. It must be above 0, or write range"),
        ({"choice": []}, "must be a list of values. Write [first, second]"),
        ({"choice": [1, 1.0]}, "lists a value twice. Keep one"),
        ({"choice": [[1]]}, "must be a number or a word"),
        ({"range": [1, 8], "step": 0}, "step 0 is not above 0"),
        ({"range": [1, 8], "step": 2}, "step 2 does not lead from low to high in whole steps"),
        ({"range": [0, 1], "step": 1e-300}, "step 1e-300 is too small for the range. Leave it out"),
        (
            {"log_range": [1, 8], "step": 1},
            "step does not go with log_range. Leave it out, or write range",
        ),
    ],
)
def test_each_wrong_form_has_its_message(raw: Any, cause: str) -> None:
    with pytest.raises(ValidationError) as caught:
        KnobEntry.model_validate(spelled_out(raw))
    (mistake,) = caught.value.errors()
    assert mistake["msg"] == f"Value error, {cause}"


def test_a_bare_list_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^must say what the list means\. Write range"):
        spelled_out([1, 2])
