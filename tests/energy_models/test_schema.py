"""The JSON Schema for editors: it is the shipped one, and knows every key and word of a profile."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from energy_models import list_profiles, shelf
from energy_models.events import ALL_EVENTS, EVENTS, LEFT_OUT
from energy_models.profile import SWITCHES, HardwareProfile
from energy_models.schema import SCHEMA_FILE, profile_schema, profile_schema_text

HARDWARE = Path(shelf.__file__).parent / "hardware"
SCHEMA = profile_schema()


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((HARDWARE / f"{name}.yaml").read_text(encoding="utf-8"))
    return read


def test_the_shipped_file_is_up_to_date() -> None:
    # python -c "from energy_models.schema import *;
    # SCHEMA_FILE.write_text(profile_schema_text(), encoding='utf-8')"
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == SCHEMA
    assert json.loads(profile_schema_text()) == SCHEMA


def test_words_are_offered() -> None:
    fields = SCHEMA["properties"]
    assert fields["energy"]["propertyNames"]["enum"] == list(ALL_EVENTS)
    assert fields["excludes"]["propertyNames"]["enum"] == list(LEFT_OUT)
    assert fields["time"]["propertyNames"]["enum"] == ["step", "ac", "host"]
    assert set(fields["kind"]["enum"]) == set(EVENTS)
    assert fields["node_nm"]["anyOf"][1] == {"const": "unpublished"}
    share = SCHEMA["$defs"]["Share"]["properties"]["share_of"]
    assert share["enum"] == list(ALL_EVENTS)
    constant = SCHEMA["$defs"]["Constant"]
    assert constant["properties"]["basis"]["enum"] == [
        *("silicon", "fit", "estimate", "derived", "assumption")
    ]
    assert constant["dependentRequired"] == {
        "low_pj": ["high_pj", "range_source"],
        "high_pj": ["low_pj", "range_source"],
    }
    assert constant["additionalProperties"] is False
    branches = fields["energy"]["additionalProperties"]["oneOf"]
    assert {branch["$ref"].rpartition("/")[2] for branch in branches} == {"Constant", "Polynomial"}


def test_each_kind_has_its_events_and_switches() -> None:
    told = {
        rule["if"]["properties"]["kind"]["const"]: rule["then"]["properties"]
        for rule in SCHEMA["allOf"]
    }
    assert set(told) == set(EVENTS)
    for kind, properties in told.items():
        assert properties["energy"]["propertyNames"]["enum"] == list(EVENTS[kind])
        assert properties["switches"]["propertyNames"]["enum"] == list(SWITCHES[kind])


def test_every_key_of_the_model_is_in_it() -> None:
    assert set(SCHEMA["properties"]) == set(HardwareProfile.model_fields)
    required = {name for name, one in HardwareProfile.model_fields.items() if one.is_required()}
    assert set(SCHEMA["required"]) == required


@pytest.mark.parametrize("name", list_profiles())
def test_shipped_profiles_use_its_keys(name: str) -> None:
    data = document(name)
    assert set(data) <= set(SCHEMA["properties"])
    assert set(SCHEMA["required"]) <= set(data)
    constant = set(SCHEMA["$defs"]["Constant"]["properties"])
    polynomial = set(SCHEMA["$defs"]["Polynomial"]["properties"])
    for entry in data["energy"].values():
        assert set(entry) <= (polynomial if "polynomial_pj" in entry else constant)


@pytest.mark.parametrize("name", list_profiles())
def test_shipped_profiles_are_valid_for_an_editor(name: str) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document(name))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("energy", "intergate"), {"value_pj": 1, "bits": 8, "basis": "fit", "source": "x"}),
        (("energy", "hop"), {"value_pj": 1, "bits": 8, "basis": "fit", "source": "x"}),
        (("energy", "ac"), {"value_pj": -1, "bits": 8, "basis": "fit", "source": "x"}),
        (("energy", "ac"), {"value_pj": 1, "bits": 0, "basis": "fit", "source": "x"}),
        (("energy", "ac"), {"value_pj": 1, "bits": 8, "basis": "guess", "source": "x"}),
        (("energy", "ac"), {"value_pj": 1, "bits": 8, "basis": "fit"}),
        (("node_nm",), 0),
        (("swiches",), {}),
        (("switches",), {"static": "counted"}),
    ],
)
def test_mistakes_are_seen_by_an_editor(place: tuple[str, ...], value: object) -> None:
    data = copy.deepcopy(document("cmos45-fp32"))
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(data)
