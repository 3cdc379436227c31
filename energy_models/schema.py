"""A JSON Schema of the profile files: an editor then knows the keys, the words and the units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from energy_models.events import EVENTS
from energy_models.profile import SWITCHES, HardwareProfile

SCHEMA_FILE = Path(__file__).parent / "data" / "profile.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def profile_schema() -> dict[str, Any]:
    """What a profile file may say, by itself and by its kind.

    The contradictions between entries are not in it: `load_profile` finds those.
    """
    schema = HardwareProfile.model_json_schema(mode="validation")
    for definition in schema["$defs"].values():
        _say_what_a_range_needs(definition)
    return {"$schema": _DIALECT, **schema, "allOf": [_of_kind(kind) for kind in EVENTS]}


def profile_schema_text() -> str:
    """The text of the shipped file."""
    return json.dumps(profile_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _say_what_a_range_needs(definition: dict[str, Any]) -> None:
    ends = [name for name in definition["properties"] if name.startswith(("low_", "high_"))]
    if ends:
        definition["dependentRequired"] = {
            end: [other for other in (*ends, "range_source") if other != end] for end in ends
        }


def _of_kind(kind: str) -> dict[str, Any]:
    """The events and switches of one kind."""
    return {
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": {
            "properties": {
                "energy": {"propertyNames": {"enum": list(EVENTS[kind])}},
                "switches": {"propertyNames": {"enum": list(SWITCHES[kind])}},
            }
        },
    }
